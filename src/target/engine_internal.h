// SPDX-License-Identifier: MIT
/* What engine.c and engine_socket.c share. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/un.h>

#include "target/engine.h"

enum { ENGINE_SOCKETS = 4 };

/* The sockets where an engine may be asked, in the order in which they are, and how a connect() to each went. */
struct engine_sockets {
	size_t n;
	struct {
		char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
		int error; /* 0: it can be asked */
	} at[ENGINE_SOCKETS];
};

/* "docker", "podman". */
const char *engine_word(enum engine engine);
/* Finds and tries them. Returns 0 when there is one to ask; -1 with @err: it says which were tried and what to start.
 */
int engine_find_sockets(enum engine engine, const char *name, struct engine_sockets *ret, struct error *err);
