// SPDX-License-Identifier: MIT
/* The egress over sockets: real non-blocking sockets of one network namespace. */
#pragma once

#include <netinet/in.h>

#include "base/list.h"
#include "net/loop.h"
#include "relay/egress.h"

/* The sockets that are made. An echo socket is a ping socket (SOCK_DGRAM, icmp(7)), or a raw one where those are not allowed. */
enum socket_kind {
	SOCKET_TCP4,
	SOCKET_TCP6,
	SOCKET_UDP4,
	SOCKET_UDP6,
	SOCKET_ECHO4,
	SOCKET_ECHO6,
};
enum { SOCKET_KINDS = SOCKET_ECHO6 + 1 };

/* Makes one socket of @kind in the calling process's network namespace with all options that the egress wants: non-blocking,
 * close-on-exec; TCP: TCP_NODELAY, and SO_LINGER of 0 so that the death of the process resets; UDP: IP_RECVERR, IP_RECVTTL, IP_RECVTOS
 * and their IPv6 kin, "don't fragment", IPV6_V6ONLY. Returns it or -errno. *ret_raw (may be NULL): it is a raw socket. */
int socket_make(enum socket_kind kind, bool *ret_raw);

/* What a UDP port's socket bears that has the address and port which its program asked for: an option that means nothing there, so it is nobody
 * else's. By it every agent of a namespace knows such a socket (sock_diag.h: no_port), whichever session or process has it. */
enum { SOCKET_UDP_MARK = IP_BIND_ADDRESS_NO_PORT };

/* Where an egress takes its sockets from. */
struct socket_source {
	/* Returns a socket, or -EAGAIN when one will come later (then @socket_egress_refilled is called), or -errno. */
	int (*take)(struct socket_source *s, enum socket_kind kind, bool *ret_raw);
};

struct socket_egress;

/* An egress over sockets from @source; NULL for those of the calling process's own network namespace.
 * @source stays the caller's and outlives the egress. NULL without memory. */
struct egress *socket_egress_new(struct loop *loop, struct socket_source *source);
/* Resets every connection, closes every port (without events) and frees it. */
void socket_egress_free(struct egress *e);
/* Of a connection that was taken (egress_ops.take), by who moves its bytes. Zero-initialised. It counts as one of the egress's. When that is freed,
 * nothing comes of the connection any more, not even a reset, where its network has gone, too: @on_lost is called then, and the tie is undone. */
struct socket_tie {
	struct list node;
	struct egress *egress; /* NULL: not tied */
	void (*on_lost)(struct socket_tie *t);
};
/* Does nothing with an egress of another kind: its connections hear of its end. */
void socket_tie(struct socket_tie *t, struct egress *e, void (*on_lost)(struct socket_tie *t));
void socket_untie(struct socket_tie *t);
/* Sockets have come in: dials and ports that waited for one go on. */
void socket_egress_refilled(struct egress *e);
/* Connections and ports that are open, and those that are tied. */
size_t socket_egress_count(const struct egress *e);
/* From now on the local endpoint of a dial is no wish: where it can't be had, the dial fails with the kernel's errno (EADDRINUSE,
 * EADDRNOTAVAIL). */
void socket_egress_insist(struct egress *e);
/* From now on @on_slow is called when a connection wasn't answered for some milliseconds. On one machine an answer is there when connect(2)
 * returns; so it is a sign of a full queue, and no more than a sign. Not for each of them: for all that wait at a time. */
void socket_egress_on_slow(struct egress *e, void (*on_slow)(void *arg), void *arg);
