// SPDX-License-Identifier: MIT
/* Frames (RFC 9113 §4), of which a bystander needs four kinds:
 *
 *   preface ─► head of a frame ─┬─► [length of padding] ─► [priority] ─► a part of a header block, or data ─► padding ─┐
 *                 ▲             ├─► RST_STREAM's error ──────────────────────────────────────────────────────────────────┤
 *                 │             └─► all else is passed over ─────────────────────────────────────────────────────────────┤
 *                 └────────────────────────────────────────────────────────────────────────────────────────────────────┘
 *
 * Each header block changes the table that the next ones refer to (RFC 7541 §2.3), so each is decoded, also one that is of no interest, and
 * where one byte of one is missing all ends. Bytes that are missing from data, or from what is passed over, don't matter: their frame's
 * length is known. */
#include "http/h2_reader.h"

#include <stdlib.h>

#include "http/sniff.h"
#include "net/bytes.h"

enum state { PREFACE, HEAD, PADDING, PRIORITY, PAYLOAD, ERROR_CODE, PASS };
enum { FRAME_HEAD = 9, PRIORITY_LEN = 5, ERROR_LEN = 4, PREFACE_LEN = SNIFF_PREFACE };

struct h2_reader {
	const struct h2_reader_events *events;
	void *arg;
	nghttp2_hd_inflater *inflater;
	struct h2_block block;
	uint8_t few[FRAME_HEAD]; /* the first bytes of what is read whole */
	uint8_t have;		 /* of it, or of the preface */
	uint8_t state, type, flags, padding;
	int32_t id;
	uint32_t left; /* of the payload, without its padding */
	bool in_block; /* CONTINUATION follows, and nothing else */
	bool ends;     /* the stream, behind the block */
};

struct h2_reader *h2_reader_new(const struct h2_reader_events *events, void *arg)
{
	struct h2_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->events = events;
	r->arg = arg;
	if (nghttp2_hd_inflate_new(&r->inflater) == 0 && nghttp2_hd_inflate_change_table_size(r->inflater, H2_READER_TABLE) == 0)
		return r;
	h2_reader_free(r);
	return NULL;
}

void h2_reader_free(struct h2_reader *r)
{
	if (!r)
		return;
	if (r->inflater)
		nghttp2_hd_inflate_del(r->inflater);
	h2_block_fini(&r->block);
	free(r);
}

/* Gathers @want bytes in `few`. Returns how many were taken; r->have says whether all are there. */
static size_t gather(struct h2_reader *r, size_t want, const uint8_t *data, size_t len)
{
	size_t n = want - r->have < len ? want - r->have : len;

	memcpy(r->few + r->have, data, n);
	r->have = (uint8_t)(r->have + n);
	return n;
}

static bool takes_padding(const struct h2_reader *r)
{
	return (r->type == NGHTTP2_HEADERS || r->type == NGHTTP2_DATA) && r->flags & NGHTTP2_FLAG_PADDED;
}

static bool takes_priority(const struct h2_reader *r)
{
	return r->type == NGHTTP2_HEADERS && r->flags & NGHTTP2_FLAG_PRIORITY;
}

/* Where the payload, or the next part of it, begins. False: it can't be. */
static bool begin_payload(struct h2_reader *r, enum state state)
{
	size_t need = state == PADDING ? 1 : state == PRIORITY ? PRIORITY_LEN : state == ERROR_CODE ? ERROR_LEN : 0;

	r->state = (uint8_t)state;
	r->have = 0;
	return r->left >= need;
}

static bool begin_frame(struct h2_reader *r)
{
	int32_t id = (int32_t)(get32(r->few + 5) & INT32_MAX);

	r->left = get32(r->few) >> 8;
	r->type = r->few[3];
	r->flags = r->few[4];
	r->padding = 0;
	if (r->in_block && (r->type != NGHTTP2_CONTINUATION || id != r->id))
		return false;
	r->id = id;
	switch (r->type) {
	case NGHTTP2_HEADERS:
		r->ends = r->flags & NGHTTP2_FLAG_END_STREAM;
		return id && begin_payload(r, takes_padding(r) ? PADDING : takes_priority(r) ? PRIORITY : PAYLOAD);
	case NGHTTP2_DATA:
		return id && begin_payload(r, takes_padding(r) ? PADDING : PAYLOAD);
	case NGHTTP2_CONTINUATION:
		return r->in_block && begin_payload(r, PAYLOAD);
	case NGHTTP2_RST_STREAM:
		return r->left == ERROR_LEN && begin_payload(r, ERROR_CODE);
	case NGHTTP2_PUSH_PROMISE: /* a header block that no client may send */
		return false;
	default:
		return begin_payload(r, PASS);
	}
}

