// SPDX-License-Identifier: MIT
/* A program that serves one connection after the other serves nobody while one is kept for a client that asks the app meanwhile, or asks nothing.
 * So a connection to a program that was not used for a while is ended, and made again when it is needed. One look in a while at all of a port's
 * is enough for that, and costs a request nothing. Where all goes that no filter wants, the program's connection is as the client's. */
#include "agent/http_internal.h"

bool http_upstream_is_idle(const struct http_upstream *u)
{
	const struct http_conn *c = u->conn;

	return u->end.watch.fd >= 0 && !backlog_len(&u->end.out) && (u != c->current || (!c->n_waiting && !c->in_body && !c->decided));
}

/* True when there is something to look at again. */
static bool look_at(struct http_conn *c, struct http_upstream *u)
{
	if (u->gateway) {
		http_gateway_end_idle(u->gateway);
		return true;
	}
	if (c->stage != HTTP_DIVIDES || !u->taker || u->taker == http_home(c))
		return false;
	if (u->rested && http_upstream_is_idle(u)) {
		http_upstream_drop(u);
		return false;
	}
	u->rested = true;
	return true;
}

static void on_due(struct timer *t)
{
	struct http_port *p = container_of(t, struct http_port, idle);
	bool any = false;

	for (struct list *n = p->conns.next; n != &p->conns; n = n->next) {
		struct http_conn *c = container_of(n, struct http_conn, node);

		for (struct list *k = c->upstreams.next, *next; k != &c->upstreams; k = next) {
			next = k->next;
			any |= look_at(c, container_of(k, struct http_upstream, node));
		}
	}
	if (any)
		http_idle_watch(p);
}

void http_idle_watch(struct http_port *p)
{
	p->idle.on_due = on_due;
	if (!p->idle.index)
		loop_arm(p->loop, &p->idle, loop_now(p->loop) + HTTP_IDLE_MS * (uint64_t)LOOP_MS);
}
