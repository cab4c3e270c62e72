// SPDX-License-Identifier: MIT
/* The client's direction: its bytes are divided into requests, and each goes where a filter sends it. */
#include <stdlib.h>
#include <string.h>

#include "agent/http_internal.h"
#include "base/log.h"

/* Large, and of use only while one request is looked at. */
static struct h1_view view;

/* Follows the body that filters wait for. True: it is there, or will not be. */
static bool body_is_known(struct http_conn *c, const uint8_t *data, size_t len)
{
	return h1_wait_more(&c->wait, data + c->head_len, len - c->head_len, http_body_max(c->port)) || c->gave_up_body || c->client.ended;
}

/* The time for it begins with its first byte, when its client waits for leave to send it. */
static void wait_for_body(struct http_conn *c, size_t have)
{
	c->wants_body = true;
	if (!c->timer.index && (have || !c->request.expects))
		http_set_timer(c, http_body_ms(c->port));
}

/* A client that waits for leave to send its body gets it from us, behind the answers before it. */
static void say_continue(struct http_conn *c)
{
	static const char answer[] = "HTTP/1.1 100 Continue\r\n\r\n";

	if (!c->wants_body || !c->request.expects || c->own_continue || c->n_waiting || backlog_len(&c->held) != c->head_len)
		return;
	c->own_continue = true;
	http_end_write(c, &c->client, answer, strlen(answer));
	http_set_timer(c, http_body_ms(c->port));
}

/* Asks the filters, which have seen the head already, and the body now. */
static enum http_choice choose_by_body(struct http_conn *c, const uint8_t *body, struct http_taker **ret)
{
	enum http_choice choice;
	char *made;

	h1_wait_show(&c->wait, body, &view.request, &made);
	choice = http_choose(c, &view.request, ret);
	free(made);
	return choice;
}

/* Asks the filters. False: the body must be there first, or the answers of jq programs. */
static bool decide(struct http_conn *c, const uint8_t *data, size_t len)
{
	enum http_choice choice = HTTP_WAIT;
	struct http_taker *t = NULL;

	view.request.answers = &c->answers;
	view.request.client = c->peers.client.ip;
	view.request.sni = c->peers.sni;
	view.request.alpn = c->peers.alpn;
	if (!c->wants_body)
		choice = http_choose(c, &view.request, &t);
	if (choice == HTTP_WAIT) {
		if (!c->wants_body)
			c->wait = h1_wait_begin(&c->request);
		if (!body_is_known(c, data, len)) {
			wait_for_body(c, len - c->head_len);
			return false;
		}
		choice = choose_by_body(c, data + c->head_len, &t);
	}
	c->asked = c->asking = choice == HTTP_ASKS;
	if (c->asking)
		return false;
	jq_answers_fini(&c->answers);
	if (c->wants_body)
		loop_disarm(c->port->loop, &c->timer);
	c->wants_body = c->gave_up_body = false;
	if (choice == HTTP_TAKEN)
		t->ops->count(t->arg, COUNTER_HTTP_STOLEN, 1);
	else if (choice == HTTP_NOBODY)
		http_count_all(c->port, COUNTER_HTTP_PASSED);
	http_taker_ref(t);
	c->wanted = t;
	c->kept = choice == HTTP_PROBE;
	c->decided = true;
	return true;
}

/* Does it ask for HTTP/2? */
static void note_h2c(struct http_conn *c)
{
	size_t len;

	c->h2c_len = -1;
	if (c->request.upgrade && h2c_is_asked(&view.request, c->h2c, &len))
		c->h2c_len = (int8_t)len;
}

