// SPDX-License-Identifier: MIT
/* A port of the egress's for each family, opened when it is needed. */
#include "forward/talk.h"

#include <errno.h>
#include <string.h>

static size_t family_of(const struct ip *ip)
{
	return ip_is_v4(ip) ? 0 : 1;
}

static void on_datagram(void *arg, const struct endpoint *from, struct packet_marks marks, const uint8_t *data, size_t len)
{
	struct talk *t = arg;

	if (!endpoint_equal(from, &t->to[t->at]))
		return;
	t->heard = true;
	t->events->on_answer(t->arg, marks, data, len);
}

/* The datagram is for the next address, if there is one. */
static void on_error(void *arg, const struct endpoint *to, const struct icmp_error *error, const uint8_t *data, size_t len)
{
	struct talk *t = arg;

	if (!endpoint_equal(to, &t->to[t->at]))
		return;
	if (t->heard || t->at + 1 >= t->n) {
		t->events->on_refused(t->arg, error, data, len);
		return;
	}
	t->at++;
	talk_send(t, (struct packet_marks){ .ttl = 64 }, data, len);
}

/* Without a port all is lost, as datagrams may be; the agent's end ends the talk as well. */
static void on_broken(void *arg, int error)
{
}

static const struct port_events events = { .on_datagram = on_datagram, .on_error = on_error, .on_broken = on_broken };

void talk_init(struct talk *t, struct egress *egress, const struct ip *ips, size_t n, uint16_t port, const struct talk_events *talk_events, void *arg)
{
	*t = (struct talk){ .egress = egress, .events = talk_events, .arg = arg };
	for (t->n = 0; t->n < n && t->n < TALK_ADDRESSES; t->n++)
		t->to[t->n] = (struct endpoint){ .ip = ips[t->n], .port = port };
}

int talk_send(struct talk *t, struct packet_marks marks, const void *data, size_t len)
{
	const struct endpoint *to = &t->to[t->at];
	const struct endpoint any = { .ip = ip_is_v4(&to->ip) ? IP_ANY4 : IP_ANY6 };
	struct port **port = &t->ports[family_of(&to->ip)];
	int error = 0;

	if (!t->n)
		return EHOSTUNREACH;
	if (!*port)
		error = t->egress->ops->open(t->egress, PORT_UDP, &any, &events, t, port);
	return error ? error : t->egress->ops->send(*port, to, marks, data, len);
}

void talk_close(struct talk *t)
{
	for (int f = 0; f < TALK_FAMILIES; f++) {
		if (t->ports[f])
			t->egress->ops->close(t->ports[f]);
		t->ports[f] = NULL;
	}
}
