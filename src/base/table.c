// SPDX-License-Identifier: MIT
/* Hash table: power-of-two buckets, doubled when there are as many nodes as buckets. */
#include "base/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { INITIAL_BUCKETS = 64 };

static uint64_t mix(uint64_t h)
{
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ULL;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ULL;
	return h ^ h >> 32;
}

static uint64_t hash_key(const struct table *t, const void *key, size_t len)
{
	const uint8_t *p = key;
	uint64_t h = t->seed ^ len;

	for (; len >= 8; p += 8, len -= 8) {
		uint64_t word;

		memcpy(&word, p, 8);
		h = mix(h ^ word) + t->seed;
	}
	if (len) {
		uint64_t word = 0;

		memcpy(&word, p, len);
		h = mix(h ^ word);
	}
	return mix(h);
}

int table_init(struct table *t, bool (*equal)(const struct table_node *, const void *))
{
	*t = (struct table){ .n_buckets = INITIAL_BUCKETS, .equal = equal };
	if (getrandom(&t->seed, sizeof(t->seed), GRND_NONBLOCK) != sizeof(t->seed))
		t->seed = (uint64_t)(uintptr_t)t * 0x9e3779b97f4a7c15ULL;
	t->buckets = calloc(t->n_buckets, sizeof(struct table_node *));
	if (!t->buckets)
		t->n_buckets = 0;
	return t->buckets ? 0 : -ENOMEM;
}

void table_fini(struct table *t)
{
	free(t->buckets);
	*t = (struct table){ 0 };
}

static struct table_node **bucket(const struct table *t, uint64_t hash)
{
	return &t->buckets[hash & (t->n_buckets - 1)];
}

struct table_node *table_find(const struct table *t, const void *key, size_t key_len)
{
	uint64_t hash = hash_key(t, key, key_len);

	for (struct table_node *n = *bucket(t, hash); n; n = n->next)
		if (n->hash == hash && t->equal(n, key))
			return n;
	return NULL;
}

/* Without memory the chains get longer, and that is all. */
static void grow(struct table *t)
{
	struct table bigger = *t;

	bigger.n_buckets *= 2;
	bigger.buckets = calloc(bigger.n_buckets, sizeof(struct table_node *));
	if (!bigger.buckets)
		return;
	for (size_t i = 0; i < t->n_buckets; i++) {
		for (struct table_node *n = t->buckets[i], *next; n; n = next) {
			struct table_node **b = bucket(&bigger, n->hash);

			next = n->next;
			n->next = *b;
			*b = n;
		}
	}
	free(t->buckets);
	*t = bigger;
}

void table_add(struct table *t, struct table_node *node, const void *key, size_t key_len)
{
	struct table_node **b;

	if (t->n >= t->n_buckets)
		grow(t);
	node->hash = hash_key(t, key, key_len);
	b = bucket(t, node->hash);
	node->next = *b;
	*b = node;
	t->n++;
}

void table_remove(struct table *t, struct table_node *node)
{
	for (struct table_node **p = bucket(t, node->hash); *p; p = &(*p)->next) {
		if (*p == node) {
			*p = node->next;
			t->n--;
			return;
		}
	}
}

static struct table_node *first_from(const struct table *t, size_t i)
{
	for (; i < t->n_buckets; i++)
		if (t->buckets[i])
			return t->buckets[i];
	return NULL;
}

struct table_node *table_first(const struct table *t)
{
	return first_from(t, 0);
}

struct table_node *table_after(const struct table *t, const struct table_node *node)
{
	return node->next ? node->next : first_from(t, (node->hash & (t->n_buckets - 1)) + 1);
}
