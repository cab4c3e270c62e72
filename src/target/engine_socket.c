// SPDX-License-Identifier: MIT
/* Where the engines' API sockets are: what the environment says, else the engine's own places and the user's. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "target/engine_internal.h"

static const struct {
	const char *word, *variable;
	const char *places[ENGINE_SOCKETS]; /* a leading "~" stands for the user's runtime directory */
	const char *start_user, *start_system, *join;
} engines[] = {
	[ENGINE_DOCKER] = {
		.word = "docker",
		.variable = "DOCKER_HOST",
		.places = { "/run/docker.sock", "/var/run/docker.sock", "~/docker.sock" },
		.start_user = "start it: sudo systemctl start docker, or for a rootless one: systemctl --user start docker",
		.start_system = "start it: systemctl start docker",
		.join = "or become a member of the group \"docker\"",
	},
	[ENGINE_PODMAN] = {
		.word = "podman",
		.variable = "CONTAINER_HOST",
		.places = { "~/podman/podman.sock", "/run/podman/podman.sock" },
		.start_user = "start it: systemctl --user start podman.socket (without systemd: podman system service -t 0 &); "
			      "for root's containers: sudo systemctl start podman.socket, and mirrord by sudo",
		.start_system = "start it: systemctl start podman.socket (without systemd: podman system service -t 0 &); "
				"your own, rootless containers need no sudo",
		.join = "or, for your own containers, start their socket: systemctl --user start podman.socket",
	},
};
static_assert(sizeof(engines) / sizeof(engines[0]) == ENGINE_PODMAN + 1, "a row for each engine");

const char *engine_word(enum engine engine)
{
	return engines[engine].word;
}

static bool is_same_file(const char *a, const char *b)
{
	struct stat sa, sb;

	return stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

static void add(struct engine_sockets *s, const char *path)
{
	for (size_t i = 0; i < s->n; i++) {
		if (is_same_file(s->at[i].path, path))
			return;
	}
	if (strlen(path) >= sizeof(s->at[0].path))
		return;
	memcpy(s->at[s->n++].path, path, strlen(path) + 1);
}

static void add_place(struct engine_sockets *s, const char *place)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	char path[256];

	if (place[0] != '~')
		add(s, place);
	else {
		if (dir && dir[0] == '/')
			snprintf(path, sizeof(path), "%s%s", dir, place + 1);
		else
			snprintf(path, sizeof(path), "/run/user/%u%s", geteuid(), place + 1);
		add(s, path);
	}
}

/* What the user's own variable says counts alone. */
static int add_variable(const char *variable, const char *value, struct engine_sockets *s, struct error *err)
{
	static const char scheme[] = "unix://";

	if (strncmp(value, scheme, strlen(scheme)) != 0 || value[strlen(scheme)] != '/') {
		error_set(err, 0, "%s is \"%s\", but a target must be a container of this machine", variable, value);
		return error_hint(err, "unset %s, or set it to unix:///path/of/the/socket", variable);
	}
	s->variable = variable;
	add(s, value + strlen(scheme));
	if (s->n == 0)
		return error_set(err, ENAMETOOLONG, "%s is \"%s\"", variable, value);
	return 0;
}

static int refuse_forbidden(enum engine engine, const char *name, const char *path, struct error *err)
{
	error_set(err, EACCES, "%s may not be asked by you: %s", engines[engine].word, path);
	return error_hint(err, "sudo mirrord exec -t %s/%s -- …, %s", engines[engine].word, name, engines[engine].join);
}

static int refuse_missing(enum engine engine, const struct engine_sockets *s, struct error *err)
{
	char list[512] = "";
	size_t n = 0;

	for (size_t i = 0; i < s->n && n < sizeof(list); i++)
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s: %s", i ? ", " : "", s->at[i].path,
				      strerror(s->at[i].error));
	error_set(err, 0, "%s does not answer on its API socket (%s%s%s)", engines[engine].word,
		  s->variable ? s->variable : "", s->variable ? " says " : "", list);
	return error_hint(err, "%s", geteuid() ? engines[engine].start_user : engines[engine].start_system);
}

int engine_find_sockets(enum engine engine, struct engine_sockets *ret, struct error *err)
{
	const char *value = getenv(engines[engine].variable);
	struct engine_sockets s = { 0 };

	if (value && value[0]) {
		if (add_variable(engines[engine].variable, value, &s, err) < 0)
			return -1;
	} else {
		for (size_t i = 0; i < ENGINE_SOCKETS && engines[engine].places[i]; i++)
			add_place(&s, engines[engine].places[i]);
	}
	*ret = s;
	return 0;
}

int engine_refuse_sockets(enum engine engine, const char *name, const struct engine_sockets *s, struct error *err)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->at[i].error == EACCES || s->at[i].error == EPERM)
			return refuse_forbidden(engine, name, s->at[i].path, err);
	}
	return refuse_missing(engine, s, err);
}
