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
	struct talk *t = ((struct talk_port *)arg)->talk;

	if (!endpoint_equal(from, &t->to[t->at]))
		return;
	t->heard = true;
	t->events->on_answer(t->arg, marks, data, len);
}

/* Goes on to the next address. False behind the last, and where the one that has answered fails: then the next datagram begins anew. */
static bool go_on(struct talk *t)
{
	bool heard = t->heard;

	t->heard = false;
	if (!heard)
		t->at = (t->at + 1) % t->n;
	return !heard && t->at;
}

/* The datagram is for the next address, if there is one. */
static void on_error(void *arg, const struct endpoint *to, const struct icmp_error *error, const uint8_t *data, size_t len)
{
	struct talk *t = ((struct talk_port *)arg)->talk;

	if (endpoint_equal(to, &t->to[t->at]) && (!go_on(t) || talk_send(t, (struct packet_marks){ .ttl = 64 }, data, len) != 0))
		t->events->on_refused(t->arg, error, data, len);
}

static void on_broken(void *arg, int error)
{
	struct talk_port *p = arg;

	p->broken = true;
	if (p->talk->events->on_broken)
		p->talk->events->on_broken(p->talk->arg, error);
}

static const struct port_events events = { .on_datagram = on_datagram, .on_error = on_error, .on_broken = on_broken };

void talk_init(struct talk *t, struct egress *egress, const struct ip *ips, size_t n, uint16_t port, const struct talk_events *talk_events, void *arg)
{
	*t = (struct talk){ .egress = egress, .events = talk_events, .arg = arg };
	for (int f = 0; f < TALK_FAMILIES; f++)
		t->ports[f].talk = t;
	for (t->n = 0; t->n < n && t->n < TALK_ADDRESSES; t->n++)
		t->to[t->n] = (struct endpoint){ .ip = ips[t->n], .port = port };
}

static void close_port(struct talk_port *p)
{
	if (p->port)
		p->port->egress->ops->close(p->port);
	p->port = NULL;
	p->broken = false;
}

static int send_now(struct talk *t, struct packet_marks marks, const void *data, size_t len)
{
	const struct endpoint *to = &t->to[t->at];
	const struct endpoint any = { .ip = ip_is_v4(&to->ip) ? IP_ANY4 : IP_ANY6 };
	struct talk_port *p = &t->ports[family_of(&to->ip)];
	int error = 0;

	if (p->broken)
		close_port(p);
	if (!p->port)
		error = t->egress->ops->open(t->egress, PORT_UDP, &any, &events, p, &p->port);
	return error ? error : t->egress->ops->send(p->port, to, marks, data, len);
}

int talk_send(struct talk *t, struct packet_marks marks, const void *data, size_t len)
{
	int error = EHOSTUNREACH;

	while (t->n && (error = send_now(t, marks, data, len)) != 0 && go_on(t))
		;
	return error;
}

void talk_close(struct talk *t)
{
	for (int f = 0; f < TALK_FAMILIES; f++)
		close_port(&t->ports[f]);
}
