// SPDX-License-Identifier: MIT
/* A picker's life.
 *
 *   SNIFFS ─ HTTP/1 ─► DIVIDES ─ behind a wanted upgrade, CONNECT or last request ─► COPIES
 *      │                  └───── behind another one; an unsafe message ────────────► IGNORES
 *      ├─ HTTP/2 ─► STREAMS (h2_picker.c) ─ it can't be read any further ───────────► IGNORES
 *      ├─ TLS that the filter wants for its server name or client ─► COPIES
 *      └─ anything else ─► IGNORES
 *
 * A head is kept until it is whole, and a request with it until its body is there, when a filter wants to see that. Since nobody waits, there
 * is no time limit for a body.
 *
 * Whether the server agreed to an upgrade is told by what the client sends next: another request, or not. So no request that isn't wanted
 * passes behind one that was refused. */
#include "http/picker.h"

#include <stdlib.h>

#include "http/h1_wait.h"
#include "http/h2_picker.h"
#include "http/sniff.h"

enum stage { SNIFFS, DIVIDES, STREAMS, COPIES, IGNORES };

struct picker {
	struct http_filter *filter;
	const struct picker_events *events;
	void *arg;
	size_t body_max;
	struct ip client;
	uint8_t *held; /* bytes that nothing is known of yet */
	size_t held_len, held_room;
	struct h1_scan scan;
	struct h1_message request;
	struct h1_body body;
	struct h1_wait wait; /* for the body of the request at the start of `held` */
	size_t head_len;     /* of that request */
	uint8_t stage;
	bool in_body, wanted, waits, upgrading;
	struct h2_picker *h2; /* since it is HTTP/2 */
};

/* Large, and of use only while one request is looked at. */
static struct h1_view view;

struct picker *picker_new(struct http_filter *filter, size_t body_max, const struct ip *client, const struct picker_events *events, void *arg)
{
	struct picker *p = calloc(1, sizeof(*p));

	if (p)
		*p = (struct picker){ .filter = filter, .events = events, .arg = arg, .body_max = body_max, .client = *client };
	return p;
}

static void forget_held(struct picker *p)
{
	free(p->held);
	p->held = NULL;
	p->held_len = p->held_room = 0;
}

void picker_free(struct picker *p)
{
	if (!p)
		return;
	forget_held(p);
	h2_picker_free(p->h2);
	free(p);
}

size_t picker_kept(const struct picker *p)
{
	return p->held_room + (p->h2 ? h2_picker_kept(p->h2) : 0);
}

static void ignore(struct picker *p, enum picker_event why)
{
	p->stage = IGNORES;
	if (p->h2)
		h2_picker_forget(p->h2);
	p->events->on_event(p->arg, why);
}

static void unsafe(struct picker *p)
{
	ignore(p, p->in_body && p->wanted ? PICKER_CUT : PICKER_UNSAFE);
}

static bool wants(struct picker *p, struct http_request *r)
{
	r->client = p->client;
	return http_filter_match(p->filter, r) == HTTP_YES;
}

static void sniff_tls(struct picker *p, const uint8_t *data, size_t len)
{
	static struct tls_hello hello;
	struct http_request r = { .body_state = HTTP_BODY_UNKNOWN };
	int n = http_filter_of_connection(p->filter) ? sniff_tls_hello(data, len, &hello) : -1;

	if (!n)
		return;
	r.sni = hello.sni;
	r.alpn = hello.alpn;
	p->stage = IGNORES;
	if (n > 0 && wants(p, &r)) {
		p->stage = COPIES;
		p->events->on_event(p->arg, PICKER_WANTED);
	}
}

static void begin_streams(struct picker *p)
{
	p->h2 = h2_picker_new(p->filter, p->body_max, &p->client, p->events, p->arg);
	p->stage = STREAMS;
	if (!p->h2)
		ignore(p, PICKER_HTTP2);
}

