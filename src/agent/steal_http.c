// SPDX-License-Identifier: MIT
#include "agent/steal_http.h"

#include <errno.h>
#include <stdlib.h>

#include "agent/client.h"
#include "agent/http.h"
#include "agent/passes.h"

/* A port with steals of it; there while there are some. */
struct port_of {
	struct list node, sessions;
	struct http_port *http;
	uint16_t port;
};

struct session_of {
	struct list node;
	struct subscriber *subscriber;
	struct http_taker *taker;
};

struct steal_http {
	struct loop *loop;
	struct list ports;
};

struct steal_http *steal_http_new(struct loop *loop)
{
	struct steal_http *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->loop = loop;
	list_init(&h->ports);
	return h;
}

static struct port_of *port_find(const struct steal_http *h, uint16_t port)
{
	for (struct list *n = h->ports.next; n != &h->ports; n = n->next)
		if (container_of(n, struct port_of, node)->port == port)
			return container_of(n, struct port_of, node);
	return NULL;
}

static struct port_of *port_get(struct steal_http *h, uint16_t port)
{
	struct port_of *p = port_find(h, port);

	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p || !(p->http = http_port_new(h->loop))) {
		free(p);
		return NULL;
	}
	p->port = port;
	list_init(&p->sessions);
	list_append(&h->ports, &p->node);
	return p;
}

static void port_tidy(struct port_of *p)
{
	if (!list_empty(&p->sessions))
		return;
	list_remove(&p->node);
	http_port_free(p->http);
	free(p);
}

void steal_http_free(struct steal_http *h)
{
	if (!h)
		return;
	http_reset_all();
	free(h);
}

static struct egress *deliver(void *arg, const struct endpoint *client, const struct endpoint *destination, struct endpoint *ret_local,
			      struct endpoint *ret_remote)
{
	const struct session_of *s = arg;

	if (!subscription_deliver(&s->subscriber->want, client, destination, ret_local, ret_remote))
		return NULL;
	return client_program(s->subscriber->client);
}

static void count(void *arg, enum counter what, uint64_t n)
{
	client_count(((const struct session_of *)arg)->subscriber->client, what, n);
}

int steal_http_add(struct steal_http *h, struct subscriber *s, struct error *err)
{
	static const struct http_taker_ops ops = { .deliver = deliver, .count = count };
	struct http_filter *filter = http_filter_parse_for(s->want.http_filter, s->want.port, err);
	struct session_of *session = filter ? calloc(1, sizeof(*session)) : NULL;
	struct port_of *p = session ? port_get(h, s->want.port) : NULL;

	if (!p) {
		free(session);
		http_filter_free(filter);
		return error_is_set(err) ? -1 : error_set(err, ENOMEM, "filter port %u", s->want.port);
	}
	session->subscriber = s;
	list_append(&p->sessions, &session->node);
	session->taker = http_port_add(p->http, filter, &ops, session);
	if (session->taker)
		return 0;
	list_remove(&session->node);
	free(session);
	port_tidy(p);
	return error_set(err, ENOMEM, "filter port %u", s->want.port);
}

void steal_http_remove(struct steal_http *h, const struct subscriber *s)
{
	struct port_of *p = port_find(h, s->want.port);

	for (struct list *n = p ? p->sessions.next : NULL; n && n != &p->sessions; n = n->next) {
		struct session_of *session = container_of(n, struct session_of, node);

		if (session->subscriber != s)
			continue;
		list_remove(&session->node);
		http_taker_remove(session->taker);
		free(session);
		port_tidy(p);
		return;
	}
}

static int dial_app(void *arg, const struct endpoint *client, const struct endpoint *destination, dial_done_fn done, void *done_arg,
		    struct dial **ret_dial)
{
	return passes_dial(arg, client, destination, done, done_arg, ret_dial);
}

bool steal_http_take(struct steal_http *h, struct passes *passes, const struct steal_taken *t)
{
	const struct http_peers peers = { .client = t->client, .destination = t->destination, .keeps_probes = t->keeps_probes,
					  .probing = t->probing, .dial_app = dial_app, .app = passes };
	const struct port_of *p = port_find(h, t->destination.port);

	if (!p || (!t->probing && !http_port_has_filters(p->http)))
		return false;
	http_serve(p->http, t->fd, &peers);
	return true;
}
