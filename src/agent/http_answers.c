// SPDX-License-Identifier: MIT
/* The servers' direction. Only `current` owes answers; they are followed to know when it has given all of them. */
#include <string.h>

#include "agent/http_internal.h"
#include "base/log.h"

/* What follow() has found out about some bytes. */
struct division {
	size_t sent, at; /* forwarded; to be forwarded */
	bool relay;	 /* all that follows, unread */
};

static void forward(struct http_conn *c, struct division *d, const uint8_t *data)
{
	if (d->at <= d->sent)
		return;
	http_end_write(c, &c->client, data + d->sent, d->at - d->sent);
	d->sent = d->at;
}

/* A session's program that gets no request but those that its filter wants. */
static bool is_picky(const struct http_conn *c, const struct http_upstream *u)
{
	return u->taker && u->taker != http_home(c);
}

/* All that comes of it belongs to the answer, and then the connection ends: what the client sends behind its request isn't for this program. */
static void begin_last_answer(struct http_conn *c, struct http_upstream *u)
{
	static const struct h1_message until_close = { .framing = H1_UNTIL_CLOSE };

	c->closing = true;
	c->upgrading = false;
	u->body = h1_body_of(&until_close);
	u->in_body = true;
}

/* A head has come. */
static void begin_answer(struct http_conn *c, struct http_upstream *u, const struct h1_message *m, struct division *d)
{
	bool last = c->waiting[c->first] & HTTP_WAITS_LAST && c->n_waiting == 1;

	/* The last answer needs no following. */
	if (m->upgrade || last || ((m->last || m->framing == H1_UNTIL_CLOSE) && !is_picky(c, u))) {
		d->relay = true;
		return;
	}
	if (m->last || m->framing == H1_UNTIL_CLOSE) {
		begin_last_answer(c, u);
		return;
	}
	if (c->upgrading && c->n_waiting == 1)
		c->upgrading = false; /* the server goes on with HTTP */
	u->body = h1_body_of(m);
	u->in_body = true;
}

/* A head of @len bytes at d->at goes out with its marks. */
static void mark(struct http_conn *c, const struct http_upstream *u, struct division *d, const uint8_t *data, size_t len)
{
	static uint8_t marked[HTTP_HEAD_MAX + HTTP_MARKS_MAX];
	struct http_marks m;

	if (!http_marks_of(c->port, u->taker, &m))
		return;
	forward(c, d, data);
	http_end_write(c, &c->client, marked, http_mark_head(&m, data + d->at, len, marked));
	d->sent = d->at + len;
}

/* An answer, or what stands in its place, that may end anywhere. */
static void give_up(struct http_conn *c, struct http_upstream *u, struct division *d)
{
	http_count_all(c->port, COUNTER_HTTP_UNSAFE);
	log_limited(LOG_LEVEL_INFO, "http: an answer whose end is ambiguous: from here on the connection is passed on as it is");
	d->relay = !is_picky(c, u);
	if (d->relay)
		return;
	begin_last_answer(c, u);
	c->unclear = true;
}

/* The head at d->at. False: it isn't complete, or there is nothing to be followed any more. */
static bool follow_head(struct http_conn *c, struct http_upstream *u, struct division *d, const uint8_t *data, size_t len)
{
	uint8_t waits = c->waiting[c->first];
	const struct h1_message request = { .head = waits & HTTP_WAITS_HEAD, .connect = waits & HTTP_WAITS_CONNECT };
	ssize_t n = h1_find_head(&u->scan, data + d->at, len - d->at);
	struct h1_message m;

	if (n == 0)
		return false;
	u->scan = (struct h1_scan){ 0 };
	u->begun = true;
	if (n < 0 || h1_parse_response(data + d->at, (size_t)n, &request, &m) < 0) {
		give_up(c, u, d);
		return !d->relay;
	}
	if (m.status == 100 && c->own_continue) {
		forward(c, d, data);
		d->at = d->sent = d->at + (size_t)n;
		c->own_continue = u->begun = false;
		return true;
	}
	if (m.status == 101 && c->n_waiting == 1 && c->upgrading && c->h2c_len >= 0 && h2c_is_granted(data + d->at, (size_t)n)) {
		d->at += (size_t)n;
		c->stage = HTTP_MULTIPLEXES;
		return false;
	}
	if (m.status >= 200)
		mark(c, u, d, data, (size_t)n);
	d->at += (size_t)n;
	if (m.status >= 200 || m.upgrade)
		begin_answer(c, u, &m, d);
	return !d->relay;
}

