// SPDX-License-Identifier: MIT
/* A path: its memory, and the grammar of segments and selectors (RFC 9535 §2.1 to §2.5). Filters are parsed in jsonpath_filter.c. */
#include "http/jsonpath_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct block {
	struct block *next;
	json_t *literal;
	struct regex *regex;
	max_align_t data[];
};

struct jsonpath {
	struct block *blocks;
	struct jp_query *query;
};

static struct block *add_block(struct jsonpath *p, size_t size)
{
	struct block *b = calloc(1, sizeof(*b) + size);

	if (!b)
		return NULL;
	b->next = p->blocks;
	p->blocks = b;
	return b;
}

void *jsonpath_alloc(struct jsonpath *p, size_t size)
{
	struct block *b = add_block(p, size);

	return b ? b->data : NULL;
}

bool jsonpath_own(struct jsonpath *p, json_t *literal, struct regex *regex)
{
	struct block *b = add_block(p, 0);

	if (!b) {
		json_decref(literal);
		regex_free(regex);
		return false;
	}
	b->literal = literal;
	b->regex = regex;
	return true;
}

void jsonpath_free(struct jsonpath *p)
{
	if (!p)
		return;
	for (struct block *b = p->blocks, *next; b; b = next) {
		next = b->next;
		json_decref(b->literal);
		regex_free(b->regex);
		free(b);
	}
	free(p);
}

void *jp_fail(struct jp_parser *p, const char *at, const char *format, ...)
{
	char text[256];
	va_list args;

	if (error_is_set(p->err))
		return NULL;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	error_set(p->err, 0, "offset %td: %s", at - p->text, text);
	return NULL;
}

void jp_blank(struct jp_parser *p)
{
	while (p->at < p->end && strchr(" \t\n\r", *p->at) && *p->at)
		p->at++;
}

char jp_peek(const struct jp_parser *p)
{
	return p->at < p->end ? *p->at : '\0';
}

bool jp_take(struct jp_parser *p, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(p->end - p->at) < n || memcmp(p->at, word, n) != 0)
		return false;
	p->at += n;
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool begins_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

/* An integer of JSON's, within what I-JSON can carry. */
static bool parse_int(struct jp_parser *p, json_int_t *ret)
{
	const json_int_t most = ((json_int_t)1 << 53) - 1;
	const char *begin = p->at;
	bool negative = jp_take(p, "-");
	const char *digits = p->at;
	json_int_t n = 0;

	while (is_digit(jp_peek(p))) {
		n = n * 10 + (*p->at++ - '0');
		if (n > most) {
			jp_fail(p, begin, "the number is beyond 2^53 - 1");
			return false;
		}
	}
	if (p->at == digits || (*digits == '0' && (negative || p->at > digits + 1))) {
		jp_fail(p, begin, "an integer must stand here, without leading zeros");
		return false;
	}
	*ret = negative ? -n : n;
	return true;
}

static bool hex4(struct jp_parser *p, unsigned int *ret)
{
	unsigned int n = 0;

	for (int i = 0; i < 4; i++, p->at++) {
		const char *digits = "0123456789abcdef";
		char c = jp_peek(p);
		const char *digit = strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c);

		if (!c || !digit)
			return false;
		n = n << 4 | (unsigned int)(digit - digits);
	}
	*ret = n;
	return true;
}

static char *put_utf8(char *out, unsigned int c)
{
	if (c < 0x80) {
		*out++ = (char)c;
		return out;
	}
	if (c < 0x800) {
		*out++ = (char)(0xc0 | c >> 6);
	} else {
		if (c < 0x10000) {
			*out++ = (char)(0xe0 | c >> 12);
		} else {
			*out++ = (char)(0xf0 | c >> 18);
			*out++ = (char)(0x80 | (c >> 12 & 63));
		}
		*out++ = (char)(0x80 | (c >> 6 & 63));
	}
	*out++ = (char)(0x80 | (c & 63));
	return out;
}

