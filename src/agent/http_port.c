// SPDX-License-Identifier: MIT
/* The filters of a port. A taker that is gone is kept while a connection still has its program at the other end. */
#include <stdlib.h>

#include "agent/http_internal.h"
#include "http/probe.h"

struct http_port *http_port_new(struct loop *loop)
{
	struct http_port *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->loop = loop;
	p->refs = 1;
	list_init(&p->takers);
	list_init(&p->conns);
	return p;
}

void http_port_ref(struct http_port *p)
{
	p->refs++;
}

void http_port_unref(struct http_port *p)
{
	if (--p->refs)
		return;
	loop_disarm(p->loop, &p->idle);
	loop_disarm(p->loop, &p->leave);
	free(p);
}

void http_port_free(struct http_port *p)
{
	if (p)
		http_port_unref(p);
}

struct http_taker *http_port_add(struct http_port *p, struct http_filter *filter, const struct http_settings *settings,
				 const struct http_taker_ops *ops, void *arg)
{
	struct http_taker *t = calloc(1, sizeof(*t));

	if (!t) {
		http_filter_free(filter);
		return NULL;
	}
	*t = (struct http_taker){ .port = p, .filter = filter, .settings = *settings, .ops = ops, .arg = arg, .refs = 1 };
	p->refs++;
	list_append(&p->takers, &t->node);
	return t;
}

void http_taker_ref(struct http_taker *t)
{
	if (t)
		t->refs++;
}

void http_taker_unref(struct http_taker *t)
{
	if (!t || --t->refs)
		return;
	http_port_unref(t->port);
	free(t);
}

/* Connections that are on their way to its program think again; those that aren't used will not be. */
static bool recall_from(struct http_conn *c, const struct http_taker *t)
{
	bool any = false;

	for (struct list *k = c->upstreams.next, *next; k != &c->upstreams; k = next) {
		struct http_upstream *u = container_of(k, struct http_upstream, node);

		next = k->next;
		if (u->taker != t)
			continue;
		if (c->stage == HTTP_DIVIDES && http_upstream_is_idle(u)) {
			http_upstream_drop(u);
			continue;
		}
		if (u->gateway)
			any |= http_gateway_recall(u->gateway);
		if (!u->dial)
			continue;
		u->dial->egress->ops->abandon(u->dial);
		u->dial = NULL;
		u->failed = -1;
		any = true;
	}
	return any;
}

static void recall(struct http_taker *t)
{
	for (struct list *n = t->port->conns.next, *next; n != &t->port->conns; n = next) {
		struct http_conn *c = container_of(n, struct http_conn, node);

		next = n->next;
		if (recall_from(c, t))
			http_run(c);
	}
}

void http_taker_remove(struct http_taker *t)
{
	struct http_port *p = t->port;

	list_remove(&t->node);
	http_filter_free(t->filter);
	t->filter = NULL;
	t->ops = NULL;
	recall(t);
	if (!http_port_needs_http(p))
		http_leave(p);
	http_taker_unref(t);
}

bool http_port_needs_http(const struct http_port *p)
{
	for (const struct list *n = p->takers.next; n != &p->takers; n = n->next) {
		const struct http_taker *t = container_of(n, struct http_taker, node);

		if (http_filter_is_set(t->filter) || t->settings.inject_headers || t->settings.override_cache_control)
			return true;
	}
	return false;
}

bool http_marks_of(const struct http_port *p, const struct http_taker *of, struct http_marks *ret)
{
	*ret = (struct http_marks){ 0 };
	for (const struct list *n = p->takers.next; n != &p->takers; n = n->next) {
		const struct http_taker *t = container_of(n, struct http_taker, node);

		if (t->settings.inject_headers)
			ret->agent = of ? "forwarded-to-client" : "passed-through";
		ret->no_cache |= t->settings.override_cache_control;
	}
	return ret->agent || ret->no_cache;
}

size_t http_body_max(const struct http_port *p)
{
	size_t most = 0;

	for (const struct list *n = p->takers.next; n != &p->takers; n = n->next) {
		const struct http_taker *t = container_of(n, struct http_taker, node);

		if (http_filter_is_set(t->filter) && t->settings.body_max > most)
			most = t->settings.body_max;
	}
	return most;
}

unsigned int http_body_ms(const struct http_port *p)
{
	unsigned int most = 1;

	for (const struct list *n = p->takers.next; n != &p->takers; n = n->next) {
		const struct http_taker *t = container_of(n, struct http_taker, node);

		if (http_filter_is_set(t->filter) && t->settings.body_ms > most)
			most = t->settings.body_ms;
	}
	return most;
}

bool http_port_sees_connections(const struct http_port *p)
{
	for (const struct list *n = p->takers.next; n != &p->takers; n = n->next)
		if (http_filter_of_connection(container_of(n, struct http_taker, node)->filter))
			return true;
	return false;
}

struct http_taker *http_rest(const struct http_port *p)
{
	for (struct list *n = p->takers.next; n != &p->takers; n = n->next) {
		struct http_taker *t = container_of(n, struct http_taker, node);

		if (!http_filter_is_set(t->filter))
			return t;
	}
	return NULL;
}

bool http_port_takes_rest(const struct http_port *p)
{
	return http_rest(p) != NULL;
}

static void count_trouble(struct http_taker *t)
{
	struct http_filter_trouble now = http_filter_trouble(t->filter);
	uint64_t n = now.regex - t->told.regex + now.jq - t->told.jq;

	if (n)
		t->ops->count(t->arg, COUNTER_HTTP_TROUBLE, n);
	t->told = now;
}

/* A body that is longer than the session wants to look at is none to its filter. @lost: somebody else has the request already, so that it is for
 * the count alone, and no jq program is asked. */
static enum http_verdict match(struct http_taker *t, const struct http_request *r, bool lost)
{
	struct http_request seen = *r;

	if (!http_filter_is_set(t->filter))
		return HTTP_NO;
	if (r->body.len > t->settings.body_max) {
		seen.body_state = HTTP_BODY_UNKNOWN;
		seen.body = (struct span){ NULL, 0 };
	}
	seen.asks_nobody = lost;
	return http_filter_match(t->filter, &seen);
}

enum http_choice http_choose(struct http_conn *c, const struct http_request *r, struct http_taker **ret)
{
	struct http_port *p = c->port;
	struct http_taker *winner = NULL;

	if (c->peers.keeps_probes && probe_is_request(r)) {
		http_count_all(p, COUNTER_PROBES);
		return HTTP_PROBE;
	}
	for (struct list *n = p->takers.next; n != &p->takers; n = n->next) {
		struct http_taker *t = container_of(n, struct http_taker, node);
		enum http_verdict v = match(t, r, winner);

		count_trouble(t);
		if (v == HTTP_NEEDS_ANSWERS && !winner) {
			http_jq_expect(p->loop);
			return HTTP_ASKS;
		}
		if (v == HTTP_NEEDS_BODY && !winner && r->method.len)
			return HTTP_WAIT;
		if (v == HTTP_YES && winner)
			t->ops->count(t->arg, COUNTER_HTTP_LOST, 1);
		else if (v == HTTP_YES)
			winner = t;
	}
	if (!winner)
		return HTTP_NOBODY;
	*ret = winner;
	return HTTP_TAKEN;
}

void http_count_all(struct http_port *p, enum counter what)
{
	for (struct list *n = p->takers.next; n != &p->takers; n = n->next) {
		struct http_taker *t = container_of(n, struct http_taker, node);

		t->ops->count(t->arg, what, 1);
	}
}
