// SPDX-License-Identifier: MIT
/* Trees of values, and how they are written as JSON. */
#include "config/node.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { INDEX_FROM = 16 }; /* a power of two */

struct node *node_new(struct arena *a, enum node_kind kind, size_t at)
{
	struct node *n = arena_alloc(a, sizeof(*n));

	n->kind = kind;
	n->at = at;
	return n;
}

struct node *node_new_text(struct arena *a, enum node_kind kind, const char *text, size_t len, size_t at)
{
	struct node *n = node_new(a, kind, at);

	n->text = arena_copy(a, text, len);
	return n;
}

struct node *node_new_string(struct arena *a, const char *text)
{
	return node_new_text(a, NODE_STRING, text, strlen(text), 0);
}

struct node *node_new_bool(struct arena *a, bool value)
{
	struct node *n = node_new(a, NODE_BOOL, 0);

	n->boolean = value;
	return n;
}

void node_append(struct node *parent, struct node *child)
{
	if (parent->last)
		parent->last->next = child;
	else
		parent->child = child;
	parent->last = child;
	parent->n++;
}

static size_t hash(const char *key)
{
	uint64_t h = 0xcbf29ce484222325; /* FNV-1a: the file is the user's own, nobody chooses collisions */

	for (; *key; key++)
		h = (h ^ (unsigned char)*key) * 0x100000001b3;
	return (size_t)(h ^ h >> 32);
}

static void index_add(struct node *object, struct node *child)
{
	size_t i = hash(child->key) & (object->index_size - 1);

	while (object->index[i])
		i = (i + 1) & (object->index_size - 1);
	object->index[i] = child;
}

/* Small objects have no index: walking them is faster. */
static void index_grow(struct arena *a, struct node *object)
{
	object->index_size = object->n * 4;
	object->index = arena_alloc(a, object->index_size * sizeof(void *));
	for (struct node *c = object->child; c; c = c->next)
		index_add(object, c);
}

void node_add_member(struct arena *a, struct node *object, struct node *child, const char *key, size_t key_at)
{
	child->key = key;
	child->key_at = key_at;
	node_append(object, child);
	if (object->n >= INDEX_FROM && (object->n & (object->n - 1)) == 0)
		index_grow(a, object);
	else if (object->n > INDEX_FROM)
		index_add(object, child);
}

struct node *node_member(const struct node *object, const char *key)
{
	if (!object || object->kind != NODE_OBJECT)
		return NULL;
	if (object->index) {
		for (size_t i = hash(key) & (object->index_size - 1); object->index[i]; i = (i + 1) & (object->index_size - 1))
			if (strcmp(object->index[i]->key, key) == 0)
				return object->index[i];
		return NULL;
	}
	for (struct node *c = object->child; c; c = c->next)
		if (strcmp(c->key, key) == 0)
			return c;
	return NULL;
}

struct node *node_clone(struct arena *a, const struct node *n)
{
	struct node *copy = arena_alloc(a, sizeof(*copy));

	*copy = *n;
	copy->child = copy->last = copy->next = NULL;
	copy->key = NULL; /* it may come to stand elsewhere */
	copy->n = copy->index_size = 0;
	copy->index = NULL;
	for (const struct node *c = n->child; c; c = c->next) {
		if (n->kind == NODE_OBJECT)
			node_add_member(a, copy, node_clone(a, c), c->key, c->key_at);
		else
			node_append(copy, node_clone(a, c));
	}
	return copy;
}

bool node_equal(const struct node *a, const struct node *b)
{
	const struct node *x, *y;

	if (a->kind != b->kind || a->boolean != b->boolean || a->n != b->n || (a->text && strcmp(a->text, b->text) != 0))
		return false;
	for (x = a->child, y = b->child; x; x = x->next, y = y->next)
		if ((a->kind == NODE_OBJECT && strcmp(x->key, y->key) != 0) || !node_equal(x, y))
			return false;
	return true;
}

const char *node_describe(struct arena *a, const struct node *n)
{
	enum { SHOWN = 40 };

	switch (n->kind) {
	case NODE_NULL:
		return "null";
	case NODE_BOOL:
		return n->boolean ? "true" : "false";
	case NODE_NUMBER:
		return arena_format(a, "the number %.*s", SHOWN, n->text);
	case NODE_STRING:
		return arena_format(a, "the string \"%.*s%s\"", SHOWN, n->text, strlen(n->text) > SHOWN ? "…" : "");
	case NODE_ARRAY:
		return "an array";
	case NODE_OBJECT:
		break;
	}
	return "an object";
}

void node_write_string(FILE *out, const char *text)
{
	putc('"', out);
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p == '"' || *p == '\\')
			fprintf(out, "\\%c", *p);
		else if (*p == '\n')
			fputs("\\n", out);
		else if (*p == '\t')
			fputs("\\t", out);
		else if (*p < 0x20 || *p == 0x7f)
			fprintf(out, "\\u%04x", *p);
		else
			putc(*p, out);
	}
	putc('"', out);
}

static void new_line(FILE *out, int indent)
{
	if (indent < 0)
		return;
	putc('\n', out);
	for (int i = 0; i < indent; i++)
		putc('\t', out);
}

static void write_children(FILE *out, const struct node *n, int indent)
{
	bool object = n->kind == NODE_OBJECT;

	putc(object ? '{' : '[', out);
	for (const struct node *c = n->child; c; c = c->next) {
		new_line(out, indent < 0 ? -1 : indent + 1);
		if (object) {
			node_write_string(out, c->key);
			fputs(indent < 0 ? ":" : ": ", out);
		}
		node_write_json(out, c, indent < 0 ? -1 : indent + 1);
		if (c->next)
			putc(',', out);
	}
	if (n->child)
		new_line(out, indent);
	putc(object ? '}' : ']', out);
}

void node_write_json(FILE *out, const struct node *n, int indent)
{
	switch (n->kind) {
	case NODE_NULL:
		fputs("null", out);
		break;
	case NODE_BOOL:
		fputs(n->boolean ? "true" : "false", out);
		break;
	case NODE_NUMBER:
		fputs(n->text, out);
		break;
	case NODE_STRING:
		node_write_string(out, n->text);
		break;
	case NODE_ARRAY:
	case NODE_OBJECT:
		write_children(out, n, indent);
		break;
	}
}

char *node_to_json(struct arena *a, const struct node *n)
{
	char *text = NULL, *copy;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (out)
		node_write_json(out, n, -1);
	if (!out || fclose(out) != 0) {
		free(text);
		text = NULL;
	}
	copy = arena_copy(a, text ? text : "", text ? len : 0);
	free(text);
	return copy;
}