static void sniff(struct picker *p, const uint8_t *data, size_t len)
{
	switch (sniff_client(data, len)) {
	case SNIFF_HTTP1:
		p->stage = DIVIDES;
		break;
	case SNIFF_HTTP2:
		begin_streams(p);
		break;
	case SNIFF_TLS:
		sniff_tls(p, data, len);
		break;
	case SNIFF_NEITHER:
		p->stage = IGNORES;
		break;
	case SNIFF_MORE:
		break;
	}
}

/* Behind a request that asked for another protocol: what is this? False: that isn't known yet. */
static bool upgrade_is_known(struct picker *p, const uint8_t *data, size_t len)
{
	switch (sniff_client(data, len)) {
	case SNIFF_MORE:
		return false;
	case SNIFF_HTTP1:
		p->upgrading = false;
		return true;
	case SNIFF_HTTP2:
		ignore(p, PICKER_HTTP2);
		return true;
	default:
		p->stage = p->wanted ? COPIES : IGNORES;
		return true;
	}
}

/* Follows the body that is waited for. True: it is there, or will not be. */
static bool body_is_known(struct picker *p, const uint8_t *data, size_t len, bool last)
{
	return h1_wait_more(&p->wait, data + p->head_len, len - p->head_len, p->body_max) || last;
}

/* Shows the body to the filter. Returns its verdict. */
static enum http_verdict match_body(struct picker *p, const uint8_t *body)
{
	enum http_verdict v;
	char *made;

	h1_wait_show(&p->wait, body, &view.request, &made);
	v = http_filter_match(p->filter, &view.request);
	free(made);
	return v;
}

/* The filter's word on the request whose head is in the view. False: it needs the body. */
static bool decide(struct picker *p, const uint8_t *data, size_t len, bool last)
{
	enum http_verdict v = HTTP_NEEDS_BODY;

	view.request.client = p->client;
	if (!p->waits)
		v = http_filter_match(p->filter, &view.request);
	if (v == HTTP_NEEDS_BODY) {
		if (!p->waits)
			p->wait = h1_wait_begin(&p->request);
		p->waits = !body_is_known(p, data, len, last);
		if (p->waits)
			return false;
		v = match_body(p, data + p->head_len);
	}
	p->wanted = v == HTTP_YES;
	return true;
}

/* Looks at the request that begins at @data. False: more bytes are needed, or there is nothing to be looked at any more. */
static bool read_head(struct picker *p, const uint8_t *data, size_t len, bool last)
{
	ssize_t n;

	if (p->waits && !body_is_known(p, data, len, last))
		return false;
	n = p->waits ? (ssize_t)p->head_len : h1_find_head(&p->scan, data, len);
	if (n == 0)
		return false;
	if (n < 0 || h1_parse_request(data, (size_t)n, &p->request, &view) < 0) {
		unsafe(p);
		return false;
	}
	p->head_len = (size_t)n;
	return decide(p, data, len, last);
}

static void begin_request(struct picker *p)
{
	p->scan = (struct h1_scan){ 0 };
	p->body = h1_body_of(&p->request);
	p->in_body = true;
	p->events->on_event(p->arg, p->wanted ? PICKER_WANTED : PICKER_OTHER);
}

static void end_request(struct picker *p)
{
	p->in_body = false;
	p->upgrading = p->request.upgrade;
	if (p->request.last && !p->request.upgrade)
		p->stage = p->wanted ? COPIES : IGNORES;
}

/* Takes a request, or a part of one. Returns how many bytes are done with; 0: more are needed. */
static size_t take_request(struct picker *p, const uint8_t *data, size_t len, bool last)
{
	size_t at = 0;
	ssize_t n;

	if (!p->in_body) {
		if (!read_head(p, data, len, last))
			return 0;
		begin_request(p);
		at = p->head_len;
	}
	n = h1_body_take(&p->body, data + at, len - at);
	at += n > 0 ? (size_t)n : 0;
	if (p->wanted && at)
		p->events->on_bytes(p->arg, data, at);
	if (n < 0)
		unsafe(p);
	else if (p->body.done)
		end_request(p);
	return at;
}

