// SPDX-License-Identifier: MIT
/* The program's place in the twin is taken by a table: a rule's port in the target ─► the addresses that its host has here. */
#include "forward/remote.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "forward/reach.h"
#include "forward/talk.h"
#include "relay/sockets.h"
#include "session/resolver.h"

struct place {
	struct remote_egress *egress;
	const struct forward_rule *rule;
	struct ip ips[REACH_ADDRESSES];
	size_t n;
};

struct remote_egress {
	struct egress egress;
	struct loop *loop;
	struct egress *host;
	struct place *places;
	size_t n, asked; /* of those, names that aren't known yet */
	struct resolver *resolver; /* NULL: there are none */
	struct deferred known;
	remote_ready_fn ready;
	void *arg;
	struct error error; /* the first */
};

struct remote_dial {
	struct dial dial;
	struct reach reach;
	dial_done_fn done;
	void *arg;
};

/* A client's datagrams to one of the ports. */
struct leg {
	struct list node;
	struct remote_port *port;
	struct endpoint listener; /* whom the client wrote to */
	struct talk talk;
};

struct remote_port {
	struct port port;
	const struct port_events *events;
	void *arg;
	struct list legs;
};

static struct remote_egress *egress_of(struct egress *e)
{
	return (struct remote_egress *)(void *)e;
}

static struct remote_dial *dial_of(struct dial *d)
{
	return (struct remote_dial *)(void *)d;
}

static struct remote_port *port_of(struct port *p)
{
	return (struct remote_port *)(void *)p;
}

static const struct place *find(const struct remote_egress *e, int protocol, uint16_t port)
{
	for (size_t i = 0; i < e->n; i++)
		if (e->places[i].rule->protocol == protocol && e->places[i].rule->listen.port == port)
			return &e->places[i];
	return NULL;
}

static void on_reached(void *arg, int error)
{
	struct remote_dial *d = arg;
	dial_done_fn done = d->done;
	void *done_arg = d->arg;

	if (error)
		free(d);
	done(done_arg, error);
}

static int remote_dial(struct egress *egress, const struct endpoint *local, const struct endpoint *remote, dial_done_fn done, void *arg,
		       struct dial **ret_dial)
{
	struct remote_egress *e = egress_of(egress);
	const struct place *p = find(e, IPPROTO_TCP, remote->port);
	struct remote_dial *d = p ? calloc(1, sizeof(*d)) : NULL;
	int error;

	if (!d)
		return p ? ENOMEM : ECONNREFUSED;
	d->dial.egress = egress;
	d->done = done;
	d->arg = arg;
	d->reach = (struct reach){ .loop = e->loop, .egress = e->host, .port = p->rule->port, .done = on_reached, .arg = d };
	reach_set_addresses(&d->reach, p->ips, p->n);
	error = reach_start(&d->reach);
	if (error && error != EINPROGRESS)
		free(d);
	else
		*ret_dial = &d->dial;
	return error;
}

static void remote_join(struct dial *dial, int fd)
{
	struct remote_dial *d = dial_of(dial);

	d->reach.egress->ops->join(d->reach.dial, fd);
	free(d);
}

static int remote_take(struct dial *dial)
{
	struct remote_dial *d = dial_of(dial);
	int fd = egress_dial_take(d->reach.dial);

	free(d);
	return fd;
}

static void remote_abandon(struct dial *dial)
{
	struct remote_dial *d = dial_of(dial);

	reach_abandon(&d->reach);
	free(d);
}

static int remote_open(struct egress *egress, enum port_kind kind, const struct endpoint *local, const struct port_events *events, void *arg,
		       struct port **ret_port)
{
	struct remote_port *p = kind == PORT_UDP ? calloc(1, sizeof(*p)) : NULL;

	if (!p)
		return kind == PORT_UDP ? ENOMEM : EPROTONOSUPPORT;
	*p = (struct remote_port){ .port.egress = egress, .events = events, .arg = arg };
	list_init(&p->legs);
	*ret_port = &p->port;
	return 0;
}

static void on_answer(void *arg, struct packet_marks marks, const uint8_t *data, size_t len)
{
	struct leg *l = arg;

	l->port->events->on_datagram(l->port->arg, &l->listener, marks, data, len);
}

static void on_refused(void *arg, const struct icmp_error *error, const uint8_t *data, size_t len)
{
	struct icmp_error e = *error;
	struct leg *l = arg;

	packet_error_from_errno(ECONNREFUSED, ip_family(&l->listener.ip), &e.type, &e.code); /* of the client's family */
	e.offender = l->listener.ip;
	l->port->events->on_error(l->port->arg, &l->listener, &e, data, len);
}

static const struct talk_events talk_events = { .on_answer = on_answer, .on_refused = on_refused };

