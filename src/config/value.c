// SPDX-License-Identifier: MIT
/* Values by their kinds. A text is made a node first, so that both ways are checked by the same code. */
#include "config/value.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "config/filter_value.h"
#include "config/source.h"

enum { WORDS_MAX = 16, WORD_LEN = 32 };

static void *field(struct config *c, enum config_key key)
{
	return (char *)c + key_info(key)->offset;
}

void value_error(const struct value_context *c, enum config_key key, const struct node *n, const char *path, const char *format, ...)
{
	unsigned int line = 0, column = 0;
	va_list args;
	char *text;

	if (problem_list_skip_error(c->problems))
		return;
	if (c->source && n)
		source_place(c->source, n->at, &line, &column);
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	problem_add(c->problems, PROBLEM_ERROR, c->where, line, column, path ? path : key_info(key)->path, "%s", text ? text : "out of memory");
	free(text);
}

static bool expected(const struct value_context *c, enum config_key key, const struct node *n, const char *path, const char *what)
{
	value_error(c, key, n, path, "expected %s, found %s", what, node_describe(c->config->arena, n));
	return false;
}

static const char *element_path(const struct value_context *c, enum config_key key, size_t i)
{
	return arena_format(c->config->arena, "%s[%zu]", key_info(key)->path, i);
}

/* A whole number without sign; false for any other text. */
static bool whole(const char *text, uint64_t *ret)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	return *end == '\0' && errno == 0;
}

static bool set_bool(const struct value_context *c, enum config_key key, const struct node *n)
{
	if (n->kind != NODE_BOOL)
		return expected(c, key, n, NULL, "true or false");
	if (key_info(key)->kind == KIND_TRI)
		*(config_TRI *)field(c->config, key) = n->boolean ? CONFIG_YES : CONFIG_NO;
	else
		*(config_BOOL *)field(c->config, key) = n->boolean;
	return true;
}

static bool set_number(const struct value_context *c, enum config_key key, const struct node *n)
{
	const char *range = key_info(key)->extra;
	uint64_t least = strtoull(range, NULL, 10), most = strtoull(strstr(range, "..") + 2, NULL, 10), v;

	if (n->kind != NODE_NUMBER || !whole(n->text, &v) || v < least || v > most)
		return expected(c, key, n, NULL,
				arena_format(c->config->arena, "a whole number from %llu to %llu", (unsigned long long)least,
					(unsigned long long)most));
	*(config_NUMBER *)field(c->config, key) = v;
	return true;
}

static bool set_string(const struct value_context *c, enum config_key key, const struct node *n)
{
	if (n->kind != NODE_STRING)
		return expected(c, key, n, NULL, "a string");
	*(config_STRING *)field(c->config, key) = n->text;
	return true;
}

bool strings_value_read(const struct value_context *c, enum config_key key, const struct node *n, const char *path, struct config_strings *ret)
{
	struct config_strings list = { .set = true };
	bool good = true;

	if (n->kind != NODE_STRING && n->kind != NODE_ARRAY)
		return expected(c, key, n, path, "a string or an array of strings");
	for (const struct node *e = n->kind == NODE_ARRAY ? n->child : n; e; e = n->kind == NODE_ARRAY ? e->next : NULL) {
		if (e->kind != NODE_STRING)
			good = expected(c, key, e, arena_format(c->config->arena, "%s[%zu]", path, list.n), "a string");
		*(char **)arena_push(c->config->arena, (void **)&list.items, list.n++, sizeof(char *)) = e->text;
	}
	if (good)
		*ret = list;
	return good;
}

/* "a;b" is two. */
static void split(struct arena *a, struct config_strings *s)
{
	const struct config_strings whole = *s;

	s->n = 0;
	for (size_t i = 0; i < whole.n; i++) {
		for (const char *p = whole.items[i]; *p; p += strspn(p, ";")) {
			size_t len = strcspn(p, ";");

			if (len)
				*(char **)arena_push(a, (void **)&s->items, s->n++, sizeof(char *)) = arena_copy(a, p, len);
			p += len;
		}
	}
}

