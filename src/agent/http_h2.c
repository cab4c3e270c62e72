// SPDX-License-Identifier: MIT
/* HTTP/2: bytes between sockets and src/http/h2.c, which routes streams. Each stream asks the filters once; a session's program is connected
 * when the first stream is for it. */
#include <errno.h>
#include <string.h>

#include "agent/http_internal.h"
#include "base/log.h"
#include "http/sniff.h"

enum { GATHER = 64 << 10 }; /* bytes of frames for one write, and one more frame: far less than the buffer */

static struct http_upstream *find(struct http_conn *c, struct http_taker *t)
{
	for (struct list *n = c->upstreams.next; n != &c->upstreams; n = n->next) {
		struct http_upstream *u = container_of(n, struct http_upstream, node);

		if (u->taker == t && u->link && !u->failed && !u->end.ended && !u->end.broken && !h2_is_leaving(u->link))
			return u;
	}
	return NULL;
}

void http_multiplex_mark(struct http_upstream *u)
{
	struct http_marks marks;

	http_marks_of(u->conn->port, u->taker, &marks);
	h2_mark(u->link, &marks);
}

static bool connect_link(struct http_conn *c, struct http_upstream *u, bool home)
{
	u->link = h2_connect(c->h2, home);
	if (u->link)
		http_multiplex_mark(u);
	return u->link != NULL;
}

static struct h2_link *link_to(struct http_conn *c, struct http_taker *t)
{
	struct http_upstream *u = find(c, t);

	if (u)
		return u->link;
	u = http_upstream_new(c, t);
	if (!u)
		return NULL;
	if (!connect_link(c, u, false)) {
		http_upstream_drop(u);
		return NULL;
	}
	return u->link;
}

static struct h2_link *choose(void *arg, struct http_request *r, enum h2_lack *ret_lacks)
{
	struct http_conn *c = arg;
	struct http_taker *t = NULL;
	enum http_choice choice;

	r->client = c->peers.client.ip;
	r->sni = c->peers.sni;
	r->alpn = c->peers.alpn;
	choice = http_choose(c, r, &t);
	if (choice == HTTP_WAIT || choice == HTTP_ASKS) {
		*ret_lacks = choice == HTTP_WAIT ? H2_LACKS_BODY : H2_LACKS_ANSWERS;
		return NULL;
	}
	if (choice == HTTP_TAKEN)
		t->ops->count(t->arg, COUNTER_HTTP_STOLEN, 1);
	else if (choice == HTTP_NOBODY)
		http_count_all(c->port, COUNTER_HTTP_PASSED);
	return link_to(c, choice == HTTP_NOBODY ? http_home(c) : t);
}

static uint64_t on_wait(void *arg)
{
	struct http_conn *c = arg;

	if (!c->timer.index)
		http_set_timer(c, http_body_ms(c->port));
	return loop_now(c->port->loop) + http_body_ms(c->port) * (uint64_t)LOOP_MS;
}

static void on_answers(void *arg)
{
	http_on_answers(arg);
}

static const struct h2_events events = { .choose = choose, .on_wait = on_wait, .on_answers = on_answers };

bool http_multiplex_begin(struct http_conn *c)
{
	c->stage = HTTP_MULTIPLEXES;
	c->h2 = h2_new(&events, c, http_body_max(c->port));
	if (!c->h2)
		return false;
	return connect_link(c, c->current, true);
}

bool http_multiplex_upgraded(struct http_conn *c, struct http_upstream *u)
{
	bool is_head = c->waiting[c->first] & HTTP_WAITS_HEAD;

	for (struct list *n = c->upstreams.next, *next; n != &c->upstreams; n = next) {
		next = n->next;
		if (n != &u->node) /* they speak HTTP/1 */
			http_upstream_drop(container_of(n, struct http_upstream, node));
	}
	c->stage = HTTP_MULTIPLEXES;
	c->current = u;
	c->h2 = h2_new(&events, c, http_body_max(c->port));
	u->link = c->h2 ? h2_connect_upgraded(c->h2, true, c->h2c, (size_t)c->h2c_len, is_head) : NULL;
	if (!u->link)
		return false;
	http_multiplex_mark(u);
	u->proven = true;
	h2_receive(u->link, backlog_first(&u->held), backlog_len(&u->held));
	http_kept_take(&u->held, backlog_len(&u->held));
	return true;
}

/* What one end has sent goes to its link. */
static bool take(struct http_conn *c, struct http_end *e, struct h2_link *l)
{
	size_t n = http_end_read(c, e);

	return n && h2_receive(l, http_buffer, n);
}

/* What a link has to send goes to its end, as long as that takes it. */
static bool give(struct http_conn *c, struct http_end *e, struct h2_link *l)
{
	size_t n, filled = 0;
	const uint8_t *data;

	if (e->watch.fd < 0 || e->broken || backlog_len(&e->out))
		return false;
	/* nghttp2 gives frame by frame; they are gathered for one write. */
	while (filled < GATHER && (n = h2_pull(l, &data)) > 0) {
		memcpy(http_buffer + filled, data, n);
		filled += n;
	}
	http_end_write(c, e, http_buffer, filled);
	return filled > 0;
}

/* A session's program may not know HTTP/2. How that begins is sent alone, and nothing else before it has answered so; what answers
 * otherwise, or ends, is connected to again with HTTP/1. No request was sent to it by then. */
static bool greet_program(struct http_conn *c, struct http_upstream *u)
{
	const uint8_t *data;
	size_t n;

	if (u->end.watch.fd < 0 || u->greeted)
		return false;
	u->greeted = true;
	for (int i = 0; i < 2 && (n = h2_pull(u->link, &data)) > 0; i++) { /* the preface, SETTINGS */
		http_end_write(c, &u->end, data, n);
		if (!http_keep(&u->held, data, n))
			u->failed = ENOMEM;
	}
	return true;
}

