// SPDX-License-Identifier: MIT
/* TOML: values. Dates, `inf` and `nan` are errors, since no key takes one. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/toml_internal.h"
#include "config/utf8.h"

/* Behind \u or \U. */
static size_t unicode(struct toml *t, size_t begin, int len, char *out)
{
	uint32_t v = 0;

	for (int i = 0; i < len; i++, t->at++) {
		int c = toml_peek(t);

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint32_t)(c - '0');
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			v = v << 4 | (uint32_t)((c | 32) - 'a' + 10);
		else
			TOML_FAIL(t, begin, "\\%c wants %d hexadecimal digits", len == 4 ? 'u' : 'U', len);
		if (t->failed)
			return 0;
	}
	if (v == 0 || v >= 0x110000 || (v >= 0xd800 && v < 0xe000)) {
		TOML_FAIL(t, begin, "this is no character that a string can hold");
		return 0;
	}
	return utf8_put(out, v);
}

/* A backslash at the end of a line of a long string: all white space up to the next word is left out. */
static bool line_ends(struct toml *t)
{
	size_t at = t->at;

	while (at < t->s->len && strchr(" \t\r", t->s->text[at]))
		at++;
	if (at >= t->s->len || t->s->text[at] != '\n')
		return false;
	while (at < t->s->len && strchr(" \t\r\n", t->s->text[at]))
		at++;
	t->at = at;
	return true;
}

/* At the backslash. */
static size_t escape(struct toml *t, bool is_long, char *out)
{
	static const char names[] = "\"\\bfnrte", values[] = "\"\\\b\f\n\r\t\033";
	size_t begin = t->at++;
	int c = toml_peek(t);
	const char *known = c > 0 ? strchr(names, c) : NULL;

	if (c == 'u' || c == 'U') {
		t->at++;
		return unicode(t, begin, c == 'u' ? 4 : 8, out);
	}
	if (is_long && line_ends(t))
		return 0;
	if (!known) {
		TOML_FAIL(t, begin, "unknown escape; a backslash itself is written `\\\\`, or the string stands in single quotes");
		return 0;
	}
	t->at++;
	*out = values[known - names];
	return 1;
}

static size_t quotes_at(const struct toml *t, int quote)
{
	size_t n = 0;

	while (t->at + n < t->s->len && t->s->text[t->at + n] == quote && n < 5)
		n++;
	return n;
}

/* How long the string can be at most: up to the first quotes that may end it, or the end of its line. */
static size_t extent(const struct toml *t, int quote, bool is_long)
{
	const char *text = t->s->text;
	size_t at = t->at;

	for (; at < t->s->len; at++) {
		if (text[at] == '\\' && quote == '"')
			at++;
		else if (is_long ? strncmp(text + at, quote == '"' ? "\"\"\"" : "'''", 3) == 0 : text[at] == quote || text[at] == '\n')
			break;
	}
	return (at < t->s->len ? at : t->s->len) - t->at;
}

/* Behind the opening quotes. A long string may end with up to two quotes of its own before the closing three. */
static bool body(struct toml *t, size_t begin, int quote, bool is_long, char **ret_text)
{
	char *out = arena_alloc(t->s->arena, extent(t, quote, is_long) + 8);
	size_t n = 0;

	while (!t->failed) {
		int c = toml_peek(t);
		size_t quotes = c == quote ? quotes_at(t, quote) : 0;

		if (quotes >= (is_long ? 3 : 1)) {
			size_t own = is_long ? quotes - 3 : 0;

			memset(out + n, quote, own);
			t->at += is_long ? quotes : 1;
			*ret_text = out;
			return true;
		}
		if (c < 0 || (!is_long && (c == '\n' || c == '\r')))
			TOML_FAIL(t, begin, "this string has no end%s", is_long ? "" : " on its line");
		else if (c == 0)
			TOML_FAIL(t, t->at, "a string can't hold a NUL");
		else if (c == '\\' && quote == '"')
			n += escape(t, is_long, out + n);
		else
			out[n++] = t->s->text[t->at++];
	}
	return false;
}

bool toml_string(struct toml *t, char **ret_text)
{
	int quote = toml_peek(t);
	size_t begin = t->at, quotes = quotes_at(t, quote);
	bool is_long = quotes >= 3;

	if (quotes == 2) {
		t->at += 2;
		*ret_text = arena_copy(t->s->arena, "", 0);
		return true;
	}
	t->at += is_long ? 3 : 1;
	if (is_long && toml_peek(t) == '\r')
		t->at++;
	if (is_long && toml_peek(t) == '\n')
		t->at++;
	return body(t, begin, quote, is_long, ret_text);
}

/* 0x, 0o, 0b: as a decimal number. */
static struct node *other_base(struct toml *t, const char *digits, int base, size_t begin)
{
	unsigned long long v;
	const char *text;
	char *end;

	errno = 0;
	v = strtoull(digits, &end, base);
	if (end == digits || *end || *digits == '-' || *digits == '+' || errno) {
		TOML_FAIL(t, begin, "this is no number");
		return NULL;
	}
	text = arena_format(t->s->arena, "%llu", v);
	return node_new_text(t->s->arena, NODE_NUMBER, text, strlen(text), begin);
}

