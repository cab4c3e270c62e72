// SPDX-License-Identifier: MIT
/* A listener of the agent's, which tproxy leads clients to: what accepted sockets inherit, and a loop that accepts. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "net/addr.h"
#include "net/loop.h"

struct steal_listener;

struct steal_listener_ops {
	/* How many may be accepted in a turn, at most @most. NULL: @most. */
	int (*some)(struct steal_listener *l, int most);
	/* One is about to be accepted; false: not now. NULL: any may. */
	bool (*before)(struct steal_listener *l);
	/* @fd is its own. */
	void (*accepted)(struct steal_listener *l, int fd, const struct endpoint *client);
	/* There are no descriptors. */
	void (*scarce)(struct steal_listener *l);
	/* The turn is over. May be NULL. */
	void (*after)(struct steal_listener *l);
};

/* Embedded; @fd of -1: there is none. */
struct steal_listener {
	struct loop *loop;
	const struct steal_listener_ops *ops;
	struct watch watch;
	struct deferred accepting;
	struct endpoint at;
	int fd;
};

enum { STEAL_BACKLOG = 65535 };

/* Listens at @at; @both: with a socket that takes IPv6 as well, at the same address as IPv6 writes it. Nothing is accepted before
 * steal_listener_start(). Returns 0, or -1 with @err. */
int steal_listener_open(struct steal_listener *l, struct loop *loop, const struct steal_listener_ops *ops, const struct ip *at, bool both,
			struct error *err);
/* Returns 0 or -errno. */
int steal_listener_start(struct steal_listener *l);
/* What is in the queue now. */
void steal_listener_accept(struct steal_listener *l);
void steal_listener_close(struct steal_listener *l);