static void fall_back(struct http_conn *c, struct http_upstream *u)
{
	log_limited(LOG_LEVEL_INFO, "http: the local program doesn't speak HTTP/2 and gets HTTP/1");
	http_end_close(c, &u->end);
	u->end = (struct http_end){ .watch.fd = -1 };
	u->gateway = http_gateway_new(c, u->taker);
	if (u->gateway)
		http_gateway_receive(u->gateway, backlog_first(&u->held), backlog_len(&u->held));
	else
		u->failed = ENOMEM;
	http_kept_take(&u->held, backlog_len(&u->held));
}

/* Its session has gone before a request was sent to it. */
static bool is_orphan(const struct http_upstream *u)
{
	return u->taker && !u->taker->ops && !u->proven && !u->gateway;
}

/* True when something was done. */
static bool prove(struct http_conn *c, struct http_upstream *u)
{
	bool moved = greet_program(c, u);
	size_t n = u->end.watch.fd < 0 ? 0 : http_end_read(c, &u->end);

	if (n && sniff_server_is_http2(http_buffer, n)) {
		u->proven = true;
		http_kept_take(&u->held, backlog_len(&u->held));
		h2_receive(u->link, http_buffer, n);
	} else if (n || ((u->end.ended || u->end.broken) && !u->end.readable)) {
		if (is_orphan(u))
			u->failed = ECONNREFUSED;
		else
			fall_back(c, u);
	} else {
		return moved;
	}
	return true;
}

static bool move_server(struct http_conn *c, struct http_upstream *u)
{
	bool moved = false;

	if (u->failed)
		return false;
	if (u->gateway)
		return http_gateway_move(u->gateway, u->link);
	if (u->taker && !u->proven)
		return prove(c, u);
	while (take(c, &u->end, u->link))
		moved = true;
	return give(c, &u->end, u->link) || moved;
}

static const char *reason_of(const struct http_upstream *u)
{
	if (u->failed)
		return "the local program can't be connected to";
	return "the local program ended without an answer";
}

/* The app ended in the middle, and the client has nobody else to hear: its connection ends in the same way. A reset of each stream would say
 * something else: that the server is there, and refused (gRPC: INTERNAL instead of UNAVAILABLE, and no other server is tried). */
static bool end_as_app(struct http_conn *c, const struct http_upstream *u)
{
	if (u->taker || u->failed || !u->end.ended || !h2_is_all(u->link))
		return false;
	while (give(c, &c->client, h2_client(c->h2)))
		;
	if (u->end.broken)
		http_reset(c);
	else
		http_linger(c);
	return true;
}

/* A server has gone. */
static bool drop_if_gone(struct http_conn *c, struct http_upstream *u)
{
	bool there = u->gateway || u->end.watch.fd >= 0;
	bool gone = u->failed || ((u->end.ended || u->end.broken) && !u->end.readable) || (there && h2_is_over(u->link)) ||
		    (u->gateway && http_gateway_is_broken(u->gateway));
	struct h2_link *l = u->link;
	size_t failed;

	if (!gone)
		return false;
	if (end_as_app(c, u))
		return true;
	u->link = NULL;
	if (is_orphan(u)) {
		h2_ask_again(l);
	} else {
		failed = h2_disconnect(l, u->taker ? reason_of(u) : NULL);
		if (u->taker && u->taker->ops && failed)
			u->taker->ops->count(u->taker->arg, COUNTER_HTTP_FAILED, failed);
	}
	h2_greet(c->h2);
	if (u == c->current && !u->failed) /* where the client meant to be: it should come again */
		h2_leave(h2_client(c->h2));
	http_upstream_drop(u);
	return true;
}

static bool move_servers(struct http_conn *c)
{
	bool moved = false;

	for (struct list *n = c->upstreams.next, *next; c->stage == HTTP_MULTIPLEXES && n != &c->upstreams; n = next) {
		struct http_upstream *u = container_of(n, struct http_upstream, node);

		next = n->next;
		moved |= move_server(c, u);
		moved |= drop_if_gone(c, u);
	}
	return moved;
}

static bool move_client(struct http_conn *c)
{
	struct h2_link *client = h2_client(c->h2);
	size_t held = backlog_len(&c->held);
	bool moved = held > 0;

	if (!h2_has_greeted(c->h2))
		return false;
	if (held) {
		h2_receive(client, backlog_first(&c->held), held);
		http_kept_take(&c->held, held);
	}
	while (take(c, &c->client, client))
		moved = true;
	return give(c, &c->client, client) || moved;
}

/* A client that has ended is heard to its end, and then nothing is left to wait for: not for what the app will say it can do either. */
static void hear_the_end(struct http_conn *c)
{
	if (c->client.more && !h2_has_greeted(c->h2) && c->current && c->current->end.watch.fd >= 0)
		h2_greet(c->h2);
}

void http_multiplex(struct http_conn *c)
{
	struct h2_link *client = h2_client(c->h2);
	bool moved;

	hear_the_end(c);
	if (c->leaving && h2_has_greeted(c->h2))
		(c->leaving == HTTP_GOES ? h2_leave : h2_warn)(client);
	do {
		moved = move_client(c);
		moved |= move_servers(c);
	} while (moved && !c->client.broken && c->stage == HTTP_MULTIPLEXES);
	if (c->stage != HTTP_MULTIPLEXES)
		return;
	if (c->client.broken)
		http_reset(c);
	else if (c->client.ended && !c->client.readable)
		http_end(c);
	else if (h2_is_over(client))
		http_linger(c);
}
