// SPDX-License-Identifier: MIT
/* Divides what a client sends into requests, and says in words what it found: "GET /a body 5; POST /b chunked 7; unsafe". The bytes are
 * given piece by piece, as they would come from a socket. */
#pragma once

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/h1.h"

struct divider {
	struct h1_scan scan;
	struct h1_body body;
	struct h1_message message;
	bool in_body, over;
	uint8_t held[HTTP_HEAD_MAX]; /* of a head */
	size_t n_held;
	uint64_t body_len; /* as it is on the wire */
	char words[8192];
	size_t at;
};

static inline void say(struct divider *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline void say(struct divider *d, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(d->words + d->at, sizeof(d->words) - d->at, format, args);
	va_end(args);
	d->at += (size_t)n < sizeof(d->words) - d->at ? (size_t)n : sizeof(d->words) - d->at - 1;
}

static inline void divide_begin(struct divider *d)
{
	d->scan = (struct h1_scan){ 0 };
	d->in_body = d->over = false;
	d->n_held = d->at = 0;
	d->words[0] = '\0';
}

static inline void divider_end_body(struct divider *d)
{
	if (d->message.framing != H1_EMPTY)
		say(d, " %s %llu", d->message.framing == H1_CHUNKED ? "chunked" : "body", (unsigned long long)d->body_len);
	say(d, "%s%s%s; ", d->message.last ? " last" : "", d->message.upgrade ? " upgrade" : "", d->message.expects ? " expects" : "");
	d->in_body = false;
	d->scan = (struct h1_scan){ 0 };
}

static inline size_t divide_head(struct divider *d, const uint8_t *data, size_t len)
{
	static struct h1_view view;
	size_t before = d->n_held, room = sizeof(d->held) - before, more = len < room ? len : room;
	ssize_t n;

	memcpy(d->held + before, data, more);
	d->n_held += more;
	n = h1_find_head(&d->scan, d->held, d->n_held);
	if (n == 0)
		return more;
	if (n < 0 || h1_parse_request(d->held, (size_t)n, &d->message, &view) < 0) {
		say(d, n == H1_TOO_LONG ? "too long" : "unsafe");
		d->over = true;
		return len;
	}
	say(d, "%.*s %.*s", (int)view.request.method.len, view.request.method.at, (int)view.request.target.len, view.request.target.at);
	d->n_held = 0;
	d->body = h1_body_of(&d->message);
	d->body_len = 0;
	d->in_body = true;
	return (size_t)n - before;
}

static inline size_t divide_body(struct divider *d, const uint8_t *data, size_t len)
{
	ssize_t n = h1_body_take(&d->body, data, len);

	if (n < 0) {
		say(d, " unsafe");
		d->over = true;
		return len;
	}
	d->body_len += (uint64_t)n;
	return (size_t)n;
}

static inline void divide(struct divider *d, const uint8_t *data, size_t len)
{
	while (len && !d->over) {
		size_t n = d->in_body ? divide_body(d, data, len) : divide_head(d, data, len);

		if (d->in_body && d->body.done && !d->over)
			divider_end_body(d);
		data += n;
		len -= n;
	}
}

/* What was found, without the last separator; "…" when a message is not complete. */
static inline const char *divide_end(struct divider *d)
{
	if (!d->over && (d->in_body || d->n_held))
		say(d, "…");
	else if (d->at > 1 && !d->over)
		d->words[d->at - 2] = '\0';
	return d->words;
}
