// SPDX-License-Identifier: MIT
/* What engine.c and engine_socket.c share. */
#pragma once

#include <stddef.h>
#include <sys/un.h>

#include "target/engine.h"

enum { ENGINE_SOCKETS = 4 };

/* The sockets where an engine may be asked, in this order. */
struct engine_sockets {
	const char *variable; /* of the environment, that names the only one; or NULL */
	size_t n;
	struct {
		char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
		int error; /* of a connect() to it; set by who asks */
	} at[ENGINE_SOCKETS];
};

/* "docker", "podman". */
const char *engine_word(enum engine engine);
/* Returns 0, or -1 with @err when the environment names none that could be asked. */
int engine_find_sockets(enum engine engine, struct engine_sockets *ret, struct error *err);
/* None of them could be asked for container @name: says which were tried and what to do. Returns -1. */
int engine_refuse_sockets(enum engine engine, const char *name, const struct engine_sockets *s, struct error *err);
