// SPDX-License-Identifier: MIT
/* Shared by sockets.c (the egress), dial.c (connections) and the ports. */
#pragma once

#include "base/table.h"
#include "relay/sockets.h"

/* Something that waits for a socket. It is told once: a socket that is its own then, or -errno. */
struct waiter {
	struct list node;
	void (*on_socket)(struct waiter *w, int fd, bool raw);
};

struct mailbox;
struct train;

struct socket_egress {
	struct egress egress;
	struct loop *loop;
	struct socket_source *source;
	struct list dials, pumps, ports, ties;
	struct list waiting[SOCKET_KINDS];
	struct mailbox *mailbox; /* made with the first port, as is: */
	struct train *train;
	size_t count;		 /* dials, pumps, ports and ties */
	bool insists;		 /* local endpoints are no wishes */
	struct timer slow;	 /* armed when a connection isn't answered at once, and somebody is to hear of it: */
	void (*on_slow)(void *arg);
	void *slow_arg;
};

static inline struct socket_egress *socket_egress_of(struct egress *e)
{
	return (struct socket_egress *)(void *)e;
}

/* A socket from the source, or -errno. After -EAGAIN @w waits for it; list_remove(&w->node) ends the waiting. */
int socket_egress_take(struct socket_egress *e, enum socket_kind kind, struct waiter *w, bool *ret_raw);

/* The same for one who can do without: no waiting. */
int socket_egress_spare(struct socket_egress *e, enum socket_kind kind);

/* dial.c */
int socket_dial(struct egress *e, const struct endpoint *local, const struct endpoint *remote, dial_done_fn done, void *arg,
		struct dial **ret_dial);
void socket_join(struct dial *d, int fd);
int socket_take(struct dial *d);
void socket_abandon(struct dial *d);
void socket_dials_close(struct socket_egress *e);
void socket_dials_on_slow(struct timer *t);

/* port.c */
int socket_port_open(struct egress *e, enum port_kind kind, const struct endpoint *local, const struct port_events *events,
		     void *arg, struct port **ret_port);
int socket_port_send(struct port *p, const struct endpoint *to, struct packet_marks marks, const void *data, size_t len);
void socket_port_close(struct port *p);
void socket_ports_close(struct socket_egress *e);
