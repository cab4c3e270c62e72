// SPDX-License-Identifier: MIT
/* What was sent and isn't acknowledged yet, in the order in which it went: nothing is copied, the chunks of the send queues stay. */
#pragma once

#include <stdbool.h>

#include "tunnel/queue.h"

struct segment {
	struct chunk *chunk;
	uint32_t start, len;
};

/* Positions count the bytes of the direction: all before @acked is let go of, all before @sent has gone once. After a break, what is
 * from @next on goes again; else @next is @sent. */
struct tail {
	struct segment *ring;
	size_t room, first, n; /* room is a power of two */
	uint64_t acked, sent, next;
	size_t at;	 /* the segment of @next, counted from the first, while it isn't @sent */
	uint32_t offset; /* and where in it */
};

static inline uint64_t tail_len(const struct tail *t)
{
	return t->sent - t->acked;
}

/* Makes room for @more segments; false without memory. */
bool tail_reserve(struct tail *t, size_t more);
/* @len bytes of the chunk have gone. There is room for a segment, and nothing is to go again. */
void tail_add(struct tail *t, struct chunk *c, uint32_t start, uint32_t len);
/* The peer has all before @position; false when that wasn't sent on this byte stream. */
bool tail_acknowledge(struct tail *t, struct pool *pool, uint64_t position);
/* Whether the bytes from @position on are there. */
bool tail_has(const struct tail *t, uint64_t position);
/* A new byte stream begins at @position, which tail_has(). */
void tail_rewind(struct tail *t, struct pool *pool, uint64_t position);
/* What is to go again: as queue_vectors(). */
size_t tail_vectors(const struct tail *t, struct iovec *iov, size_t max, size_t *ret_len);
/* The first @len bytes of that have gone again. */
void tail_repeat(struct tail *t, size_t len);
/* Lets go of all, and of the memory. */
void tail_clear(struct tail *t, struct pool *pool);
