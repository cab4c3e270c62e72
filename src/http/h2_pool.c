// SPDX-License-Identifier: MIT
/* A list of free blocks for each size, which is a multiple of SIZE_STEP. In front of each block stands how long it is. */
#include "http/h2_pool.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif

enum {
	SIZE_STEP = 64,
	SIZES = H2_POOL_BLOCK / SIZE_STEP,
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
	KEPT = 0, /* whoever looks for mistakes is to see every block come and go */
#else
	KEPT = H2_POOL_KEPT,
#endif
};

struct block {
	size_t size;
	_Alignas(max_align_t) unsigned char data[];
};

/* What stands in a free one. */
struct free_block {
	struct block *next;
};

static struct {
	struct block *first;
	size_t bytes;
} lists[SIZES];

static struct block *block_of(void *p)
{
	return (struct block *)((unsigned char *)p - offsetof(struct block, data));
}

static struct free_block *link_of(struct block *b)
{
	return (struct free_block *)b->data;
}

/* Of the C library's; @old, unless it is NULL, made longer. */
static void *block_new(struct block *old, size_t size)
{
	struct block *b = size > SIZE_MAX - sizeof(*b) ? NULL : realloc(old, sizeof(*b) + size);

	if (!b)
		return NULL;
	b->size = size;
	return b->data;
}

void *h2_pool_new(size_t size)
{
	size_t n = size ? (size - 1) / SIZE_STEP : 0;
	struct block *b;

	if (n >= SIZES)
		return block_new(NULL, size);
	b = lists[n].first;
	if (!b)
		return block_new(NULL, (n + 1) * SIZE_STEP);
	lists[n].first = link_of(b)->next;
	lists[n].bytes -= b->size;
	return b->data;
}

void *h2_pool_new_zeroed(size_t size)
{
	void *p = h2_pool_new(size);

	return p ? memset(p, 0, size) : NULL;
}

void h2_pool_free(void *p)
{
	struct block *b = p ? block_of(p) : NULL;
	size_t n;

	if (!b)
		return;
	n = b->size / SIZE_STEP - 1;
	if (b->size > H2_POOL_BLOCK || lists[n].bytes + b->size > KEPT) {
		free(b);
		return;
	}
	link_of(b)->next = lists[n].first;
	lists[n].first = b;
	lists[n].bytes += b->size;
}

void *h2_pool_resize(void *p, size_t size)
{
	void *more;

	if (p && size <= block_of(p)->size)
		return p;
	if (p && block_of(p)->size > H2_POOL_BLOCK)
		return block_new(block_of(p), size);
	more = h2_pool_new(size);
	if (p && more) {
		memcpy(more, p, block_of(p)->size);
		h2_pool_free(p);
	}
	return more;
}

static void *on_new(size_t size, void *arg)
{
	return h2_pool_new(size);
}

static void *on_new_zeroed(size_t n, size_t size, void *arg)
{
	return size && n > SIZE_MAX / size ? NULL : h2_pool_new_zeroed(n * size);
}

static void *on_resize(void *p, size_t size, void *arg)
{
	return h2_pool_resize(p, size);
}

static void on_free(void *p, void *arg)
{
	h2_pool_free(p);
}

nghttp2_mem *h2_pool_mem(void)
{
	static nghttp2_mem mem = { NULL, on_new, on_free, on_new_zeroed, on_resize };

	return &mem;
}
