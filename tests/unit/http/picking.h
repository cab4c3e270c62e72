// SPDX-License-Identifier: MIT
/* A picker's events as text: "[" begins what is wanted, its bytes follow; "-" a request that isn't, "!" an unsafe message, "2" HTTP/2. "X" is
 * what is left of a wanted one that became unsafe: how much of it came before is chance. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "http/picker.h"

enum { PICKED_BODY_MAX = 64 << 10 };

struct picked {
	char text[1 << 18];
	size_t len, begun;
	bool wanted; /* bytes may follow */
};

static inline void picked_add(struct picked *p, const void *data, size_t len)
{
	if (len > sizeof(p->text) - 1 - p->len)
		len = sizeof(p->text) - 1 - p->len;
	memcpy(p->text + p->len, data, len);
	p->len += len;
	p->text[p->len] = '\0';
}

static inline void picked_event(void *arg, enum picker_event what)
{
	static const char signs[] = { [PICKER_WANTED] = '[', [PICKER_OTHER] = '-', [PICKER_UNSAFE] = '!', [PICKER_CUT] = 'X', [PICKER_HTTP2] = '2' };
	struct picked *p = arg;

	p->wanted = what == PICKER_WANTED;
	if (p->wanted)
		p->begun = p->len;
	if (what == PICKER_CUT)
		p->len = p->begun;
	picked_add(p, &signs[what], 1);
}

static inline void picked_bytes(void *arg, const uint8_t *data, size_t len)
{
	struct picked *p = arg;

	if (!p->wanted || !len)
		abort();
	picked_add(p, data, len);
}

static const struct picker_events picked_events = { picked_event, picked_bytes };

/* The bytes in two pieces at @split, in pieces of one for SIZE_MAX. */
static inline void pick_all(struct http_filter *f, const void *data, size_t len, size_t split, struct picked *ret)
{
	const struct ip client = { 0 };
	struct picker *p;

	ret->len = 0;
	ret->text[0] = '\0';
	ret->wanted = false;
	p = picker_new(f, PICKED_BODY_MAX, &client, &picked_events, ret);
	if (!p)
		abort();
	for (size_t at = 0, n; at < len; at += n) {
		n = split == SIZE_MAX ? 1 : at < split && split < len ? split - at : len - at;
		picker_data(p, (const uint8_t *)data + at, n);
	}
	picker_end(p);
	picker_free(p);
}