/* Behind "\u". */
static bool unicode_escape(struct jp_parser *p, unsigned int *ret)
{
	unsigned int c, low;

	if (!hex4(p, &c) || (c >= 0xdc00 && c <= 0xdfff))
		return false;
	if (c >= 0xd800 && c <= 0xdbff) {
		if (!jp_take(p, "\\u") || !hex4(p, &low) || low < 0xdc00 || low > 0xdfff)
			return false;
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	}
	*ret = c;
	return true;
}

/* Behind the backslash. Returns behind what was put, or NULL. */
static char *unescape(struct jp_parser *p, char quote, char *out)
{
	static const char names[] = "bfnrt/\\", values[] = "\b\f\n\r\t/\\";
	char c = jp_peek(p);
	const char *name = c ? strchr(names, c) : NULL;
	unsigned int code;

	if (p->at < p->end)
		p->at++;
	if (c == quote)
		*out++ = quote;
	else if (name)
		*out++ = values[name - names];
	else if (c == 'u' && unicode_escape(p, &code))
		return put_utf8(out, code);
	else
		return NULL;
	return out;
}

bool jp_parse_string(struct jp_parser *p, struct span *ret)
{
	const char *begin = p->at;
	char quote = *p->at++, *text = jsonpath_alloc(p->path, (size_t)(p->end - begin) + 1), *out = text;

	if (!text) {
		jp_fail(p, begin, "out of memory");
		return false;
	}
	while (p->at < p->end && *p->at != quote) {
		const char *at = p->at;
		char c = *p->at++;

		if ((unsigned char)c < 0x20) {
			jp_fail(p, at, "a control character in a string must be escaped");
			return false;
		}
		if (c != '\\') {
			*out++ = c;
			continue;
		}
		out = unescape(p, quote, out);
		if (!out) {
			jp_fail(p, at, "no such escape");
			return false;
		}
	}
	if (p->at == p->end) {
		jp_fail(p, begin, "the string has no end");
		return false;
	}
	p->at++;
	*ret = (struct span){ text, (size_t)(out - text) };
	return true;
}

static bool parse_slice(struct jp_parser *p, struct jp_selector *s)
{
	s->kind = JP_SLICE;
	s->step = 1;
	jp_blank(p);
	if (jp_peek(p) == '-' || is_digit(jp_peek(p))) {
		s->has_end = true;
		if (!parse_int(p, &s->end))
			return false;
		jp_blank(p);
	}
	if (!jp_take(p, ":"))
		return true;
	jp_blank(p);
	if (jp_peek(p) != '-' && !is_digit(jp_peek(p)))
		return true;
	return parse_int(p, &s->step);
}

static bool parse_index_or_slice(struct jp_parser *p, struct jp_selector *s)
{
	const char *behind;

	s->kind = JP_INDEX;
	if (jp_peek(p) != ':') {
		s->has_start = true;
		if (!parse_int(p, &s->start))
			return false;
	}
	behind = p->at;
	jp_blank(p);
	if (jp_take(p, ":"))
		return parse_slice(p, s);
	p->at = behind;
	return true;
}

static struct jp_selector *parse_selector(struct jp_parser *p)
{
	struct jp_selector *s = jsonpath_alloc(p->path, sizeof(*s));
	char c = jp_peek(p);

	if (!s)
		return jp_fail(p, p->at, "out of memory");
	if (c == '"' || c == '\'') {
		s->kind = JP_NAME;
		return jp_parse_string(p, &s->name) ? s : NULL;
	}
	if (jp_take(p, "*")) {
		s->kind = JP_WILDCARD;
		return s;
	}
	if (jp_take(p, "?")) {
		s->kind = JP_FILTER;
		s->filter = jp_parse_filter(p);
		return s->filter ? s : NULL;
	}
	if (c == '-' || c == ':' || is_digit(c))
		return parse_index_or_slice(p, s) ? s : NULL;
	return jp_fail(p, p->at, "a name in quotes, a number, a slice, * or ? must stand here");
}

