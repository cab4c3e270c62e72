// SPDX-License-Identifier: MIT
/* A JSON reader that knows where each value stands, which no library of a distribution does: that is why it is here.
 *
 * Beyond RFC 8259: comments from // or # to the end of the line and within slash-star, a comma behind the last member. A name
 * that comes twice is an error, since one of the two would be lost. So is a NUL within a string. */
#include "config/json.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "config/utf8.h"

struct parser {
	struct source *s;
	size_t at;
	int depth;
	bool failed;
};

static struct node *value(struct parser *p);

static int peek(const struct parser *p)
{
	return p->at < p->s->len ? (unsigned char)p->s->text[p->at] : -1;
}

/* The first error is the one; what follows it would be noise. */
#define FAIL(p, place, ...)                                                                        \
	do {                                                                                       \
		if (!(p)->failed)                                                                  \
			source_error((p)->s, place, NULL, __VA_ARGS__);                            \
		(p)->failed = true;                                                                \
	} while (0)

/* What stands at the place, for a message. */
static const char *found(const struct parser *p)
{
	int c = peek(p);
	size_t n = 1;

	if (c < 0)
		return "the end of the file";
	while (p->at + n < p->s->len && ((unsigned char)p->s->text[p->at + n] & 0xc0) == 0x80)
		n++;
	if (c < 0x20)
		return c == '\n' || c == '\r' ? "the end of the line" : arena_format(p->s->arena, "the byte 0x%02x", c);
	return arena_format(p->s->arena, "`%.*s`", (int)n, p->s->text + p->at);
}

static bool skip_comment(struct parser *p)
{
	const char *text = p->s->text;
	const char *end;

	if (text[p->at] == '#' || (text[p->at] == '/' && text[p->at + 1] == '/')) {
		end = memchr(text + p->at, '\n', p->s->len - p->at);
		p->at = end ? (size_t)(end - text) : p->s->len;
		return true;
	}
	if (text[p->at] != '/' || text[p->at + 1] != '*')
		return false;
	end = memmem(text + p->at + 2, p->s->len - p->at - 2, "*/", 2);
	if (!end)
		FAIL(p, p->at, "this comment has no end");
	p->at = end ? (size_t)(end - text) + 2 : p->s->len;
	return true;
}

static void skip_space(struct parser *p)
{
	for (;;) {
		int c = peek(p);

		if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
			p->at++;
		else if (c < 0 || !skip_comment(p))
			return;
	}
}

static int hex4(const struct parser *p, size_t at)
{
	int v = 0;

	for (size_t i = at; i < at + 4; i++) {
		int c = i < p->s->len ? p->s->text[i] : 0;

		if (c >= '0' && c <= '9')
			v = v * 16 + c - '0';
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			v = v * 16 + (c | 32) - 'a' + 10;
		else
			return -1;
	}
	return v;
}

/* Behind "\u". Returns how many bytes were written; the place moves on. */
static size_t unicode_escape(struct parser *p, size_t begin, char *out)
{
	int c = hex4(p, p->at), low = -1;

	if (c < 0) {
		FAIL(p, begin, "\\u wants four hexadecimal digits");
		return 0;
	}
	p->at += 4;
	if (c >= 0xd800 && c < 0xdc00 && p->s->text[p->at] == '\\' && p->s->text[p->at + 1] == 'u')
		low = hex4(p, p->at + 2);
	if (c >= 0xd800 && c < 0xe000 && (low < 0xdc00 || low >= 0xe000 || c >= 0xdc00)) {
		FAIL(p, begin, "half a surrogate pair is no character");
		return 0;
	}
	if (low >= 0) {
		p->at += 6;
		return utf8_put(out, 0x10000 + (((uint32_t)c - 0xd800) << 10 | ((uint32_t)low - 0xdc00)));
	}
	if (c == 0)
		FAIL(p, begin, "a string can't hold a NUL");
	return utf8_put(out, (uint32_t)c);
}

/* At a backslash. */
static size_t escape(struct parser *p, char *out)
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	size_t begin = p->at++;
	int c = peek(p);
	const char *known = c > 0 ? strchr(names, c) : NULL;

	if (c == 'u') {
		p->at++;
		return unicode_escape(p, begin, out);
	}
	if (!known) {
		FAIL(p, begin, "unknown escape `\\%s`; a backslash itself is written `\\\\`", c < 0x20 ? "" : arena_format(p->s->arena, "%c", c));
		return 0;
	}
	p->at++;
	*out = values[known - names];
	return 1;
}

