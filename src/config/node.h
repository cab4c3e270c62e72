// SPDX-License-Identifier: MIT
/* A configuration as a tree of values, whatever language it was written in. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "config/arena.h"

enum node_kind { NODE_NULL, NODE_BOOL, NODE_NUMBER, NODE_STRING, NODE_ARRAY, NODE_OBJECT };

/* Memory is an arena's. @at counts bytes of the text that was parsed (config/source.h tells line and column). */
struct node {
	enum node_kind kind;
	bool boolean;
	char *text; /* of a string; of a number, as it was written, in JSON's syntax */
	struct node *child, *last, *next; /* of arrays and objects, in the order of the text */
	size_t n;
	struct node **index; /* of a large object: its members by hash */
	size_t index_size;
	const char *key; /* the name, of an object's member */
	size_t at, key_at;
	unsigned char mark; /* for the reader */
};

enum { NODE_DEPTH = 64 }; /* arrays and objects within another, at most */

struct node *node_new(struct arena *a, enum node_kind kind, size_t at);
struct node *node_new_text(struct arena *a, enum node_kind kind, const char *text, size_t len, size_t at);
/* What stands nowhere: made here, not read. */
struct node *node_new_string(struct arena *a, const char *text);
struct node *node_new_bool(struct arena *a, bool value);
void node_append(struct node *parent, struct node *child);
/* Sets the child's name, too, which must be new to the object. */
void node_add_member(struct arena *a, struct node *object, struct node *child, const char *key, size_t key_at);
/* NULL when @object is none, or has no such member. */
struct node *node_member(const struct node *object, const char *key);
struct node *node_clone(struct arena *a, const struct node *n);
bool node_equal(const struct node *a, const struct node *b);

/* "the string "x"", "the number 5", "an array", for messages; shortened when long. */
const char *node_describe(struct arena *a, const struct node *n);
/* JSON, with newlines and tabs when @indent ≥ 0, which is how far the first line stands in already. */
void node_write_json(FILE *out, const struct node *n, int indent);
/* The string as JSON, quotes included. */
void node_write_string(FILE *out, const char *text);
char *node_to_json(struct arena *a, const struct node *n);