/* Looks at the head at @data. False: more bytes are needed, or answers. */
static bool read_head(struct http_conn *c, const uint8_t *data, size_t len)
{
	ssize_t n;

	if (c->wants_body && !body_is_known(c, data, len)) {
		wait_for_body(c, len - c->head_len);
		return false;
	}
	n = c->wants_body || c->asked ? (ssize_t)c->head_len : h1_find_head(&c->scan, data, len);
	if (n == 0)
		return false;
	c->head_len = n > 0 ? (uint32_t)n : 0;
	if (n > 0 && h1_parse_request(data, (size_t)n, &c->request, &view) == 0) {
		note_h2c(c);
		return decide(c, data, len);
	}
	http_count_all(c->port, COUNTER_HTTP_UNSAFE);
	log_limited(LOG_LEVEL_INFO, "http: a request whose end is ambiguous: from here on the connection is passed on as it is");
	c->decided = c->unsafe = true;
	return true;
}

static void undecide(struct http_conn *c)
{
	http_taker_unref(c->wanted);
	c->wanted = NULL;
	c->kept = c->decided = c->tried = false;
	c->scan = (struct h1_scan){ 0 };
}

/* Whose the decided request is. NULL: the app's. */
static struct http_taker *destination(const struct http_conn *c)
{
	return c->kept ? NULL : c->wanted ? c->wanted : http_home(c);
}

/* Its session has gone, and with it the way to the program: who else wants the request? */
static bool is_orphan(const struct http_conn *c)
{
	return c->wanted && !c->wanted->ops && c->current && c->current->taker == c->wanted && c->current->failed;
}

/* Makes `current` the upstream that the request is for. False: not yet, or the connection has come to something else. */
static bool switch_upstream(struct http_conn *c)
{
	struct http_taker *t = destination(c);
	struct http_upstream *u = c->current;

	/* Answers come in order because nobody else has any to give. */
	if (u && c->n_waiting)
		return u->taker == t;
	if (!c->tried || !u || u->taker != t)
		u = c->current = http_upstream_to(c, t);
	c->tried = true;
	if (!u || (u->failed && !u->taker))
		http_reset(c);
	else if (is_orphan(c))
		http_upstream_drop(u);
	else if (u->failed)
		http_fail(c, u, "can't be connected to", u->failed);
	return c->stage == HTTP_DIVIDES && c->current && c->current->end.watch.fd >= 0;
}

static void begin_request(struct http_conn *c)
{
	unsigned int at = (c->first + c->n_waiting) % HTTP_PIPELINE;

	undecide(c);
	c->current->rested = c->quiet = false;
	c->waiting[at] = (uint8_t)((c->request.head ? HTTP_WAITS_HEAD : 0) | (c->request.connect ? HTTP_WAITS_CONNECT : 0) |
				   (c->request.last ? HTTP_WAITS_LAST : 0));
	c->n_waiting++;
	c->body = h1_body_of(&c->request);
	c->in_body = true;
}

/* The answer to the last request has begun, or was given: the server has said that it goes on with HTTP. */
static bool is_answered(const struct http_conn *c)
{
	return !c->n_waiting || (c->n_waiting == 1 && c->current->in_body);
}

static void end_request(struct http_conn *c)
{
	c->in_body = false;
	c->scan = (struct h1_scan){ 0 };
	c->upgrading = c->request.upgrade && !is_answered(c);
	c->behind_last = c->request.last && !c->request.upgrade;
}

static bool may_go_on(const struct http_conn *c)
{
	return c->stage == HTTP_DIVIDES && !c->upgrading && !c->asking && (!c->closing || c->in_body) && c->n_waiting < HTTP_PIPELINE &&
	       (!c->current || !backlog_len(&c->current->end.out));
}

/* What divide() has found out about some bytes. */
struct division {
	size_t sent, at; /* forwarded; to be forwarded to `current` */
	bool relay;	 /* to `current`, all that follows */
};

static void forward(struct http_conn *c, struct division *d, const uint8_t *data)
{
	if (d->at > d->sent)
		http_end_write(c, &c->current->end, data + d->sent, d->at - d->sent);
	d->sent = d->at;
}

