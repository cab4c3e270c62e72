// SPDX-License-Identifier: MIT
/* Egress: a place where connections and datagrams leave from.
 *
 * There are two kinds. Over sockets (relay/sockets.h): of the host's own network namespace, or of the target's when its agent
 * runs on this machine and lends us sockets that were born there. Over a tunnel (relay/tunnel_egress.h): the agent's egress
 * over sockets does the work, and the bytes come as frames. The session treats all alike; the agent serves the tunnel with the
 * first kind. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "net/addr.h"
#include "net/packet.h"

struct egress;
struct dial;
struct port;

/* One TCP connection being made. */
typedef void (*dial_done_fn)(void *arg, int error);

/* What a datagram port tells its owner. None of them may close the port from inside the call, except through loop_defer(). */
struct port_events {
	void (*on_datagram)(void *arg, const struct endpoint *from, struct packet_marks marks, const uint8_t *data, size_t len);
	/* An ICMP error came for a datagram that this port sent to @to. @data is as much of its payload as came back. For an echo
	 * port the port numbers are 0 and @data starts at the ICMP header of the request. */
	void (*on_error)(void *arg, const struct endpoint *to, const struct icmp_error *error, const uint8_t *data, size_t len);
	/* The port is broken for good (the agent went away, no descriptors). The owner closes it. */
	void (*on_broken)(void *arg, int error);
};

enum port_kind { PORT_UDP, PORT_ECHO };

struct egress_ops {
	/* Starts to connect from @local to @remote. @local's address is one of the target's own (or "any"), its port is a wish:
	 * other than 0, it is bound when it is free, else any is taken.
	 * Returns 0 when connected, EINPROGRESS (then @done is called once, later, with 0 or an errno), or the errno of the
	 * failure. *ret_dial is set with 0 and EINPROGRESS, and is the caller's until it joins, abandons, or @done reports an error. */
	int (*dial)(struct egress *e, const struct endpoint *local, const struct endpoint *remote, dial_done_fn done, void *arg,
		    struct dial **ret_dial);
	/* A connected dial and the connected socket @fd (non-blocking) become one: bytes, half-closes and resets pass both ways
	 * until both are done. Owns both from here on. */
	void (*join)(struct dial *d, int fd);
	/* A connected dial becomes a descriptor, for an owner that moves the bytes itself: the connected socket, or one end of a unix socket pair
	 * behind which the connection is; non-blocking. Of the pair, a side that is closed before it has read the other's end is a reset, of either
	 * side (EPOLLHUP with the end of the bytes); shutdown() is a half-close as always. Returns it or -errno (then the remote side was
	 * reset); the dial is gone. */
	int (*take)(struct dial *d);
	/* Ends a dial in any state; the remote side sees a reset when it was connected. @done is not called any more. */
	void (*abandon)(struct dial *d);

	/* Opens a datagram port for one local address and port of the program's (a wish, as above). PORT_ECHO sends ICMP echo
	 * requests; its @local port is the echo identifier as the program chose it.
	 * Returns 0 or an errno. Events may come from the next turn of the loop on. */
	int (*open)(struct egress *e, enum port_kind kind, const struct endpoint *local, const struct port_events *events,
		    void *arg, struct port **ret_port);
	/* Returns 0 or the errno that the kernel gave at once. A datagram that can't be sent because of load is dropped (0).
	 * For PORT_ECHO @data is the echo request from its identifier on (RFC 792: identifier, sequence number, data), and on_datagram
	 * gives a reply the same way, with the program's identifier in place. */
	int (*send)(struct port *p, const struct endpoint *to, struct packet_marks marks, const void *data, size_t len);
	/* No event comes any more. */
	void (*close)(struct port *p);
};

/* First member of each kind; a dial and a port start with a pointer to their egress. */
struct egress {
	const struct egress_ops *ops;
};
struct dial {
	struct egress *egress;
};
struct port {
	struct egress *egress;
};

static inline int egress_dial_take(struct dial *d)
{
	return d->egress->ops->take(d);
}