/* As JSON would have it, without a plus sign. */
static bool is_decimal(const char *p)
{
	p += *p == '-';
	if (*p == '0')
		p++;
	else if (*p >= '1' && *p <= '9')
		p += strspn(p, "0123456789");
	else
		return false;
	if (*p == '.') {
		size_t n = strspn(p + 1, "0123456789");

		p += n ? n + 1 : 0;
	}
	if (*p == 'e' || *p == 'E') {
		size_t sign = p[1] == '+' || p[1] == '-', n = strspn(p + 1 + sign, "0123456789");

		p += n ? 1 + sign + n : 0;
	}
	return *p == '\0';
}

/* Copies a number without its underscores, which must stand between digits. */
static bool strip(const char *text, size_t len, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		bool between = i > 0 && i + 1 < len && text[i - 1] != '_' && strchr("0123456789abcdefABCDEF", text[i - 1]) &&
			       strchr("0123456789abcdefABCDEF", text[i + 1]);

		if (text[i] != '_')
			out[n++] = text[i];
		else if (!between)
			return false;
	}
	out[n] = '\0';
	return true;
}

/* 2026-11-26, 10:00:00, or both. */
static bool is_date(const char *text, size_t n)
{
	size_t digits = strspn(text, "0123456789");

	return (n >= 10 && digits == 4 && text[4] == '-' && text[7] == '-') || (n >= 5 && digits == 2 && text[2] == ':');
}

static struct node *word(struct toml *t)
{
	size_t begin = t->at, n = 0;
	const char *text = t->s->text + begin;
	char bare[128];
	struct node *v;

	while (begin + n < t->s->len && !strchr(" \t\r\n,]}#=\"'[{", text[n]))
		n++;
	t->at += n;
	if ((n == 4 && memcmp(text, "true", 4) == 0) || (n == 5 && memcmp(text, "false", 5) == 0)) {
		v = node_new(t->s->arena, NODE_BOOL, begin);
		v->boolean = n == 4;
		return v;
	}
	if (n == 0) {
		TOML_FAIL(t, begin, "expected a value, found %s", toml_found(t));
		return NULL;
	}
	if (n >= sizeof(bare) || !strip(text, n, bare)) {
		TOML_FAIL(t, begin, "this is no value");
		return NULL;
	}
	if (bare[0] == '0' && bare[1] && strchr("xob", bare[1]))
		return other_base(t, bare + 2, bare[1] == 'x' ? 16 : bare[1] == 'o' ? 8 : 2, begin);
	if (is_decimal(bare + (bare[0] == '+')))
		return node_new_text(t->s->arena, NODE_NUMBER, bare + (bare[0] == '+'), strlen(bare + (bare[0] == '+')), begin);
	TOML_FAIL(t, begin, is_date(text, n) ? "`%.*s` is a date, which no key takes; strings stand in quotes" :
					       "expected a value, found `%.*s`; strings stand in quotes",
		  (int)(n < 40 ? n : 40), text);
	return NULL;
}

static struct node *array(struct toml *t)
{
	struct node *parent = node_new(t->s->arena, NODE_ARRAY, t->at++);

	for (toml_skip(t, true); !t->failed && toml_peek(t) != ']'; toml_skip(t, true)) {
		struct node *v = toml_value(t);

		if (!v)
			return NULL;
		node_append(parent, v);
		toml_skip(t, true);
		if (toml_peek(t) == ',')
			t->at++;
		else if (toml_peek(t) != ']')
			TOML_FAIL(t, t->at, "expected `,` or `]`, found %s", toml_found(t));
	}
	t->at++;
	return t->failed ? NULL : parent;
}

/* What dotted keys made within it is complete, too. */
static void close_tables(struct node *n)
{
	n->mark = TOML_INLINE;
	for (struct node *c = n->child; c; c = c->next)
		if (c->kind == NODE_OBJECT && c->mark == TOML_DOTTED)
			close_tables(c);
}

static struct node *inline_table(struct toml *t)
{
	struct node *parent = node_new(t->s->arena, NODE_OBJECT, t->at++);

	toml_skip(t, false);
	while (!t->failed && toml_peek(t) != '}') {
		toml_pair(t, parent);
		toml_skip(t, false);
		if (t->failed)
			return NULL;
		if (toml_peek(t) == ',')
			t->at++;
		else if (toml_peek(t) != '}')
			TOML_FAIL(t, t->at, "expected `,` or `}`, found %s", toml_found(t));
		toml_skip(t, false);
	}
	t->at++;
	close_tables(parent);
	return t->failed ? NULL : parent;
}

struct node *toml_value(struct toml *t)
{
	size_t begin = t->at;
	struct node *v;
	char *text;
	int c = toml_peek(t);

	if (c == '"' || c == '\'') {
		if (!toml_string(t, &text))
			return NULL;
		v = node_new(t->s->arena, NODE_STRING, begin);
		v->text = text;
		return v;
	}
	if (c != '[' && c != '{')
		return word(t);
	if (t->depth >= NODE_DEPTH) {
		TOML_FAIL(t, begin, "more than %d arrays and tables within each other", NODE_DEPTH);
		return NULL;
	}
	t->depth++;
	v = c == '[' ? array(t) : inline_table(t);
	t->depth--;
	return v;
}
