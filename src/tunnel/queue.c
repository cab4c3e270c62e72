// SPDX-License-Identifier: MIT
/* The send queues. An emptied last chunk stays and is used from its start again, unless a tail has some of it: the same pages, warm in
 * the cache. */
#include "tunnel/queue.h"

#include <assert.h>
#include <stdlib.h>

#include "tunnel/tail.h"

static struct chunk *chunk_get(struct pool *p)
{
	struct chunk *c = p->first;

	if (c) {
		p->first = c->next;
		p->n--;
	} else {
		c = malloc(sizeof(*c));
	}
	if (c) {
		c->next = NULL;
		c->start = c->end = 0;
		c->refs = 1;
	}
	return c;
}

void chunk_release(struct chunk *c, struct pool *p)
{
	if (--c->refs)
		return;
	if (p->n >= (p->most ? p->most : POOL_CHUNKS)) {
		free(c);
		return;
	}
	c->next = p->first;
	p->first = c;
	p->n++;
}

void pool_trim(struct pool *p)
{
	struct chunk *c;

	while ((c = p->first)) {
		p->first = c->next;
		free(c);
	}
	p->n = 0;
}

uint8_t *queue_reserve(struct queue *q, struct pool *pool, size_t least, size_t *ret_room)
{
	struct chunk *c = q->last;

	assert(least <= CHUNK_ROOM);
	if (c && c->start == c->end && c->refs == 1)
		c->start = c->end = 0;
	if (!c || CHUNK_ROOM - c->end < least) {
		c = chunk_get(pool);
		if (!c)
			return NULL;
		if (q->last)
			q->last->next = c;
		else
			q->first = c;
		q->last = c;
	}
	*ret_room = CHUNK_ROOM - c->end;
	return c->data + c->end;
}

void queue_commit(struct queue *q, size_t len)
{
	assert(q->last && len <= CHUNK_ROOM - q->last->end);
	q->last->end += (uint32_t)len;
	q->put += len;
}

size_t queue_vectors(const struct queue *q, size_t most, struct iovec *iov, size_t max, size_t *ret_len)
{
	size_t n = 0, sum = 0;

	for (struct chunk *c = q->first; c && n < max && sum < most; c = c->next) {
		size_t len = c->end - c->start;

		if (!len)
			continue;
		if (len > most - sum)
			len = most - sum;
		iov[n++] = (struct iovec){ .iov_base = c->data + c->start, .iov_len = len };
		sum += len;
	}
	*ret_len = sum;
	return n;
}

/* Lets go of the first chunk, all of which has gone; the last one stays, for the next frames. */
static void chunk_finish(struct queue *q, struct pool *pool)
{
	struct chunk *c = q->first;

	if (c == q->last)
		return;
	q->first = c->next;
	chunk_release(c, pool);
}

void queue_take(struct queue *q, struct pool *pool, size_t len, struct tail *tail)
{
	assert(len <= queue_len(q));
	q->taken += len;
	while (len) {
		struct chunk *c = q->first;
		size_t step;

		if (c->start == c->end) {
			chunk_finish(q, pool);
			continue;
		}
		if (!q->partial)
			q->partial = frame_length(c->data + c->start);
		step = len < q->partial ? len : q->partial;
		if (tail)
			tail_add(tail, c, c->start, (uint32_t)step);
		c->start += (uint32_t)step;
		q->partial -= step;
		len -= step;
		if (c->start == c->end)
			chunk_finish(q, pool);
	}
}

void queue_clear(struct queue *q, struct pool *pool)
{
	struct chunk *c;

	while ((c = q->first)) {
		q->first = c->next;
		chunk_release(c, pool);
	}
	*q = (struct queue){ .put = q->put, .taken = q->put };
}
