// SPDX-License-Identifier: MIT
/* Trains.
 *
 * A sendmsg(2) of one datagram costs its way through the whole stack, and a wake-up of its receiver when that is on this machine: most
 * of the cost of carrying UDP. With UDP_SEGMENT (udp(7), Linux 4.18) datagrams of one length to one peer make that way together, and are
 * cut apart where the card or the receiver's socket wants them. The last one may be shorter.
 *
 *   the first datagram of a turn of the loop is sent at once (its errno is the caller's, and a lone one is not delayed)
 *   ─► open: the next ones that match are collected ─► a short one, a full train, another port or peer, the end of the turn: sent
 *
 * Where the kernel refuses the train (longer than the link's packets, no checksum offload) its datagrams are sent one by one, and
 * the port makes no such trains any more. An errno then is reported as the ICMP error that makes the same. */
#include "relay/train.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "relay/port_internal.h"

enum {
	TRAIN_BYTES = 60 << 10, /* with its headers it is one IP packet */
	TRAIN_DATAGRAMS = 64,	/* UDP_MAX_SEGMENTS until Linux 6.8 */
};

struct train {
	struct socket_port *port; /* NULL: closed */
	struct endpoint to;
	struct packet_marks marks;
	size_t segment; /* all are so long but the last */
	size_t n, len;	/* what was collected */
	struct deferred turn;
	uint8_t data[TRAIN_BYTES];
};

struct train *train_new(void)
{
	struct train *t = malloc(sizeof(*t));

	if (t)
		memset(t, 0, offsetof(struct train, data));
	return t;
}

void train_free(struct train *t)
{
	if (!t)
		return;
	list_remove(&t->turn.node);
	free(t);
}

static void send_one_by_one(const struct train *t)
{
	for (size_t at = 0; at < t->len; at += t->segment) {
		size_t len = t->len - at < t->segment ? t->len - at : t->segment;
		int error = datagram_send(t->port->fd, &t->to, t->marks, NULL, 0, t->data + at, len);

		if (error)
			port_report(t->port, &t->to, t->data + at, len, error);
	}
}

static void send_collected(struct train *t)
{
	int error = t->n > 1 ? datagram_send_train(t->port->fd, &t->to, t->marks, t->data, t->len, t->segment) : 0;

	if (error || t->n == 1)
		send_one_by_one(t);
	if (error == EINVAL || error == EMSGSIZE)
		t->port->train_max = t->segment - 1;
	else if (error == EIO || error == EOPNOTSUPP)
		t->port->train_max = 0;
	t->n = t->len = 0;
}

static void end_of_turn(struct deferred *d)
{
	struct train *t = container_of(d, struct train, turn);

	if (t->n)
		send_collected(t);
	t->port = NULL;
}

void train_open(struct train *t, struct socket_port *p, const struct endpoint *to, struct packet_marks marks, size_t len)
{
	t->port = len && len <= p->train_max && len <= TRAIN_BYTES / 2 ? p : NULL;
	t->to = *to;
	t->marks = marks;
	t->segment = len;
	if (t->port)
		loop_defer(socket_egress_of(p->port.egress)->loop, &t->turn, end_of_turn);
}

static bool matches(const struct train *t, const struct socket_port *p, const struct endpoint *to, struct packet_marks marks, size_t len)
{
	return t->port == p && len && len <= t->segment && t->len + len <= TRAIN_BYTES && endpoint_equal(&t->to, to) &&
	       t->marks.ttl == marks.ttl && t->marks.tos == marks.tos && t->marks.dont_fragment == marks.dont_fragment;
}

bool train_add(struct train *t, struct socket_port *p, const struct endpoint *to, struct packet_marks marks, const void *data, size_t len)
{
	if (!matches(t, p, to, marks, len)) {
		if (t->n)
			send_collected(t);
		return false;
	}
	memcpy(t->data + t->len, data, len);
	t->len += len;
	t->n++;
	if (len < t->segment || t->n == TRAIN_DATAGRAMS)
		send_collected(t);
	return true;
}

void train_leave(struct train *t, const struct socket_port *p)
{
	if (!t || t->port != p)
		return;
	if (t->n)
		send_collected(t);
	t->port = NULL;
}