/* At the quote. The text is the arena's; NULL after an error. */
static char *string(struct parser *p)
{
	size_t begin = p->at++, end = p->at, n = 0;
	char *out;

	while (end < p->s->len && p->s->text[end] != '"' && p->s->text[end] != '\n')
		end += p->s->text[end] == '\\' ? 2 : 1;
	out = arena_alloc(p->s->arena, end - begin + 5); /* an escape is never shorter than what it stands for */
	while (!p->failed) {
		int c = peek(p);

		if (c == '"') {
			p->at++;
			return out;
		}
		if (c == 0)
			FAIL(p, p->at, "a string can't hold a NUL");
		else if (c < 0x20)
			FAIL(p, begin, "this string has no end on its line");
		else if (c == '\\')
			n += escape(p, out + n);
		else
			out[n++] = p->s->text[p->at++];
	}
	return NULL;
}

static size_t digits(struct parser *p)
{
	size_t begin = p->at;

	while (peek(p) >= '0' && peek(p) <= '9')
		p->at++;
	return p->at - begin;
}

static struct node *number(struct parser *p)
{
	size_t begin = p->at;
	bool good;

	if (peek(p) == '-')
		p->at++;
	good = peek(p) == '0' ? (p->at++, true) : digits(p) > 0;
	if (good && peek(p) == '.') {
		p->at++;
		good = digits(p) > 0;
	}
	if (good && (peek(p) | 32) == 'e') {
		p->at++;
		if (peek(p) == '+' || peek(p) == '-')
			p->at++;
		good = digits(p) > 0;
	}
	if (!good || (peek(p) >= '0' && peek(p) <= '9')) {
		FAIL(p, begin, "this is no number");
		return NULL;
	}
	return node_new_text(p->s->arena, NODE_NUMBER, p->s->text + begin, p->at - begin, begin);
}

static bool is_word(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

static struct node *word(struct parser *p)
{
	size_t begin = p->at, n = 0;
	const char *text = p->s->text + begin;
	struct node *v;

	while (begin + n < p->s->len && is_word(text[n]))
		n++;
	if (n == 0) {
		FAIL(p, begin, "expected a value, found %s", found(p));
		return NULL;
	}
	p->at += n;
	if (n == 4 && memcmp(text, "null", 4) == 0)
		return node_new(p->s->arena, NODE_NULL, begin);
	if ((n == 4 && memcmp(text, "true", 4) == 0) || (n == 5 && memcmp(text, "false", 5) == 0)) {
		v = node_new(p->s->arena, NODE_BOOL, begin);
		v->boolean = n == 4;
		return v;
	}
	FAIL(p, begin, "expected a value, found `%.*s`; strings stand in double quotes", (int)(n < 40 ? n : 40), text);
	return NULL;
}

/* Reads `"name":` and its value. */
static void member(struct parser *p, struct node *object)
{
	size_t key_at = p->at;
	struct node *v;
	char *key;

	if (peek(p) != '"') {
		FAIL(p, p->at, "expected a name in double quotes or `}`, found %s", found(p));
		return;
	}
	key = string(p);
	skip_space(p);
	if (!p->failed && peek(p) != ':')
		FAIL(p, p->at, "expected `:` behind \"%s\", found %s", key, found(p));
	if (p->failed)
		return;
	p->at++;
	v = value(p);
	if (!v)
		return;
	if (node_member(object, key))
		source_error(p->s, key_at, NULL, "\"%s\" stands here twice", key);
	else
		node_add_member(p->s->arena, object, v, key, key_at);
}

static struct node *children(struct parser *p, bool object)
{
	struct node *parent = node_new(p->s->arena, object ? NODE_OBJECT : NODE_ARRAY, p->at);
	size_t begin = p->at++;
	int close = object ? '}' : ']';

	if (++p->depth > NODE_DEPTH)
		FAIL(p, begin, "more than %d arrays and objects within each other", NODE_DEPTH);
	for (skip_space(p); !p->failed && peek(p) != close; skip_space(p)) {
		struct node *v = NULL;

		if (object)
			member(p, parent);
		else if ((v = value(p)))
			node_append(parent, v);
		skip_space(p);
		if (p->failed)
			break;
		if (peek(p) == ',')
			p->at++;
		else if (peek(p) != close)
			FAIL(p, p->at, "expected `,` or `%c`, found %s", close, found(p));
	}
	p->at++;
	p->depth--;
	return p->failed ? NULL : parent;
}

static struct node *value(struct parser *p)
{
	struct node *v;
	size_t begin;
	char *text;
	int c;

	skip_space(p);
	if (p->failed)
		return NULL;
	begin = p->at;
	c = peek(p);
	if (c == '{' || c == '[')
		return children(p, c == '{');
	if (c == '-' || (c >= '0' && c <= '9'))
		return number(p);
	if (c != '"')
		return word(p);
	text = string(p);
	if (!text)
		return NULL;
	v = node_new(p->s->arena, NODE_STRING, begin);
	v->text = text;
	return v;
}

struct node *json_parse(struct source *s)
{
	struct parser p = { .s = s };
	struct node *v;

	v = value(&p);
	skip_space(&p);
	if (!p.failed && p.at < s->len)
		FAIL(&p, p.at, "expected the end of the file, found %s", found(&p));
	return p.failed ? NULL : v;
}