static bool set_strings(const struct value_context *c, enum config_key key, const struct node *n)
{
	struct config_strings *list = field(c->config, key);

	if (!strings_value_read(c, key, n, key_info(key)->path, list))
		return false;
	if (*key_info(key)->extra == ';')
		split(c->config->arena, list);
	return true;
}

/* "`mirror`, `steal` or `off`" */
static const char *list_words(struct arena *a, const char *words)
{
	const char *text = "", *w;
	size_t len, after;

	for (size_t i = 0; (w = key_word(words, i, &len)); i++)
		text = arena_format(a, "%s%s\"%.*s\"", text, i == 0 ? "" : key_word(words, i + 1, &after) ? ", " : " or ", (int)len, w);
	return text;
}

static const char *near_word(const char *words, const char *typed, char buf[WORDS_MAX][WORD_LEN])
{
	const char *list[WORDS_MAX + 1] = { NULL }, *w;
	size_t len;

	for (size_t i = 0; i < WORDS_MAX && (w = key_word(words, i, &len)) && len < WORD_LEN; i++) {
		memcpy(buf[i], w, len);
		buf[i][len] = '\0';
		list[i] = buf[i];
	}
	return nearest_word(typed, list);
}

static bool set_enum(const struct value_context *c, enum config_key key, const struct node *n)
{
	const char *words = key_info(key)->extra, *w, *near = NULL;
	char buf[WORDS_MAX][WORD_LEN];
	size_t len;

	for (size_t i = 0; n->kind == NODE_STRING && (w = key_word(words, i, &len)); i++)
		if (strlen(n->text) == len && memcmp(w, n->text, len) == 0) {
			*(config_ENUM *)field(c->config, key) = (int)i;
			return true;
		}
	if (n->kind == NODE_STRING)
		near = near_word(words, n->text, buf);
	value_error(c, key, n, NULL, "expected %s, found %s%s", list_words(c->config->arena, words), node_describe(c->config->arena, n),
		    key_meant(c->config->arena, near));
	return false;
}

static bool read_port(const struct value_context *c, enum config_key key, const struct node *n, const char *path, uint16_t *ret)
{
	uint64_t v;

	if (n->kind != NODE_NUMBER || !whole(n->text, &v) || v == 0 || v > UINT16_MAX)
		return expected(c, key, n, path, "a port from 1 to 65535");
	*ret = (uint16_t)v;
	return true;
}

static bool set_ports(const struct value_context *c, enum config_key key, const struct node *n)
{
	struct config_ports list = { .set = true };
	bool good = true, array = n->kind == NODE_ARRAY;

	for (const struct node *e = array ? n->child : n; e; e = array ? e->next : NULL) {
		uint16_t *port = arena_push(c->config->arena, (void **)&list.items, list.n++, sizeof(*port));

		good &= read_port(c, key, e, array ? element_path(c, key, list.n - 1) : NULL, port);
	}
	if (good)
		*(config_PORTS *)field(c->config, key) = list;
	return good;
}

static bool set_pairs(const struct value_context *c, enum config_key key, const struct node *n)
{
	struct config_pairs list = { .set = true };
	bool good = true;

	if (n->kind != NODE_ARRAY)
		return expected(c, key, n, NULL, "an array of pairs of ports, as [[8080, 80]]");
	for (const struct node *e = n->child; e; e = e->next) {
		const char *path = element_path(c, key, list.n);
		struct config_pair *pair = arena_push(c->config->arena, (void **)&list.items, list.n++, sizeof(*pair));

		if (e->kind != NODE_ARRAY || e->n != 2) {
			good = expected(c, key, e, path, "a pair of ports, as [8080, 80]");
		} else { /* both, for the sake of the messages */
			good = read_port(c, key, e->child, arena_format(c->config->arena, "%s[0]", path), &pair->from) && good;
			good = read_port(c, key, e->last, arena_format(c->config->arena, "%s[1]", path), &pair->to) && good;
		}
	}
	if (good)
		*(config_PAIRS *)field(c->config, key) = list;
	return good;
}

