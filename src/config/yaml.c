// SPDX-License-Identifier: MIT
/* YAML by libyaml's events. Plain scalars mean what YAML 1.2's core schema says, as in the original: `off` and `no` are strings. Aliases are
 * copies; what they can grow to is bounded. */
#include "config/yaml.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { ANCHORS = 256, COPIES_MAX = 100000 };

struct anchor {
	char *name;
	struct node *node;
};

struct reader {
	struct source *s;
	yaml_parser_t parser;
	struct anchor anchors[ANCHORS];
	size_t n_anchors, copied;
	bool failed;
};

static size_t at(struct reader *r, yaml_mark_t m)
{
	return source_offset(r->s, m.line, m.column);
}

#define FAIL(r, place, ...)                                                                        \
	do {                                                                                       \
		if (!(r)->failed)                                                                  \
			source_error((r)->s, place, NULL, __VA_ARGS__);                            \
		(r)->failed = true;                                                                \
	} while (0)

static bool next(struct reader *r, yaml_event_t *e)
{
	if (r->failed)
		return false;
	if (yaml_parser_parse(&r->parser, e))
		return true;
	FAIL(r, at(r, r->parser.problem_mark), "%s%s%s", r->parser.problem ? r->parser.problem : "out of memory", r->parser.context ? " " : "",
	     r->parser.context ? r->parser.context : "");
	return false;
}

static bool one_of(const char *text, const char *a, const char *b, const char *c)
{
	return strcmp(text, a) == 0 || strcmp(text, b) == 0 || strcmp(text, c) == 0;
}

/* A decimal number as JSON has it. Other forms of YAML's (0x1f, .5, 1_000) are not used in configurations, and stay strings. */
static bool is_number(const char *p)
{
	p += *p == '-';
	if (*p < '0' || *p > '9' || (*p == '0' && p[1] >= '0' && p[1] <= '9'))
		return false;
	p += strspn(p, "0123456789");
	if (*p == '.') {
		size_t n = strspn(p + 1, "0123456789");

		if (n == 0)
			return false;
		p += n + 1;
	}
	if (*p == 'e' || *p == 'E') {
		size_t n;

		p += p[1] == '+' || p[1] == '-' ? 2 : 1;
		n = strspn(p, "0123456789");
		if (n == 0)
			return false;
		p += n;
	}
	return *p == '\0';
}

static struct node *scalar(struct reader *r, const yaml_event_t *e)
{
	const char *text = (const char *)e->data.scalar.value;
	size_t len = e->data.scalar.length, place = at(r, e->start_mark);
	struct node *n;

	if (strlen(text) != len) {
		FAIL(r, place, "a string can't hold a NUL");
		return NULL;
	}
	if (e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE || (e->data.scalar.tag && e->data.scalar.tag[0]))
		return node_new_text(r->s->arena, NODE_STRING, text, len, place);
	if (len == 0 || strcmp(text, "~") == 0 || one_of(text, "null", "Null", "NULL"))
		return node_new(r->s->arena, NODE_NULL, place);
	if (one_of(text, "true", "True", "TRUE") || one_of(text, "false", "False", "FALSE")) {
		n = node_new(r->s->arena, NODE_BOOL, place);
		n->boolean = (*text | 32) == 't';
		return n;
	}
	return node_new_text(r->s->arena, is_number(text) ? NODE_NUMBER : NODE_STRING, text, len, place);
}

static size_t count(const struct node *n)
{
	size_t sum = 1;

	for (const struct node *c = n->child; c; c = c->next)
		sum += count(c);
	return sum;
}

/* Levels; of a scalar, 1. */
static int height(const struct node *n)
{
	int most = 0;

	for (const struct node *c = n->child; c; c = c->next) {
		int h = height(c);

		most = h > most ? h : most;
	}
	return most + 1;
}

static void refuse_depth(struct reader *r, size_t place)
{
	FAIL(r, place, "more than %d arrays and objects within each other", NODE_DEPTH);
}

static struct node *alias(struct reader *r, const yaml_event_t *e, int depth)
{
	const char *name = (const char *)e->data.alias.anchor;

	for (size_t i = r->n_anchors; i-- > 0;) {
		struct node *n;

		if (strcmp(r->anchors[i].name, name) != 0)
			continue;
		r->copied += count(r->anchors[i].node);
		if (r->copied > COPIES_MAX) {
			FAIL(r, at(r, e->start_mark), "too much is repeated by aliases");
			return NULL;
		}
		if (depth + height(r->anchors[i].node) > NODE_DEPTH) {
			refuse_depth(r, at(r, e->start_mark));
			return NULL;
		}
		n = node_clone(r->s->arena, r->anchors[i].node);
		n->at = at(r, e->start_mark);
		return n;
	}
	FAIL(r, at(r, e->start_mark), "the anchor &%s isn't known here", name);
	return NULL;
}

