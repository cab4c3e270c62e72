// SPDX-License-Identifier: MIT
/* A dial or a port is a part's own from the beginning, and has that part as its egress: only opening goes this way. */
#include "relay/split_egress.h"

static struct split_egress *split_of(struct egress *e)
{
	return (struct split_egress *)(void *)e;
}

static int split_dial(struct egress *e, const struct endpoint *local, const struct endpoint *remote, dial_done_fn done, void *arg,
		      struct dial **ret_dial)
{
	struct egress *part = split_of(e)->connections;

	return part->ops->dial(part, local, remote, done, arg, ret_dial);
}

static void split_join(struct dial *d, int fd)
{
	d->egress->ops->join(d, fd);
}

static int split_take(struct dial *d)
{
	return d->egress->ops->take(d);
}

static void split_abandon(struct dial *d)
{
	d->egress->ops->abandon(d);
}

static int split_open(struct egress *e, enum port_kind kind, const struct endpoint *local, const struct port_events *events, void *arg,
		      struct port **ret_port)
{
	struct egress *part = split_of(e)->datagrams;

	return part->ops->open(part, kind, local, events, arg, ret_port);
}

static int split_send(struct port *p, const struct endpoint *to, struct packet_marks marks, const void *data, size_t len)
{
	return p->egress->ops->send(p, to, marks, data, len);
}

static void split_close(struct port *p)
{
	p->egress->ops->close(p);
}

static const struct egress_ops ops = {
	.dial = split_dial,
	.join = split_join,
	.take = split_take,
	.abandon = split_abandon,
	.open = split_open,
	.send = split_send,
	.close = split_close,
};

void split_egress_init(struct split_egress *s, struct egress *connections, struct egress *datagrams)
{
	*s = (struct split_egress){ .egress.ops = &ops, .connections = connections, .datagrams = datagrams };
}
