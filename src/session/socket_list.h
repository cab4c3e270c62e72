// SPDX-License-Identifier: MIT
/* The sockets of a network namespace, as its kernel lists them (sock_diag(7)). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "net/addr.h"

struct listed_socket {
	int protocol; /* as asked for */
	struct endpoint local;
	bool v6only;	 /* of a socket without a peer */
	uint64_t cookie; /* SO_COOKIE */
};

/* Gives all sockets of both families whose state is in @states (bits 1 << TCP_…) to @each. @diag is a sock_diag socket of the namespace. The
 * list is complete when this returns: the kernel writes it in our own calls. False when it isn't. */
bool socket_list(int diag, int protocol, uint32_t states, void (*each)(void *arg, const struct listed_socket *s),
		 void *arg);