/* A part of a header block; with @last, nothing follows. False: it is none. */
static bool inflate(struct h2_reader *r, const uint8_t *data, size_t len, bool last)
{
	for (;;) {
		int flags = 0;
		nghttp2_nv nv;
		ssize_t n = nghttp2_hd_inflate_hd2(r->inflater, &nv, &flags, data, len, last);

		if (n < 0)
			return false;
		data += n;
		len -= (size_t)n;
		if (flags & NGHTTP2_HD_INFLATE_EMIT) {
			struct span name = { (const char *)nv.name, nv.namelen }, value = { (const char *)nv.value, nv.valuelen };

			if (!h2_block_add(&r->block, name, value, nv.flags & NGHTTP2_NV_FLAG_NO_INDEX))
				return false;
		} else if (!len) {
			return true;
		}
	}
}

static bool end_block(struct h2_reader *r)
{
	if (!inflate(r, r->few, 0, true))
		return false;
	nghttp2_hd_inflate_end_headers(r->inflater);
	r->in_block = false;
	r->events->on_block(r->arg, r->id, &r->block, r->ends);
	h2_block_fini(&r->block);
	return true;
}

static bool end_payload(struct h2_reader *r)
{
	if (r->type == NGHTTP2_DATA) {
		if (r->flags & NGHTTP2_FLAG_END_STREAM)
			r->events->on_end(r->arg, r->id);
		return true;
	}
	r->in_block = true;
	return !(r->flags & NGHTTP2_FLAG_END_HEADERS) || end_block(r);
}

/* Goes on from what is complete; parts of a frame may be empty. */
static bool go_on(struct h2_reader *r)
{
	if (r->state == PAYLOAD && !r->left) {
		if (!end_payload(r))
			return false;
		r->left = r->padding;
		r->state = PASS;
	}
	if (r->state == PASS && !r->left) {
		r->state = HEAD;
		r->have = 0;
	}
	return true;
}

static bool end_padding_length(struct h2_reader *r)
{
	r->padding = r->few[0];
	if (--r->left < r->padding)
		return false;
	r->left -= r->padding;
	return begin_payload(r, takes_priority(r) ? PRIORITY : PAYLOAD);
}

/* What stands in `few` is whole. */
static bool end_few(struct h2_reader *r)
{
	switch ((enum state)r->state) {
	case HEAD:
		return begin_frame(r);
	case PADDING:
		return end_padding_length(r);
	case PRIORITY:
		r->left -= PRIORITY_LEN;
		return begin_payload(r, PAYLOAD);
	default:
		r->left = 0;
		r->events->on_reset(r->arg, r->id, get32(r->few));
		return begin_payload(r, PASS);
	}
}

static ssize_t take_payload(struct h2_reader *r, const uint8_t *data, size_t len)
{
	size_t n = r->left < len ? r->left : len;

	r->left -= (uint32_t)n;
	if (r->state == PAYLOAD && r->type == NGHTTP2_DATA)
		r->events->on_data(r->arg, r->id, data, n);
	else if (r->state == PAYLOAD && !inflate(r, data, n, false))
		return -1;
	return (ssize_t)n;
}

static ssize_t take_preface(struct h2_reader *r, const uint8_t *data, size_t len)
{
	size_t n = (size_t)(PREFACE_LEN - r->have) < len ? (size_t)(PREFACE_LEN - r->have) : len;

	if (memcmp(data, SNIFF_HTTP2_PREFACE + r->have, n) != 0)
		return -1;
	r->have = (uint8_t)(r->have + n);
	if (r->have == PREFACE_LEN) {
		r->state = HEAD;
		r->have = 0;
	}
	return (ssize_t)n;
}

/* Takes some of the bytes, at least one. -1: they can't be read. */
static ssize_t take(struct h2_reader *r, const uint8_t *data, size_t len)
{
	static const uint8_t wants[] = { [HEAD] = FRAME_HEAD, [PADDING] = 1, [PRIORITY] = PRIORITY_LEN, [ERROR_CODE] = ERROR_LEN };
	size_t n;

	if (r->state == PREFACE)
		return take_preface(r, data, len);
	if (r->state == PAYLOAD || r->state == PASS)
		return take_payload(r, data, len);
	n = gather(r, wants[r->state], data, len);
	return r->have < wants[r->state] || end_few(r) ? (ssize_t)n : -1;
}

bool h2_reader_take(struct h2_reader *r, const uint8_t *data, size_t len)
{
	ssize_t n;

	for (size_t at = 0; at < len; at += (size_t)n) {
		n = take(r, data + at, len - at);
		if (n < 0 || !go_on(r))
			return false;
	}
	return true;
}

bool h2_reader_skip(struct h2_reader *r, size_t len)
{
	bool data = r->state == PAYLOAD && r->type == NGHTTP2_DATA;

	if (len > r->left || (r->state != PASS && !data))
		return len == 0;
	r->left -= (uint32_t)len;
	if (data)
		r->events->on_hole(r->arg, r->id);
	return go_on(r);
}