static struct node *value(struct reader *r, yaml_event_t *e, int depth);

static struct node *sequence(struct reader *r, size_t place, int depth)
{
	struct node *array = node_new(r->s->arena, NODE_ARRAY, place);
	yaml_event_t e;

	while (next(r, &e)) {
		bool end = e.type == YAML_SEQUENCE_END_EVENT;
		struct node *v = end ? NULL : value(r, &e, depth);

		yaml_event_delete(&e);
		if (end)
			return array;
		if (v)
			node_append(array, v);
	}
	return NULL;
}

static struct node *mapping(struct reader *r, size_t place, int depth)
{
	struct node *object = node_new(r->s->arena, NODE_OBJECT, place);
	yaml_event_t e;

	while (next(r, &e)) {
		bool end = e.type == YAML_MAPPING_END_EVENT;
		size_t key_at = at(r, e.start_mark);
		struct node *v = NULL;
		char *key = NULL;

		if (e.type == YAML_SCALAR_EVENT)
			key = arena_copy(r->s->arena, (const char *)e.data.scalar.value, e.data.scalar.length);
		else if (!end)
			FAIL(r, key_at, "a key must be a string");
		yaml_event_delete(&e);
		if (end)
			return object;
		if (!key || !next(r, &e))
			return NULL;
		v = value(r, &e, depth);
		yaml_event_delete(&e);
		if (v && node_member(object, key))
			source_error(r->s, key_at, NULL, "\"%s\" stands here twice", key);
		else if (v)
			node_add_member(r->s->arena, object, v, key, key_at);
	}
	return NULL;
}

static void remember(struct reader *r, const yaml_char_t *name, struct node *n)
{
	if (!name || !n)
		return;
	if (r->n_anchors == ANCHORS) {
		FAIL(r, n->at, "more than %d anchors", ANCHORS);
		return;
	}
	r->anchors[r->n_anchors++] = (struct anchor){ arena_copy(r->s->arena, (const char *)name, strlen((const char *)name)), n };
}

static struct node *value(struct reader *r, yaml_event_t *e, int depth)
{
	size_t place = at(r, e->start_mark);
	struct node *n = NULL;

	if (depth >= NODE_DEPTH) {
		refuse_depth(r, place);
		return NULL;
	}
	if (e->type == YAML_SCALAR_EVENT) {
		n = scalar(r, e);
		remember(r, e->data.scalar.anchor, n);
	} else if (e->type == YAML_SEQUENCE_START_EVENT) {
		n = sequence(r, place, depth + 1);
		remember(r, e->data.sequence_start.anchor, n);
	} else if (e->type == YAML_MAPPING_START_EVENT) {
		n = mapping(r, place, depth + 1);
		remember(r, e->data.mapping_start.anchor, n);
	} else if (e->type == YAML_ALIAS_EVENT) {
		n = alias(r, e, depth);
	}
	return n;
}

/* The first document; a second one is an error. */
static struct node *stream(struct reader *r)
{
	struct node *root = NULL;
	bool done = false;
	yaml_event_t e;

	while (!done && next(r, &e)) {
		if (e.type == YAML_DOCUMENT_START_EVENT && root)
			FAIL(r, at(r, e.start_mark), "a second document");
		else if (e.type == YAML_STREAM_END_EVENT)
			done = true;
		else if (e.type != YAML_STREAM_START_EVENT && e.type != YAML_DOCUMENT_START_EVENT && e.type != YAML_DOCUMENT_END_EVENT)
			root = value(r, &e, 0);
		yaml_event_delete(&e);
	}
	if (r->failed)
		return NULL;
	return root ? root : node_new(r->s->arena, NODE_OBJECT, 0);
}

struct node *yaml_parse(struct source *s)
{
	struct reader *r = arena_alloc(s->arena, sizeof(*r));
	struct node *root;

	r->s = s;
	if (!yaml_parser_initialize(&r->parser)) {
		source_error(s, 0, NULL, "out of memory");
		return NULL;
	}
	yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r->parser, (const unsigned char *)s->text, s->len);
	root = stream(r);
	yaml_parser_delete(&r->parser);
	return root;
}
