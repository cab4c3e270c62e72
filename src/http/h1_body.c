// SPDX-License-Identifier: MIT
/* Bodies on their way: counted, or followed chunk by chunk (RFC 9112 §7.1). Nothing is kept.
 *
 *   size ─► [; extension] ─► CR ─► LF ─► bytes ─► CR ─► LF ─► size …
 *                                   └─ size 0: trailer lines ─► empty line ─► done
 */
#include "http/h1.h"

#include <string.h>

enum state {
	SIZE_FIRST, /* the first digit */
	SIZE,
	EXTENSION,
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER_FIRST, /* of a line */
	TRAILER,
	TRAILER_LF,
	LAST_LF,
};

enum { SIZE_TOP = 60 }; /* a size with more bits is none */

struct h1_body h1_body_of(const struct h1_message *m)
{
	return (struct h1_body){
		.left = m->framing == H1_LENGTH ? m->length : 0,
		.framing = (uint8_t)m->framing,
		.state = SIZE_FIRST,
		.done = m->framing == H1_EMPTY,
	};
}

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 32;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Tabs are the only control characters that may be in an extension or a trailer. */
static bool is_plain(uint8_t c)
{
	return (c >= 0x20 && c != 0x7f) || c == '\t';
}

/* The first two states: digits, then an extension or the line's end. False: neither. */
static bool step_size(struct h1_body *b, uint8_t c)
{
	int digit = hex_value(c);

	if (digit >= 0) {
		if (b->left >> SIZE_TOP)
			return false;
		b->left = b->left << 4 | (unsigned int)digit;
		b->state = SIZE;
		return true;
	}
	if (b->state == SIZE_FIRST || (c != ';' && c != '\r'))
		return false;
	b->state = c == ';' ? EXTENSION : SIZE_LF;
	return true;
}

/* One byte that is none of the body's own. False: it can't be there. */
static bool step(struct h1_body *b, uint8_t c)
{
	switch ((enum state)b->state) {
	case SIZE_FIRST:
	case SIZE:
		return step_size(b, c);
	case EXTENSION:
		if (c == '\r')
			b->state = SIZE_LF;
		return c == '\r' || is_plain(c);
	case SIZE_LF:
		b->state = b->left ? DATA : TRAILER_FIRST;
		return c == '\n';
	case DATA_CR:
		b->state = DATA_LF;
		return c == '\r';
	case DATA_LF:
		b->state = SIZE_FIRST;
		return c == '\n';
	case TRAILER_FIRST:
		b->state = c == '\r' ? LAST_LF : TRAILER;
		return c == '\r' || (is_plain(c) && c != ' ' && c != '\t' && c != ':');
	case TRAILER:
		if (c == '\r')
			b->state = TRAILER_LF;
		return c == '\r' || is_plain(c);
	case TRAILER_LF:
		b->state = TRAILER_FIRST;
		return c == '\n';
	case LAST_LF:
		b->done = true;
		return c == '\n';
	case DATA:
		break;
	}
	return false;
}

static size_t take_counted(struct h1_body *b, size_t len)
{
	size_t n = b->left < len ? (size_t)b->left : len;

	b->left -= n;
	return n;
}

ssize_t h1_body_take(struct h1_body *b, const uint8_t *data, size_t len)
{
	size_t at = 0;

	if (b->done || b->framing == H1_UNTIL_CLOSE)
		return b->done ? 0 : (ssize_t)len;
	if (b->framing == H1_LENGTH) {
		at = take_counted(b, len);
		b->done = !b->left;
		return (ssize_t)at;
	}
	while (at < len && !b->done) {
		if (b->state == DATA) {
			at += take_counted(b, len - at);
			if (!b->left)
				b->state = DATA_CR;
		} else if (!step(b, data[at++])) {
			return H1_UNSAFE;
		}
	}
	return (ssize_t)at;
}

static enum h1_part part_of(const struct h1_body *b)
{
	if (b->framing != H1_CHUNKED || b->state == DATA)
		return H1_DATA;
	return b->state >= TRAILER_FIRST ? H1_TRAILER : H1_FRAME;
}

ssize_t h1_body_read(struct h1_body *b, const uint8_t *data, size_t len, enum h1_part *ret_part)
{
	enum h1_part part = *ret_part = part_of(b);
	size_t at = 0;

	if (part == H1_DATA)
		return h1_body_take(b, data, b->framing == H1_CHUNKED && b->left < len ? (size_t)b->left : len);
	while (at < len && !b->done && part_of(b) == part)
		if (!step(b, data[at++]))
			return H1_UNSAFE;
	return (ssize_t)at;
}

bool h1_body_skip(struct h1_body *b, uint64_t len)
{
	bool chunked = b->framing == H1_CHUNKED;

	if (b->done || len > b->left || (chunked ? b->state != DATA : b->framing != H1_LENGTH))
		return false;
	b->left -= len;
	if (!b->left && chunked)
		b->state = DATA_CR;
	b->done = !b->left && !chunked;
	return true;
}

size_t h1_unchunk(const uint8_t *data, size_t len, char *out)
{
	struct h1_body b = { .framing = H1_CHUNKED, .state = SIZE_FIRST };
	size_t n = 0;

	for (size_t at = 0; at < len && !b.done;) {
		size_t part = 1;

		if (b.state == DATA) {
			part = take_counted(&b, len - at);
			memcpy(out + n, data + at, part);
			n += part;
			if (!b.left)
				b.state = DATA_CR;
		} else if (!step(&b, data[at])) {
			break;
		}
		at += part;
	}
	return n;
}
