// SPDX-License-Identifier: MIT
/* Intrusive chained hash table that grows. Keys are compared by the caller's function; the hash is keyed at random,
 * so that a peer who chooses keys can't choose chains. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_node {
	struct table_node *next;
	uint64_t hash;
};

struct table {
	struct table_node **buckets;
	size_t n_buckets, n;
	uint64_t seed;
	bool (*equal)(const struct table_node *node, const void *key);
};

/* Returns 0 or -ENOMEM; then the table is one that was ended. */
int table_init(struct table *t, bool (*equal)(const struct table_node *, const void *));
/* The nodes stay the caller's. table_first() of an ended table is NULL. */
void table_fini(struct table *t);
struct table_node *table_find(const struct table *t, const void *key, size_t key_len);
/* @key as given to table_find. A key that is there already gets a second node. */
void table_add(struct table *t, struct table_node *node, const void *key, size_t key_len);
/* Does nothing when @node is not in the table. */
void table_remove(struct table *t, struct table_node *node);
/* Any order. Take table_after() of a node before removing that node; add nothing in between. */
struct table_node *table_first(const struct table *t);
struct table_node *table_after(const struct table *t, const struct table_node *node);