static void end_answer(struct http_conn *c, struct http_upstream *u)
{
	u->in_body = u->begun = false;
	c->own_continue = false;
	c->first = (uint8_t)((c->first + 1) % HTTP_PIPELINE);
	c->n_waiting--;
}

/* Forwards answers. Returns how many of the bytes are done with. */
static size_t follow(struct http_conn *c, struct http_upstream *u, const uint8_t *data, size_t len, bool *ret_relay)
{
	struct division d = { 0 };
	ssize_t n;

	while (d.at < len && c->n_waiting) {
		if (!u->in_body) {
			if (!follow_head(c, u, &d, data, len))
				break;
			if (!u->in_body)
				continue;
		}
		n = h1_body_take(&u->body, data + d.at, len - d.at);
		if (n < 0) {
			give_up(c, u, &d);
			if (d.relay)
				break;
			continue;
		}
		d.at += (size_t)n;
		if (u->body.done)
			end_answer(c, u);
	}
	forward(c, &d, data);
	if (d.at < len && !c->n_waiting)
		d.relay = !is_picky(c, u); /* more than was asked for */
	*ret_relay = d.relay;
	return d.at;
}

/* A program that says more than it was asked for, or has ended, though not all of the request has come. */
static void drop_talker(struct http_conn *c, struct http_upstream *u)
{
	if (u == c->current && c->in_body)
		http_linger(c);
	else
		http_upstream_drop(u);
}

static bool take_some(struct http_conn *c, struct http_upstream *u)
{
	size_t n = http_end_read(c, &u->end), done;
	bool relay = false;

	if (!n)
		return false;
	if (!backlog_len(&u->held)) {
		done = follow(c, u, http_buffer, n, &relay);
		if (done < n && !http_keep(&u->held, http_buffer + done, n - done))
			http_reset(c);
	} else if (http_keep(&u->held, http_buffer, n)) {
		done = follow(c, u, backlog_first(&u->held), backlog_len(&u->held), &relay);
		http_kept_take(&u->held, done);
	} else {
		http_reset(c);
	}
	if (relay && c->stage == HTTP_DIVIDES)
		http_relay(c, u);
	else if (c->stage == HTTP_DIVIDES && !c->n_waiting && backlog_len(&u->held))
		drop_talker(c, u);
	if (c->stage == HTTP_MULTIPLEXES && !http_multiplex_upgraded(c, u))
		http_reset(c);
	return true;
}

/* The server that owes an answer has ended. */
static void on_end(struct http_conn *c, struct http_upstream *u)
{
	if (!u->taker && !u->end.broken) {
		http_relay(c, u); /* as the app ends without us */
		return;
	}
	if (c->closing && !u->end.broken) {
		http_end_as(&u->end, &c->client);
		http_linger(c);
		return;
	}
	u->begun |= backlog_len(&u->held) > 0;
	if (u->taker)
		http_fail(c, u, u->begun ? "ended in the middle of its answer" : "ended without an answer", 0);
	else
		http_reset(c);
}

/* Servers that owe nothing have nothing to say but that they end. The client hears it of the one it talked with last, if that is where all
 * goes that no filter wants; a program that ends is connected to again when it is needed. */
static bool take_ends(struct http_conn *c)
{
	bool moved = false;

	for (struct list *n = c->upstreams.next, *next; n != &c->upstreams && c->stage == HTTP_DIVIDES; n = next) {
		struct http_upstream *u = container_of(n, struct http_upstream, node);

		next = n->next;
		if ((u == c->current && c->n_waiting) || u->end.watch.fd < 0 || !http_end_has_something(c, &u->end))
			continue;
		moved = true;
		if (u == c->current && u->taker == http_home(c))
			http_relay(c, u);
		else
			drop_talker(c, u);
	}
	return moved;
}

bool http_take_answers(struct http_conn *c)
{
	struct http_upstream *u = c->current;
	bool moved = false;

	while (c->stage == HTTP_DIVIDES && u && c->n_waiting && !backlog_len(&c->client.out) && take_some(c, u))
		moved = true;
	if (c->stage != HTTP_DIVIDES)
		return moved;
	if (u && c->n_waiting && (u->end.ended || u->end.broken) && !u->end.readable && !backlog_len(&c->client.out)) {
		on_end(c, u);
		return true;
	}
	return take_ends(c) || moved;
}