static bool parse_bracket(struct jp_parser *p, struct jp_segment *segment)
{
	struct jp_selector **last = &segment->first;

	do {
		jp_blank(p);
		*last = parse_selector(p);
		if (!*last)
			return false;
		last = &(*last)->next;
		jp_blank(p);
	} while (jp_take(p, ","));
	if (jp_take(p, "]"))
		return true;
	jp_fail(p, p->at, "] or a comma must stand here");
	return false;
}

/* `name` or `*`, behind the dots. */
static bool parse_shorthand(struct jp_parser *p, struct jp_segment *segment)
{
	struct jp_selector *s = jsonpath_alloc(p->path, sizeof(*s));
	const char *begin = p->at;
	char *name;

	segment->first = s;
	if (!s || jp_take(p, "*")) {
		if (s)
			s->kind = JP_WILDCARD;
		return s || jp_fail(p, begin, "out of memory");
	}
	if (!begins_name(jp_peek(p))) {
		jp_fail(p, begin, "a name must stand here, or *");
		return false;
	}
	while (begins_name(jp_peek(p)) || is_digit(jp_peek(p)))
		p->at++;
	s->kind = JP_NAME;
	s->name.len = (size_t)(p->at - begin);
	s->name.at = name = jsonpath_alloc(p->path, s->name.len + 1);
	if (!name)
		return jp_fail(p, begin, "out of memory");
	memcpy(name, begin, s->name.len);
	return true;
}

static bool parse_segment(struct jp_parser *p, struct jp_segment *segment)
{
	if (jp_take(p, "..")) {
		segment->descendant = true;
		return jp_take(p, "[") ? parse_bracket(p, segment) : parse_shorthand(p, segment);
	}
	return jp_take(p, "[") ? parse_bracket(p, segment) : jp_take(p, ".") && parse_shorthand(p, segment);
}

struct jp_query *jp_parse_query(struct jp_parser *p)
{
	struct jp_query *q = jsonpath_alloc(p->path, sizeof(*q));
	struct jp_segment **last = q ? &q->first : NULL;
	const char *behind;

	if (!q)
		return jp_fail(p, p->at, "out of memory");
	for (;; last = &(*last)->next) {
		behind = p->at;
		jp_blank(p);
		if (jp_peek(p) != '.' && jp_peek(p) != '[')
			break;
		*last = jsonpath_alloc(p->path, sizeof(**last));
		if (!*last)
			return jp_fail(p, p->at, "out of memory");
		if (!parse_segment(p, *last))
			return NULL;
	}
	p->at = behind;
	return q;
}

bool jp_query_is_singular(const struct jp_query *q)
{
	for (const struct jp_segment *s = q->first; s; s = s->next)
		if (s->descendant || s->first->next || (s->first->kind != JP_NAME && s->first->kind != JP_INDEX))
			return false;
	return true;
}

struct jsonpath *jsonpath_compile(struct span text, struct error *err)
{
	struct jsonpath *path = calloc(1, sizeof(*path));
	struct jp_parser p = { .path = path, .text = text.at, .at = text.at, .end = text.at + text.len, .err = err };

	if (!path) {
		error_set(err, ENOMEM, "compile a JSONPath");
		return NULL;
	}
	if (!jp_take(&p, "$"))
		jp_fail(&p, p.at, "a JSONPath begins with $");
	else
		path->query = jp_parse_query(&p);
	if (path->query && p.at < p.end)
		jp_fail(&p, p.at, "the path should end here, or go on with . or [");
	if (!error_is_set(err))
		return path;
	jsonpath_free(path);
	return NULL;
}

int jsonpath_select(const struct jsonpath *p, json_t *root, bool (*found)(void *arg, json_t *node), void *arg)
{
	struct jp_run run = { .root = root, .current = root };

	jp_run_query(&run, p->query, found, arg);
	return run.over ? -1 : 0;
}
