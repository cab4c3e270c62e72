// SPDX-License-Identifier: MIT
#include "agent/steal_http.h"

#include <errno.h>
#include <stdlib.h>

#include "agent/client.h"
#include "agent/http.h"
#include "agent/passes.h"
#include "agent/tls_serve.h"
#include "base/table.h"
#include "http/options.h"

/* A port with steals of it; there while there are some. */
struct port_of {
	struct table_node node;
	struct list sessions;
	struct http_port *http;
	uint16_t port;
};

struct session_of {
	struct list node;
	struct subscriber *subscriber;
	struct http_taker *taker;
	struct tls_keys *keys; /* NULL: it asks for nothing to be decrypted */
	struct tls_delivery delivery;
};

struct steal_http {
	struct loop *loop;
	struct table ports;
	int root; /* the target's, for keys; -1: out of reach */
};

static bool port_equal(const struct table_node *node, const void *key)
{
	return container_of(node, const struct port_of, node)->port == *(const uint16_t *)key;
}

struct steal_http *steal_http_new(struct loop *loop, int root)
{
	struct steal_http *h = calloc(1, sizeof(*h));

	if (!h || table_init(&h->ports, port_equal) < 0) {
		free(h);
		return NULL;
	}
	h->loop = loop;
	h->root = root;
	return h;
}

static struct port_of *port_find(const struct steal_http *h, uint16_t port)
{
	struct table_node *n = table_find(&h->ports, &port, sizeof(port));

	return n ? container_of(n, struct port_of, node) : NULL;
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
	table_add(&h->ports, &p->node, &p->port, sizeof(p->port));
	return p;
}

static void port_tidy(struct steal_http *h, struct port_of *p)
{
	if (!list_empty(&p->sessions))
		return;
	table_remove(&h->ports, &p->node);
	http_port_free(p->http);
	free(p);
}

void steal_http_free(struct steal_http *h)
{
	if (!h)
		return;
	http_reset_all();
	tls_reset_all();
	table_fini(&h->ports);
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

static void session_free(struct session_of *s)
{
	if (!s)
		return;
	tls_keys_unref(s->keys);
	tls_delivery_fini(&s->delivery);
	free(s);
}

/* What the session says beside its filter. A NULL @session only checks it, for all ports. */
static int read_options(const struct steal_http *h, const struct subscription *want, struct session_of *session, struct http_settings *ret,
			struct error *err)
{
	struct session_of checked = { .taker = NULL }, *s = session ? session : &checked;
	struct http_options o;
	int rc;

	if (http_options_parse(want->http_options, &o, err) < 0)
		return -1;
	rc = tls_keys_new(&o, session ? want->port : 0, h->root, &s->keys, err);
	if (rc == 0 && o.n_tls)
		rc = tls_delivery_init(&s->delivery, &o.delivery, err);
	*ret = (struct http_settings){ .body_max = o.body_max, .body_ms = o.body_ms, .inject_headers = o.inject_headers,
				       .override_cache_control = o.override_cache_control, .delivery = &s->delivery };
	http_options_fini(&o);
	if (!session || rc < 0) {
		tls_keys_unref(s->keys);
		tls_delivery_fini(&s->delivery);
		s->keys = NULL;
	}
	return rc;
}

int steal_http_check(const struct steal_http *h, const struct subscription *want, struct error *err)
{
	struct http_filter *filter = http_filter_parse(want->http_filter ? want->http_filter : "{}", err);
	struct http_settings settings;

	http_filter_free(filter);
	return filter ? read_options(h, want, NULL, &settings, err) : -1;
}

/* Joins the others of its port. Owns @filter. */
static int join(struct steal_http *h, struct session_of *session, struct http_filter *filter, const struct http_settings *settings)
{
	static const struct http_taker_ops ops = { .deliver = deliver, .count = count };
	struct port_of *p = port_get(h, session->subscriber->want.port);

	if (!p) {
		http_filter_free(filter);
		return -1;
	}
	list_append(&p->sessions, &session->node);
	session->taker = http_port_add(p->http, filter, settings, &ops, session);
	if (session->taker)
		return 0;
	list_remove(&session->node);
	port_tidy(h, p);
	return -1;
}

int steal_http_add(struct steal_http *h, struct subscriber *s, struct error *err)
{
	struct http_filter *filter = http_filter_parse_for(s->want.http_filter, s->want.port, err);
	struct session_of *session = filter ? calloc(1, sizeof(*session)) : NULL;
	struct http_settings settings;

	if (session && read_options(h, &s->want, session, &settings, err) == 0) {
		session->subscriber = s;
		if (join(h, session, filter, &settings) == 0)
			return 0;
		filter = NULL;
	}
	session_free(session);
	http_filter_free(filter);
	return error_is_set(err) ? -1 : error_set(err, ENOMEM, "filter port %u", s->want.port);
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
		tls_forget(p->http);
		session_free(session);
		port_tidy(h, p);
		return;
	}
}

static int dial_app(void *arg, const struct endpoint *client, const struct endpoint *destination, dial_done_fn done, void *done_arg,
		    struct dial **ret_dial)
{
	return passes_dial(arg, client, destination, done, done_arg, ret_dial);
}

/* The first session that can decrypt does it for all: what comes out is everybody's to filter. */
static struct tls_keys *keys_of(const struct port_of *p)
{
	for (const struct list *n = p->sessions.next; n != &p->sessions; n = n->next)
		if (container_of(n, const struct session_of, node)->keys)
			return container_of(n, const struct session_of, node)->keys;
	return NULL;
}

bool steal_http_has(const struct steal_http *h, uint16_t port)
{
	const struct port_of *p = port_find(h, port);

	return p && (keys_of(p) || http_port_needs_http(p->http));
}

size_t steal_http_count(void)
{
	return http_count() + tls_count();
}

bool steal_http_take(struct steal_http *h, struct passes *passes, const struct steal_taken *t)
{
	const struct http_peers peers = { .client = t->client, .destination = t->destination, .keeps_probes = t->keeps_probes,
					  .probing = t->probing, .dial_app = dial_app, .app = passes };
	const struct port_of *p = port_find(h, t->destination.port);
	struct tls_keys *keys = p ? keys_of(p) : NULL;

	if (!p || (!keys && !t->probing && !http_port_needs_http(p->http)))
		return false;
	if (keys)
		tls_serve(p->http, h->loop, t->fd, &peers, keys);
	else
		http_serve(p->http, t->fd, NULL, &peers);
	return true;
}
