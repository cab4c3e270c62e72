// SPDX-License-Identifier: MIT
/* A ring of segments. A segment and the one behind it become one where they lie so in a chunk, which is the rule: the bulk of one queue
 * is broken up only by what overtakes it. */
#include "tunnel/tail.h"

#include <assert.h>
#include <stdlib.h>

enum { FIRST_ROOM = 64 };

static struct segment *segment(const struct tail *t, size_t i)
{
	return &t->ring[(t->first + i) & (t->room - 1)];
}

bool tail_reserve(struct tail *t, size_t more)
{
	size_t room = t->room ? t->room : FIRST_ROOM;
	struct segment *ring;

	while (room - t->n < more)
		room *= 2;
	if (room == t->room)
		return true;
	ring = calloc(room, sizeof(*ring));
	if (!ring)
		return false;
	for (size_t i = 0; i < t->n; i++)
		ring[i] = *segment(t, i);
	free(t->ring);
	t->ring = ring;
	t->room = room;
	t->first = 0;
	return true;
}

void tail_add(struct tail *t, struct chunk *c, uint32_t start, uint32_t len)
{
	struct segment *last = t->n ? segment(t, t->n - 1) : NULL;

	assert(t->next == t->sent && t->n < t->room);
	t->next = t->sent += len;
	if (last && last->chunk == c && last->start + last->len == start) {
		last->len += len;
		return;
	}
	c->refs++;
	*segment(t, t->n++) = (struct segment){ .chunk = c, .start = start, .len = len };
}

/* Lets go of the first @len bytes, which are of one segment. */
static void drop(struct tail *t, struct pool *pool, uint32_t len)
{
	struct segment *s = segment(t, 0);

	t->acked += len;
	s->start += len;
	s->len -= len;
	if (t->at == 0)
		t->offset = t->offset > len ? t->offset - len : 0;
	if (s->len)
		return;
	chunk_release(s->chunk, pool);
	t->first = (t->first + 1) & (t->room - 1);
	t->n--;
	if (t->at)
		t->at--;
}

bool tail_acknowledge(struct tail *t, struct pool *pool, uint64_t position)
{
	if (position > t->next)
		return false;
	while (t->acked < position) {
		uint64_t rest = position - t->acked;
		uint32_t len = segment(t, 0)->len;

		drop(t, pool, rest < len ? (uint32_t)rest : len);
	}
	return true;
}

bool tail_has(const struct tail *t, uint64_t position)
{
	return position >= t->acked && position <= t->sent;
}

void tail_rewind(struct tail *t, struct pool *pool, uint64_t position)
{
	t->next = t->sent;
	tail_acknowledge(t, pool, position);
	t->next = position;
	t->at = t->offset = 0;
}

size_t tail_vectors(const struct tail *t, struct iovec *iov, size_t max, size_t *ret_len)
{
	size_t n = 0, sum = 0, skip = t->offset;

	*ret_len = 0;
	if (t->next == t->sent)
		return 0;
	for (size_t i = t->at; i < t->n && n < max; i++, skip = 0) {
		const struct segment *s = segment(t, i);

		iov[n] = (struct iovec){ .iov_base = s->chunk->data + s->start + skip, .iov_len = s->len - skip };
		sum += iov[n++].iov_len;
	}
	*ret_len = sum;
	return n;
}

void tail_repeat(struct tail *t, size_t len)
{
	t->next += len;
	while (len) {
		size_t rest = segment(t, t->at)->len - t->offset;

		if (len < rest) {
			t->offset += (uint32_t)len;
			return;
		}
		len -= rest;
		t->at++;
		t->offset = 0;
	}
}

void tail_clear(struct tail *t, struct pool *pool)
{
	t->next = t->sent;
	tail_acknowledge(t, pool, t->sent);
	free(t->ring);
	t->ring = NULL;
	t->room = t->first = t->at = 0;
}