static struct leg *leg_for(struct remote_port *p, const struct endpoint *to)
{
	const struct place *place = find(egress_of(p->port.egress), IPPROTO_UDP, to->port);
	struct leg *l;

	for (struct list *at = p->legs.next; at != &p->legs; at = at->next)
		if (endpoint_equal(&container_of(at, struct leg, node)->listener, to))
			return container_of(at, struct leg, node);
	l = place ? calloc(1, sizeof(*l)) : NULL;
	if (!l)
		return NULL;
	l->port = p;
	l->listener = *to;
	talk_init(&l->talk, egress_of(p->port.egress)->host, place->ips, place->n, place->rule->port, &talk_events, l);
	list_append(&p->legs, &l->node);
	return l;
}

static int remote_send(struct port *port, const struct endpoint *to, struct packet_marks marks, const void *data, size_t len)
{
	struct leg *l = leg_for(port_of(port), to);

	/* "Don't fragment" is the path's in the target. */
	return l ? talk_send(&l->talk, (struct packet_marks){ .ttl = 64, .tos = marks.tos }, data, len) : ECONNREFUSED;
}

static void remote_close(struct port *port)
{
	struct remote_port *p = port_of(port);
	struct list *node;

	while ((node = list_pop(&p->legs))) {
		struct leg *l = container_of(node, struct leg, node);

		talk_close(&l->talk);
		free(l);
	}
	free(p);
}

static const struct egress_ops ops = {
	.dial = remote_dial,
	.join = remote_join,
	.take = remote_take,
	.abandon = remote_abandon,
	.open = remote_open,
	.send = remote_send,
	.close = remote_close,
};

/* Not in an answer: the resolver may not be freed there. */
static void on_known(struct deferred *d)
{
	struct remote_egress *e = container_of(d, struct remote_egress, known);
	const struct error why = e->error;

	resolver_free(e->resolver);
	e->resolver = NULL;
	e->ready(e->arg, error_is_set(&why) ? &why : NULL);
}

static void on_addresses(void *arg, const struct resolver_answer *a)
{
	static const char *const reasons[] = { [RESOLVER_FOUND] = "it has no address", [RESOLVER_NO_NAME] = "this machine knows no such name",
					       [RESOLVER_NO_DATA] = "it has no address",
					       [RESOLVER_AGAIN] = "this machine's name servers give no answer" };
	struct place *p = arg;
	struct remote_egress *e = p->egress;

	for (size_t i = 0; i < a->n && p->n < REACH_ADDRESSES; i++)
		p->ips[p->n++] = a->ips[i];
	if (!p->n && !error_is_set(&e->error))
		error_set(&e->error, 0, "find %s, where -R leads: %s", p->rule->host, reasons[a->status]);
	if (--e->asked == 0)
		loop_defer(e->loop, &e->known, on_known);
}

static void take_rules(struct remote_egress *e, const struct forward_rule *rules, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct place *p = &e->places[e->n];

		if (!rules[i].remote)
			continue;
		*p = (struct place){ .egress = e, .rule = &rules[i] };
		p->n = ip_parse(p->rule->host, &p->ips[0]);
		e->asked += !p->n;
		e->n++;
	}
}

static int ask(struct remote_egress *e, struct error *err)
{
	if (!e->asked) {
		loop_defer(e->loop, &e->known, on_known);
		return 0;
	}
	e->resolver = resolver_new(e->loop, getuid(), getgid(), err);
	for (size_t i = 0; i < e->n && e->resolver; i++)
		if (!e->places[i].n)
			resolver_ask(e->resolver, e->places[i].rule->host, on_addresses, &e->places[i]);
	return e->resolver ? 0 : -1;
}

struct egress *remote_egress_new(struct loop *loop, const struct forward_rule *rules, size_t n, remote_ready_fn ready, void *arg, struct error *err)
{
	struct remote_egress *e = calloc(1, sizeof(*e));

	if (!e || !(e->places = calloc(n + 1, sizeof(*e->places))) || !(e->host = socket_egress_new(loop, NULL))) {
		error_set(err, ENOMEM, "prepare for -R");
		if (e)
			remote_egress_free(&e->egress);
		return NULL;
	}
	e->egress.ops = &ops;
	e->loop = loop;
	e->ready = ready;
	e->arg = arg;
	take_rules(e, rules, n);
	if (ask(e, err) == 0)
		return &e->egress;
	remote_egress_free(&e->egress);
	return NULL;
}

void remote_egress_free(struct egress *egress)
{
	struct remote_egress *e = egress_of(egress);

	if (!e)
		return;
	list_remove(&e->known.node);
	resolver_free(e->resolver);
	if (e->host)
		socket_egress_free(e->host);
	free(e->places);
	free(e);
}
