// SPDX-License-Identifier: MIT
/* Taking the connections that come to a listener. */
#pragma once

#include "net/addr.h"
#include "net/loop.h"

/* Embedded. The owner sets the first three before the start, zero-initialises the rest, and keeps the descriptor. @on_connection gets a
 * non-blocking socket, which is the owner's then; it may stop the acceptor, but not free it. @peer is all 0 for a Unix socket. */
struct acceptor {
	struct loop *loop;
	const char *what; /* before a line of the log */
	void (*on_connection)(struct acceptor *a, int fd, const struct endpoint *peer);
	struct watch watch;
	struct timer again;
};

/* From now on connections are taken, also those that have waited. What comes of a TCP listener @fd sends at once (TCP_NODELAY), and is reset
 * when it is closed (SO_LINGER 0); @fd may be a Unix one's, too. While there are no descriptors they wait in the kernel's queue, and the loop
 * sleeps. Returns 0 or -errno. */
int acceptor_start(struct acceptor *a, int fd);
void acceptor_stop(struct acceptor *a);
