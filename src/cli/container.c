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
 * The container gets the variables that the program would get, each by `--env NAME`: their values don't stand on a command line. */
#include "cli/container.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/exec.h"

enum { OUTPUT_MAX = 4096 };

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

static _Noreturn void run_child(const char *const *argv, int in, int out)
{
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	execvp(argv[0], (char *const *)argv);
	_exit(127);
}

/* Runs a program; what it says first is in @ret. *ret_in keeps its standard input open. Returns its pid, or -1 with @err. */
static pid_t start_and_hear(const char *const *argv, char ret[OUTPUT_MAX], int *ret_in, struct error *err)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 };
	ssize_t n = -1;
	pid_t pid;

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || (pid = fork()) < 0)
		return error_set(err, errno, "start %s", argv[0]);
	if (pid == 0)
		run_child(argv, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	*ret_in = in[1];
	do
		n = read(out[0], ret, OUTPUT_MAX - 1);
	while (n < 0 && errno == EINTR);
	ret[n > 0 ? n : 0] = '\0';
	close(out[0]);
	return pid;
}

static void end(pid_t pid, int in)
{
	close(in);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* Docker's daemon starts containers in its own network namespace, whatever that of its client. */
static int refuse_docker(const char *engine, struct error *err)
{
	const char *const argv[] = { engine, "--version", NULL };
	char said[OUTPUT_MAX];
	int in = -1;
	pid_t pid = start_and_hear(argv, said, &in, err);

	if (pid < 0)
		return -1;
	end(pid, in);
	if (strstr(said, "podman"))
		return 0;
	error_set(err, 0, "%s starts containers by a daemon, which is not in the target's network", engine);
	return error_hint(err, "podman takes the same words and has no daemon: `mirrord container … -- podman run …`; "
			       "`docker save IMAGE | podman load` brings an image over");
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

/* @argv up to "run", and then `unshare sh -c …`: a shell in podman's user namespace, which tells its pid and waits for the end of its input. */
static int engine_namespace(char **argv, size_t run, int *ret, struct error *err)
{
	const char **words = calloc(run + 5, sizeof(*words));
	char said[OUTPUT_MAX], path[64];
	int in = -1, saved;
	pid_t pid;

	if (!words)
		return error_set(err, ENOMEM, "find podman's user namespace");
	memcpy(words, argv, run * sizeof(*words));
	words[run] = "unshare";
	words[run + 1] = "sh";
	words[run + 2] = "-c";
	words[run + 3] = "echo $$; read -r line";
	pid = start_and_hear(words, said, &in, err);
	free((void *)words);
	if (pid < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/%d/ns/user", atoi(said));
	*ret = open(path, O_RDONLY | O_CLOEXEC);
	saved = errno;
	end(pid, in);
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
	size_t run = find_run(argv);
	const char *engine = base_name(argv[0]);

	if (strcmp(engine, "podman") != 0 && strcmp(engine, "docker") != 0) {
		error_set(err, 0, "%s is no container engine that is known here", argv[0]);
		return error_hint(err, "it is `mirrord container … -- podman run …`; a program runs with `mirrord exec`");
	}
	if (!run) {
		error_set(err, 0, "there is no \"run\" in what %s is to do", argv[0]);
		return error_hint(err, "only `%s run` starts a container here: `mirrord container … -- %s run IMAGE`", engine, engine);
	}
	if ((strcmp(engine, "docker") == 0 && refuse_docker(argv[0], err) < 0) || refuse_options(argv, err) < 0)
		return -1;
	return geteuid() == 0 ? 0 : engine_namespace(argv, run, ret_user_ns, err);
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

static char **finish(char **argv, char *const *before, struct error *err)
{
	size_t run = find_run(argv), n = 0;
	const char **words = calloc(count(argv) + 2 * count(environ) + 3, sizeof(*words));

	if (!words) {
		error_set(err, ENOMEM, "start the container");
		return NULL;
	}
	for (; n <= run; n++)
		words[n] = argv[n];
	words[n++] = "--network=host";
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
			.usage = "mirrord container [OPTION]… [-t TARGET] -- podman run [OPTION]… IMAGE [COMMAND]…",
			.summary = "Runs a container of this machine with the network of a target.",
			.example = "mirrord container -t deployment/shop -- podman run --rm -it my-image",
		},
		.as_root = true,
		.prepare = prepare,
		.finish = finish,
	};

	return exec_run(&kind, argc, argv);
}