/* The head at d->at. False: not now. */
static bool divide_head(struct http_conn *c, struct division *d, const uint8_t *data, size_t len)
{
	if (!c->decided && !read_head(c, data + d->at, len - d->at)) {
		c->starved = true;
		return false;
	}
	if (c->current && c->current->taker != destination(c))
		forward(c, d, data);
	if (!switch_upstream(c)) {
		if (c->stage != HTTP_DIVIDES || c->current)
			return false;
		undecide(c);
		return divide_head(c, d, data, len);
	}
	if (c->unsafe) {
		d->relay = true;
		return false;
	}
	begin_request(c);
	d->at += c->head_len;
	return true;
}

/* Forwards what can be. Returns how many of the bytes are done with. */
static size_t divide(struct http_conn *c, const uint8_t *data, size_t len, bool *ret_relay)
{
	struct division d = { 0 };
	ssize_t n;

	c->starved = false;
	while (d.at < len && may_go_on(c)) {
		if (c->behind_last) {
			d.at = len;
			break;
		}
		if (!c->in_body && !divide_head(c, &d, data, len))
			break;
		n = h1_body_take(&c->body, data + d.at, len - d.at);
		if (n < 0) {
			http_count_all(c->port, COUNTER_HTTP_UNSAFE);
			d.relay = true;
			break;
		}
		d.at += (size_t)n;
		if (c->body.done)
			end_request(c);
	}
	if (c->stage == HTTP_DIVIDES && c->current)
		forward(c, &d, data);
	*ret_relay = d.relay;
	return d.at;
}

/* Looks at what is kept, if that can lead to anything. True: it did, or more bytes are needed. */
static bool take_held(struct http_conn *c)
{
	bool relay = false;
	size_t done = divide(c, backlog_first(&c->held), backlog_len(&c->held), &relay);

	if (c->stage != HTTP_DIVIDES)
		return true;
	http_kept_take(&c->held, done);
	if (relay)
		http_relay(c, c->current);
	return done > 0 || relay || c->starved;
}

static bool take_some(struct http_conn *c)
{
	size_t n, done = 0;
	bool relay = false;

	if (backlog_len(&c->held) && (!c->starved || c->gave_up_body || (c->wants_body && c->client.ended)))
		return take_held(c);
	n = http_end_read(c, &c->client);
	if (!n)
		return false;
	if (backlog_len(&c->held))
		c->starved = false;
	else
		done = divide(c, http_buffer, n, &relay);
	if (c->stage != HTTP_DIVIDES)
		return true;
	if (!http_keep(&c->held, http_buffer + done, n - done))
		http_reset(c);
	else if (relay)
		http_relay(c, c->current);
	return true;
}

/* The client has sent its last byte. Half an end is passed on to whom it is talking with. */
static void on_end(struct http_conn *c)
{
	if (c->n_waiting || c->in_body || c->behind_last)
		http_relay(c, c->current);
	else if (!backlog_len(&c->held) && c->current && (c->current->taker || http_home(c)))
		http_end(c);
	else
		http_relay(c, NULL);
}

/* The answer on its way is the last: what comes of the client is of no use to its server. A client that asks again has seen its end. */
static bool hear_out(struct http_conn *c)
{
	size_t n, heard = backlog_len(&c->held);

	http_kept_take(&c->held, heard);
	while ((n = http_end_read(c, &c->client)) > 0)
		heard += n;
	if (heard && c->unclear)
		http_linger(c);
	else if (c->client.ended && !c->client.broken)
		http_relay(c, c->current);
	return heard > 0;
}

bool http_take_requests(struct http_conn *c)
{
	bool moved = false;

	while (may_go_on(c) && take_some(c))
		moved = true;
	if (c->stage != HTTP_DIVIDES)
		return moved;
	say_continue(c);
	if (c->closing && !c->in_body)
		return hear_out(c) || moved;
	if (c->upgrading ? c->client.more : c->client.ended && !c->decided && !c->asking && (c->starved || !backlog_len(&c->held))) {
		on_end(c);
		return true;
	}
	return moved;
}
