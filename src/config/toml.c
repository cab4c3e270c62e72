// SPDX-License-Identifier: MIT
/* TOML (https://toml.io/en/v1.0.0): lines, keys and tables. Debian has TOML readers for C++ alone, so this is our own.
 *
 * Each object has a mark that says how it came to be, since that decides who may add to it: [a.b] opens `a` for other headers (OPEN) and makes
 * `b` (HEADER), which no second header may; a.b = 1 makes `a` (DOTTED), to which only dotted keys add; inline tables are complete. */
#include "config/toml.h"

#include <string.h>

#include "config/toml_internal.h"

int toml_peek(const struct toml *t)
{
	return t->at < t->s->len ? (unsigned char)t->s->text[t->at] : -1;
}

const char *toml_found(const struct toml *t)
{
	int c = toml_peek(t);
	size_t n = 1;

	if (c < 0)
		return "the end of the file";
	if (c == '\n' || c == '\r')
		return "the end of the line";
	while (t->at + n < t->s->len && ((unsigned char)t->s->text[t->at + n] & 0xc0) == 0x80)
		n++;
	return c < 0x20 ? arena_format(t->s->arena, "the byte 0x%02x", c) : arena_format(t->s->arena, "`%.*s`", (int)n, t->s->text + t->at);
}

void toml_skip(struct toml *t, bool lines)
{
	for (;; t->at++) {
		int c = toml_peek(t);

		if (lines && c == '#') {
			const char *end = memchr(t->s->text + t->at, '\n', t->s->len - t->at);

			if (!end) {
				t->at = t->s->len;
				return;
			}
			t->at = (size_t)(end - t->s->text);
		} else if (c != ' ' && c != '\t' && !(lines && (c == '\n' || c == '\r'))) {
			return;
		}
	}
}

static bool is_bare(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* One of the dotted ones: bare or quoted. NULL after an error. */
static char *single_key(struct toml *t)
{
	size_t begin = t->at;
	char *key = NULL;
	int c = toml_peek(t);

	if (c == '"' || c == '\'')
		return toml_string(t, &key) ? key : NULL;
	while (is_bare(toml_peek(t)))
		t->at++;
	if (t->at == begin) {
		TOML_FAIL(t, begin, "expected a key, found %s", toml_found(t));
		return NULL;
	}
	return arena_copy(t->s->arena, t->s->text + begin, t->at - begin);
}

/* The object behind @key in @table, for dotted keys and headers: made when it isn't there. */
static struct node *descend(struct toml *t, struct node *table, char *key, size_t key_at, bool header)
{
	struct node *n = node_member(table, key);

	if (!n) {
		n = node_new(t->s->arena, NODE_OBJECT, key_at);
		n->mark = header ? TOML_OPEN : TOML_DOTTED;
		node_add_member(t->s->arena, table, n, key, key_at);
		return n;
	}
	if (header && n->kind == NODE_ARRAY && n->mark == TOML_TABLES)
		return n->last;
	if (n->kind == NODE_OBJECT && n->mark != TOML_INLINE && (header || n->mark == TOML_DOTTED))
		return n;
	TOML_FAIL(t, key_at, n->kind == NODE_OBJECT ? "the table \"%s\" is complete already" : "\"%s\" is no table", key);
	return NULL;
}

/* The last key of a row of dotted ones; those before it lead to *@table. */
static char *dotted(struct toml *t, struct node **table, size_t *ret_key_at, bool header)
{
	for (int n = 0;; n++) {
		char *key;

		toml_skip(t, false);
		*ret_key_at = t->at;
		key = single_key(t);
		if (!key)
			return NULL;
		toml_skip(t, false);
		if (toml_peek(t) != '.')
			return key;
		if (n >= NODE_DEPTH)
			TOML_FAIL(t, *ret_key_at, "more than %d tables within each other", NODE_DEPTH);
		t->at++;
		*table = t->failed ? NULL : descend(t, *table, key, *ret_key_at, header);
		if (!*table)
			return NULL;
	}
}

void toml_pair(struct toml *t, struct node *table)
{
	size_t key_at;
	char *key = dotted(t, &table, &key_at, false);
	struct node *v;

	if (!key)
		return;
	if (toml_peek(t) != '=') {
		TOML_FAIL(t, t->at, "expected `=` behind \"%s\", found %s", key, toml_found(t));
		return;
	}
	t->at++;
	toml_skip(t, false);
	v = toml_value(t);
	if (v && node_member(table, key))
		source_error(t->s, key_at, NULL, "\"%s\" stands here twice", key);
	else if (v)
		node_add_member(t->s->arena, table, v, key, key_at);
}

static void open_table(struct toml *t, struct node *parent, char *key, size_t key_at)
{
	struct node *n = node_member(parent, key);

	if (n && (n->kind != NODE_OBJECT || n->mark != TOML_OPEN)) {
		TOML_FAIL(t, key_at, "\"%s\" stands here twice", key);
		return;
	}
	if (!n) {
		n = node_new(t->s->arena, NODE_OBJECT, key_at);
		node_add_member(t->s->arena, parent, n, key, key_at);
	}
	n->mark = TOML_HEADER;
	t->table = n;
}

static void open_element(struct toml *t, struct node *parent, char *key, size_t key_at)
{
	struct node *n = node_member(parent, key);

	if (n && (n->kind != NODE_ARRAY || n->mark != TOML_TABLES)) {
		TOML_FAIL(t, key_at, "\"%s\" stands here already, and is no array of tables", key);
		return;
	}
	if (!n) {
		n = node_new(t->s->arena, NODE_ARRAY, key_at);
		n->mark = TOML_TABLES;
		node_add_member(t->s->arena, parent, n, key, key_at);
	}
	t->table = node_new(t->s->arena, NODE_OBJECT, key_at);
	t->table->mark = TOML_HEADER;
	node_append(n, t->table);
}

/* At a bracket. */
static void header(struct toml *t)
{
	bool element = t->s->text[t->at + 1] == '[';
	struct node *parent = t->root;
	size_t key_at;
	char *key;

	t->at += element ? 2 : 1;
	key = dotted(t, &parent, &key_at, true);
	if (!key)
		return;
	if (toml_peek(t) != ']' || (element && t->s->text[t->at + 1] != ']')) {
		TOML_FAIL(t, t->at, "expected `%s`, found %s", element ? "]]" : "]", toml_found(t));
		return;
	}
	t->at += element ? 2 : 1;
	if (element)
		open_element(t, parent, key, key_at);
	else
		open_table(t, parent, key, key_at);
}

static void end_line(struct toml *t)
{
	toml_skip(t, false);
	if (!t->failed && toml_peek(t) >= 0 && !strchr("#\r\n", toml_peek(t)))
		TOML_FAIL(t, t->at, "expected the end of the line, found %s", toml_found(t));
}

struct node *toml_parse(struct source *s)
{
	struct toml t = { .s = s, .root = node_new(s->arena, NODE_OBJECT, 0) };

	t.table = t.root;
	t.root->mark = TOML_HEADER;
	for (toml_skip(&t, true); !t.failed && toml_peek(&t) >= 0; toml_skip(&t, true)) {
		if (toml_peek(&t) == '[')
			header(&t);
		else
			toml_pair(&t, t.table);
		end_line(&t);
	}
	return t.failed ? NULL : t.root;
}