static bool set_map(const struct value_context *c, enum config_key key, const struct node *n)
{
	struct config_map map = { .set = true };
	bool good = true;

	if (n->kind != NODE_OBJECT)
		return expected(c, key, n, NULL, "an object of strings");
	for (const struct node *e = n->child; e; e = e->next) {
		struct config_map_entry *entry = arena_push(c->config->arena, (void **)&map.items, map.n++, sizeof(*entry));

		*entry = (struct config_map_entry){ e->key, e->text };
		if (e->kind == NODE_STRING)
			continue;
		value_error(c, key, e, arena_format(c->config->arena, "%s.%s", key_info(key)->path, e->key), "expected a string, found %s%s",
			    node_describe(c->config->arena, e), e->kind == NODE_NUMBER || e->kind == NODE_BOOL ? "; put it in quotes" : "");
		good = false;
	}
	if (good)
		*(config_MAP *)field(c->config, key) = map;
	return good;
}

static bool set_json(const struct value_context *c, enum config_key key, const struct node *n)
{
	static const char *const names[] = { [NODE_NULL] = "null", [NODE_BOOL] = "bool", [NODE_NUMBER] = "number", [NODE_STRING] = "string",
					     [NODE_ARRAY] = "array", [NODE_OBJECT] = "object" };
	const char *kinds = key_info(key)->extra, *w;
	size_t len;

	for (size_t i = 0; (w = key_word(kinds, i, &len)); i++)
		if (strlen(names[n->kind]) == len && memcmp(names[n->kind], w, len) == 0) {
			*(config_JSON *)field(c->config, key) = n;
			return true;
		}
	return expected(c, key, n, NULL,
			strcmp(kinds, "object") == 0 ? "an object" : strcmp(kinds, "array") == 0 ? "an array" :
			strcmp(kinds, "object|array") == 0 ? "an object or an array" :
			strcmp(kinds, "string|object") == 0 ? "a string or an object" : "true, false or an object");
}

static bool (*const setters[])(const struct value_context *, enum config_key, const struct node *) = {
	[KIND_BOOL] = set_bool, [KIND_TRI] = set_bool, [KIND_NUMBER] = set_number, [KIND_STRING] = set_string, [KIND_STRINGS] = set_strings,
	[KIND_ENUM] = set_enum, [KIND_PORTS] = set_ports, [KIND_PAIRS] = set_pairs, [KIND_MAP] = set_map, [KIND_FILTER] = filter_value_set,
	[KIND_JSON] = set_json,
};

bool value_set_node(const struct value_context *c, enum config_key key, const struct node *n)
{
	struct config_source *source = &c->config->sources[key];

	if (n->kind == NODE_NULL)
		return true;
	if (!setters[key_info(key)->kind](c, key, n))
		return false;
	*source = (struct config_source){ .origin = c->origin, .name = c->where };
	if (c->source)
		source_place(c->source, n->at, &source->line, &source->column);
	return true;
}

static struct node *list_from_text(struct arena *a, enum node_kind kind, const char *text)
{
	struct node *list = node_new(a, NODE_ARRAY, 0);

	for (;; text++) {
		size_t len = strcspn(text, ";");

		if (len)
			node_append(list, node_new_text(a, kind, text, len, 0));
		text += len;
		if (!*text)
			return list;
	}
}

/* What a text is when it stands for a value of this kind; a wrong one stays a string, which is then complained about. */
static struct node *from_text(struct arena *a, enum key_kind kind, const char *text)
{
	struct node *n;
	uint64_t v;

	if ((kind == KIND_BOOL || kind == KIND_TRI) && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)) {
		n = node_new(a, NODE_BOOL, 0);
		n->boolean = *text == 't';
		return n;
	}
	if (kind == KIND_STRINGS)
		return list_from_text(a, NODE_STRING, text);
	if (kind == KIND_PORTS && strspn(text, "0123456789;") == strlen(text))
		return list_from_text(a, NODE_NUMBER, text);
	return node_new_text(a, kind == KIND_NUMBER && whole(text, &v) ? NODE_NUMBER : NODE_STRING, text, strlen(text), 0);
}

bool value_set_text(const struct value_context *c, enum config_key key, const char *text)
{
	/* The original's variable knows these, too. */
	if (key == KEY_incoming_mode && strcmp(text, "true") == 0)
		text = "steal";
	else if (key == KEY_incoming_mode && strcmp(text, "false") == 0)
		text = "off";
	return value_set_node(c, key, from_text(c->config->arena, key_info(key)->kind, text));
}
