// SPDX-License-Identifier: MIT
/* Frames that wait for the transport: bytes in chunks, each frame whole in one chunk. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "tunnel/frame.h"

/* Two of the largest DATA frames. */
enum { CHUNK_ROOM = 2 * (FRAME_HEADER + FRAME_DATA_MAX) };

/* @refs: the queue it is in, and the segments of a tail (tunnel/tail.h) that lie in it. */
struct chunk {
	struct chunk *next;
	uint32_t start, end, refs;
	uint8_t data[CHUNK_ROOM];
};

/* Chunks that are kept for the next use, so that a busy tunnel neither allocates nor touches new pages. */
enum { POOL_CHUNKS = 4 };
struct pool {
	struct chunk *first;
	size_t n, most; /* 0: POOL_CHUNKS */
};
/* Frees what is kept. */
void pool_trim(struct pool *p);
/* One holder less; the last one puts it into the pool. */
void chunk_release(struct chunk *c, struct pool *p);

/* @put and @taken are positions in the queue's stream of bytes: what was put before @taken has gone. @partial is what is left
 * of the first frame when a part of it has gone, else 0. */
struct queue {
	struct chunk *first, *last;
	uint64_t put, taken;
	size_t partial;
};

struct tail;

static inline size_t queue_len(const struct queue *q)
{
	return (size_t)(q->put - q->taken);
}

/* A place for at least @least bytes behind the last frame, @least ≤ CHUNK_ROOM; NULL without memory. */
uint8_t *queue_reserve(struct queue *q, struct pool *pool, size_t least, size_t *ret_room);
/* @len bytes of that place are a frame now. */
void queue_commit(struct queue *q, size_t len);
/* The bytes from the first on, at most @most of them. Returns the number of vectors set, at most @max; *ret_len is their sum. */
size_t queue_vectors(const struct queue *q, size_t most, struct iovec *iov, size_t max, size_t *ret_len);
/* The first @len bytes have gone; with a @tail they are kept there. */
void queue_take(struct queue *q, struct pool *pool, size_t len, struct tail *tail);
void queue_clear(struct queue *q, struct pool *pool);