/* Returns how many of the bytes are done with. */
static size_t take(struct picker *p, const uint8_t *data, size_t len, bool last)
{
	size_t at = 0, n = 1;

	if (p->stage == SNIFFS)
		sniff(p, data, len);
	while (n && at < len && p->stage == DIVIDES) {
		if (p->upgrading && !upgrade_is_known(p, data + at, len - at))
			break;
		if (p->stage != DIVIDES)
			break;
		n = take_request(p, data + at, len - at, last);
		at += n;
	}
	if (at < len && p->stage == COPIES)
		p->events->on_bytes(p->arg, data + at, len - at);
	if (p->stage == STREAMS && !h2_picker_data(p->h2, data, len))
		ignore(p, PICKER_HTTP2);
	return p->stage == DIVIDES || p->stage == SNIFFS ? at : len;
}

/* False without memory. */
static bool keep(struct picker *p, const uint8_t *data, size_t len)
{
	size_t need = p->held_len + len, room = need + need / 2;
	uint8_t *more;

	if (need > p->held_room) {
		more = realloc(p->held, room);
		if (!more)
			return false;
		p->held = more;
		p->held_room = room;
	}
	memcpy(p->held + p->held_len, data, len);
	p->held_len = need;
	return true;
}

static void take_held(struct picker *p, bool last)
{
	size_t done = take(p, p->held, p->held_len, last);

	p->held_len -= done;
	if (!p->held_len)
		forget_held(p);
	else if (done)
		memmove(p->held, p->held + done, p->held_len);
}

void picker_data(struct picker *p, const uint8_t *data, size_t len)
{
	size_t done = 0;

	if (!p->held_len)
		done = take(p, data, len, false);
	if (done == len)
		return;
	if (!keep(p, data + done, len - done)) {
		forget_held(p);
		unsafe(p);
	} else if (p->held_len > len - done) {
		take_held(p, false);
	}
}

void picker_end(struct picker *p)
{
	if (p->held_len && p->upgrading && p->wanted)
		p->stage = COPIES;
	if (p->held_len)
		take_held(p, true);
	if (p->stage == STREAMS)
		h2_picker_end(p->h2);
}

bool picker_forget(struct picker *p)
{
	if (p->stage == STREAMS) {
		h2_picker_forget(p->h2);
		return true;
	}
	forget_held(p);
	p->scan = (struct h1_scan){ 0 };
	p->in_body = p->waits = p->upgrading = false;
	p->stage = p->stage == COPIES ? IGNORES : p->stage;
	return false;
}

bool picker_gap(struct picker *p, size_t len)
{
	if (p->stage == IGNORES || (p->stage == STREAMS && h2_picker_gap(p->h2, len)))
		return true;
	if (p->stage == DIVIDES && p->in_body && !p->wanted && h1_body_skip(&p->body, len)) {
		if (p->body.done)
			end_request(p);
		return true;
	}
	picker_forget(p);
	if (p->stage == STREAMS)
		p->stage = IGNORES;
	return false;
}

bool picker_restart(struct picker *p)
{
	if (p->stage != IGNORES)
		p->stage = DIVIDES;
	return p->stage == DIVIDES;
}

bool picker_is_http2(const struct picker *p)
{
	return p->stage == STREAMS;
}

size_t picker_pull(struct picker *p, const uint8_t **ret_data)
{
	return p->stage == STREAMS ? h2_picker_pull(p->h2, ret_data) : 0;
}

bool picker_answer(struct picker *p, const uint8_t *data, size_t len)
{
	bool good = p->stage == STREAMS && h2_picker_answer(p->h2, data, len);

	if (p->stage == STREAMS && !good && !h2_picker_has_spoken(p->h2))
		ignore(p, PICKER_HTTP2);
	return good;
}

bool picker_is_left(const struct picker *p)
{
	return p->stage == STREAMS && h2_picker_is_left(p->h2);
}

bool picker_is_over(const struct picker *p)
{
	return p->stage != STREAMS || h2_picker_is_over(p->h2);
}

void picker_disconnect(struct picker *p)
{
	if (p->stage == STREAMS)
		h2_picker_disconnect(p->h2);
}
