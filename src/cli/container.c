// SPDX-License-Identifier: MIT
/* mirrord container.
 *
 * Podman has no daemon: with `--network host` its container is in the network namespace that podman itself runs in, and gets resolv.conf,
 * hosts and host name from there. So podman becomes the program of `mirrord exec`, and everything else is as there; what the container's
 * processes listen on is seen as well, since they are podman's descendants.
 *
 * A rootless podman's containers are in a user namespace of podman's, with the user's subordinate ids, and may only join network namespaces
 * that belong to it. So the twin is made to belong to that one. `podman unshare` shows it; podman is then started in there, and finds
 * by its own variables that it needs no other.
 *
 * Docker's containers are its daemon's; how they come into the twin: docker.c.
 *
 * The container gets the variables that the program would get, each by `--env NAME`: their values don't stand on a command line. */
#include "cli/container.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/docker.h"
#include "cli/engine_cli.h"
#include "cli/exec.h"

static bool docker; /* by its daemon; else podman */

/* Who we were before, when podman is rootless. */
static struct {
	bool is;
	uid_t uid;
	gid_t gid;
} rootless;

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Where "run" stands; 0: nowhere. */
static size_t find_run(char *const *argv)
{
	for (size_t i = 1; argv[i]; i++)
		if (strcmp(argv[i], "run") == 0)
			return i;
	return 0;
}

static size_t count(char *const *words)
{
	size_t n = 0;

	while (words[n])
		n++;
	return n;
}

/* A "docker" may be podman by another name. */
static int is_docker(const struct engine_cli *e, bool *ret, struct error *err)
{
	static const char *const version[] = { "--version", NULL };
	char said[ENGINE_SAYS_MAX];

	if (engine_cli_ask(e, version, said, err) < 0)
		return -1;
	*ret = !strstr(said, "podman");
	return 0;
}

static int refuse_options(char *const *argv, struct error *err)
{
	static const char *const taken[] = { "--network", "--net", "--pod", "--uts" };

	for (size_t i = find_run(argv) + 1; argv[i] && strcmp(argv[i], "--") != 0; i++)
		for (size_t k = 0; k < sizeof(taken) / sizeof(taken[0]); k++) {
			size_t len = strlen(taken[k]);

			if (strncmp(argv[i], taken[k], len) != 0 || (argv[i][len] && argv[i][len] != '='))
				continue;
			error_set(err, 0, "%s: the container's network is the target's", argv[i]);
			return error_hint(err, "leave it out; what the container listens on is reached at localhost of this machine, too");
		}
	return 0;
}

/* A shell in podman's user namespace tells its pid and waits for the end of its input. */
static int engine_namespace(const struct engine_cli *e, int *ret, struct error *err)
{
	static const char *const words[] = { "unshare", "sh", "-c", "echo $$; echo ready; read -r line", NULL };
	char said[ENGINE_SAYS_MAX], path[64];
	struct engine_call call;
	int saved;

	if (engine_cli_start(e, words, false, &call, err) < 0)
		return -1;
	engine_cli_hear(&call, "ready", said);
	snprintf(path, sizeof(path), "/proc/%d/ns/user", atoi(said));
	*ret = open(path, O_RDONLY | O_CLOEXEC);
	saved = errno;
	engine_cli_end(&call);
	rootless.is = true;
	rootless.uid = geteuid();
	rootless.gid = getegid();
	if (*ret >= 0)
		return 0;
	error_set(err, saved, "find podman's user namespace");
	return error_hint(err, "`podman unshare id` shows whether a rootless podman works for you");
}

static int prepare(char **argv, int *ret_user_ns, struct error *err)
{
	const struct engine_cli e = { .argv = argv, .run = find_run(argv), .environment = environ };
	const char *engine = base_name(argv[0]);

	if (strcmp(engine, "podman") != 0 && strcmp(engine, "docker") != 0) {
		error_set(err, 0, "%s is no container engine that is known here", argv[0]);
		return error_hint(err, "it is `mirrord container … -- podman run …`, or docker; a program runs with `mirrord exec`");
	}
	if (!e.run) {
		error_set(err, 0, "there is no \"run\" in what %s is to do", argv[0]);
		return error_hint(err, "only `%s run` starts a container here: `mirrord container … -- %s run IMAGE`", engine, engine);
	}
	if ((strcmp(engine, "docker") == 0 && is_docker(&e, &docker, err) < 0) || refuse_options(argv, err) < 0)
		return -1;
	if (docker)
		return docker_prepare(&e, err);
	return geteuid() == 0 ? 0 : engine_namespace(&e, ret_user_ns, err);
}

/* True when the program is to have a variable of that value, and podman had none. */
static bool is_new(const char *variable, char *const *before)
{
	if (!strchr(variable, '='))
		return false;
	for (size_t i = 0; before[i]; i++)
		if (strcmp(before[i], variable) == 0)
			return false;
	return true;
}

/* Podman is in its own user namespace already, as if it had made it itself. */
static void tell_podman(void)
{
	char text[16];

	if (!rootless.is)
		return;
	setenv("_CONTAINERS_USERNS_CONFIGURED", "done", 1);
	snprintf(text, sizeof(text), "%u", rootless.uid);
	setenv("_CONTAINERS_ROOTLESS_UID", text, 1);
	snprintf(text, sizeof(text), "%u", rootless.gid);
	setenv("_CONTAINERS_ROOTLESS_GID", text, 1);
}

/* The word that puts the container into the twin, and, for Docker, one more, by which it is found again; they are kept. NULL with @err. */
static const char *join_twin(char **argv, char *const *before, const char **ret_label, struct error *err)
{
	const struct engine_cli e = { .argv = argv, .run = find_run(argv), .environment = before };
	static char network[DOCKER_NAME_MAX + 32], label[DOCKER_NAME_MAX + 32];
	char name[DOCKER_NAME_MAX];

	if (!docker)
		return "--network=host";
	if (docker_hold(&e, name, err) < 0)
		return NULL;
	snprintf(network, sizeof(network), "--network=container:%s", name);
	snprintf(label, sizeof(label), "--label=mirrord=%s", name);
	*ret_label = label;
	return network;
}

static char **finish(char **argv, char *const *before, struct error *err)
{
	size_t run = find_run(argv), n = 0;
	const char **words = calloc(count(argv) + 2 * count(environ) + 4, sizeof(*words)), *label = NULL;

	if (!words) {
		error_set(err, ENOMEM, "start the container");
		return NULL;
	}
	for (; n <= run; n++)
		words[n] = argv[n];
	words[n] = join_twin(argv, before, &label, err);
	if (!words[n++]) {
		free((void *)words);
		return NULL;
	}
	if (label)
		words[n++] = label;
	for (size_t i = 0; environ[i]; i++) {
		if (!is_new(environ[i], before))
			continue;
		words[n++] = "--env";
		words[n++] = strndup(environ[i], strcspn(environ[i], "="));
	}
	memcpy(words + n, argv + run + 1, (count(argv) - run - 1) * sizeof(*words));
	tell_podman();
	return (char **)words;
}

int cli_container(int argc, char **argv)
{
	static const struct exec_kind kind = {
		.command = {
			.name = "container",
			.usage = "mirrord container [OPTION]… [-t TARGET] -- podman|docker run [OPTION]… IMAGE [COMMAND]…",
			.summary = "Runs a container of this machine with the network of a target.",
			.example = "mirrord container -t deployment/shop -- podman run --rm -it my-image",
		},
		.as_root = true,
		.prepare = prepare,
		.finish = finish,
	};

	return exec_run(&kind, argc, argv);
}
