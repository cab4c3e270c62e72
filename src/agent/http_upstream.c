// SPDX-License-Identifier: MIT
/* Where an HTTP connection's requests go.
 *
 * `home` is where everything goes that no filter wants: the target's app, or the program of a session that steals all. It is connected when
 * the client is. A program is connected when a request first matches its filter, and kept. So a client connection has one
 * connection to the app at a time, and one to each session's program. */
#include <errno.h>
#include <stdlib.h>

#include "agent/http_internal.h"

/* One that owes nothing hears a plain end, no reset. Its own end may find no way back to us, when the agent and its rules are gone by then:
 * the kernel isn't to wait for it long. */
void http_upstream_free(struct http_upstream *u)
{
	struct http_conn *c = u->conn;

	if (u->end.watch.fd >= 0 && !backlog_len(&u->end.out) && (u != c->current || (!c->n_waiting && !c->in_body)))
		http_end_in_peace(&u->end, true);
	if (u->dial)
		u->dial->egress->ops->abandon(u->dial);
	http_gateway_free(u->gateway);
	http_end_close(c, &u->end);
	http_kept_take(&u->held, backlog_len(&u->held));
	backlog_fini(&u->held);
	list_remove(&u->node);
	http_taker_unref(u->taker);
	free(u);
}

void http_upstream_drop(struct http_upstream *u)
{
	struct http_conn *c = u->conn;

	if (u == c->current)
		c->current = NULL;
	http_upstream_free(u);
}

static void on_upstream(struct watch *w, uint32_t events)
{
	struct http_upstream *u = container_of(container_of(w, struct http_end, watch), struct http_upstream, end);

	http_end_note(&u->end, events);
	if (events & (EPOLLOUT | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		http_end_flush(u->conn, &u->end);
	http_run(u->conn);
}

static void on_dialed(struct http_upstream *u)
{
	int r = http_end_take(u->conn, &u->end, u->dial, on_upstream);

	u->dial = NULL;
	if (r < 0)
		u->failed = -r;
}

bool http_refusal_passes(int error)
{
	return error > 0 && error != ECONNRESET && error != ETIMEDOUT && error != EPROTO;
}

struct http_taker *http_home(const struct http_conn *c)
{
	return c->peers.home_refused ? NULL : http_rest(c->port);
}

static void dial(struct http_upstream *u);

/* What a program refuses that would have had all the rest is the app's, as without HTTP. Nothing was said to it yet. */
static void on_dial_failed(struct http_upstream *u, int error)
{
	struct http_taker *t = u->taker;

	u->dial = NULL;
	u->failed = error;
	if (!t || t != http_home(u->conn) || !http_refusal_passes(error))
		return;
	t->ops->count(t->arg, COUNTER_STOLEN_PASSED, 1);
	u->conn->peers.home_refused = true;
	u->taker = NULL;
	u->failed = 0;
	http_taker_unref(t);
	if (u->link)
		http_multiplex_mark(u);
	dial(u);
}

static void on_dial_done(void *arg, int error)
{
	struct http_upstream *u = arg;

	if (error)
		on_dial_failed(u, error);
	else
		on_dialed(u);
	http_run(u->conn);
}

static int dial_program(const struct http_peers *peers, const struct http_taker *t, struct span alpn, dial_done_fn done, void *arg,
			struct dial **ret_dial)
{
	struct endpoint local, remote;
	struct egress *egress = NULL;

	if (t->ops)
		egress = t->ops->deliver(t->arg, &peers->client, &peers->destination, &local, &remote);
	if (!egress)
		return ECONNREFUSED;
	if (peers->dial_program)
		return peers->dial_program(peers->app, egress, &local, &remote, t->settings.delivery, alpn, done, arg, ret_dial);
	return egress->ops->dial(egress, &local, &remote, done, arg, ret_dial);
}

int http_dial(const struct http_peers *peers, const struct http_taker *t, struct span alpn, dial_done_fn done, void *arg,
	      struct dial **ret_dial)
{
	if (t)
		return dial_program(peers, t, alpn, done, arg, ret_dial);
	return peers->dial_app(peers->app, &peers->client, &peers->destination, done, arg, ret_dial);
}

int http_dial_home(struct http_port *p, const struct http_peers *peers, dial_done_fn done, void *arg, struct dial **ret_dial)
{
	return http_dial(peers, peers->home_refused ? NULL : http_rest(p), (struct span){ NULL, 0 }, done, arg, ret_dial);
}

static void dial(struct http_upstream *u)
{
	int error = http_dial(&u->conn->peers, u->taker, (struct span){ NULL, 0 }, on_dial_done, u, &u->dial);

	if (error && error != EINPROGRESS)
		on_dial_failed(u, error);
	else if (!error)
		on_dialed(u);
}

struct http_upstream *http_upstream_new(struct http_conn *c, struct http_taker *t)
{
	struct http_upstream *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->conn = c;
	u->taker = t;
	u->end.watch.fd = -1;
	http_taker_ref(t);
	list_append(&c->upstreams, &u->node);
	if (t)
		http_idle_watch(c->port);
	dial(u);
	return u;
}

/* A connection that has ended, or isn't asked for an answer and says something all the same: the next request needs a new one. */
static bool is_stale(struct http_upstream *u)
{
	return u->failed || http_end_has_something(u->conn, &u->end);
}

struct http_upstream *http_upstream_to(struct http_conn *c, struct http_taker *t)
{
	for (struct list *n = c->upstreams.next; n != &c->upstreams; n = n->next) {
		struct http_upstream *u = container_of(n, struct http_upstream, node);

		if (u->taker != t)
			continue;
		if ((u == c->current && (c->n_waiting || c->in_body)) || !is_stale(u))
			return u;
		http_upstream_drop(u);
		break;
	}
	return http_upstream_new(c, t);
}
