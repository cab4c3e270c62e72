// SPDX-License-Identifier: MIT
/* The grammar of filters (RFC 9535 §2.3.5): logical expressions, comparisons, calls, and that their types fit. */
#include "http/jsonpath_internal.h"

#include <errno.h>
#include <stdlib.h>

static struct jp_expr *parse_or(struct jp_parser *p);
static struct jp_operand *parse_operand(struct jp_parser *p);

static void *allocate(struct jp_parser *p, size_t size)
{
	void *at = jsonpath_alloc(p->path, size);

	return at ? at : jp_fail(p, p->at, "out of memory");
}

static struct jp_operand *literal(struct jp_parser *p, json_t *value)
{
	struct jp_operand *o = allocate(p, sizeof(*o));

	if (!o || !value || !jsonpath_own(p->path, value, NULL))
		return jp_fail(p, p->at, "out of memory");
	o->kind = JP_LITERAL;
	o->literal = value;
	return o;
}

static struct jp_operand *parse_text(struct jp_parser *p)
{
	struct span text;

	return jp_parse_string(p, &text) ? literal(p, json_stringn_nocheck(text.at, text.len)) : NULL;
}

static void skip_digits(struct jp_parser *p)
{
	while (jp_peek(p) >= '0' && jp_peek(p) <= '9')
		p->at++;
}

/* "-0" is a number here, other than in an index. */
static struct jp_operand *parse_number(struct jp_parser *p)
{
	const char *begin = p->at, *digits;
	char text[64];
	bool real = false, fine;

	jp_take(p, "-");
	digits = p->at;
	skip_digits(p);
	fine = p->at > digits && (*digits != '0' || p->at == digits + 1);
	if (fine && jp_take(p, ".")) {
		digits = p->at;
		skip_digits(p);
		real = true;
		fine = p->at > digits;
	}
	if (fine && (jp_take(p, "e") || jp_take(p, "E"))) {
		if (!jp_take(p, "+"))
			jp_take(p, "-");
		digits = p->at;
		skip_digits(p);
		real = true;
		fine = p->at > digits;
	}
	if (!fine || (size_t)(p->at - begin) >= sizeof(text))
		return jp_fail(p, begin, "this is no number");
	memcpy(text, begin, (size_t)(p->at - begin));
	text[p->at - begin] = '\0';
	errno = 0;
	if (!real && strtoll(text, NULL, 10) && errno == 0)
		return literal(p, json_integer(strtoll(text, NULL, 10)));
	return literal(p, json_real(strtod(text, NULL)));
}

static struct jp_operand *parse_path(struct jp_parser *p)
{
	struct jp_operand *o = allocate(p, sizeof(*o));

	if (!o)
		return NULL;
	o->kind = JP_QUERY;
	o->query = jp_parse_query(p);
	return o->query ? o : NULL;
}

static enum jp_type type_of(const struct jp_operand *o)
{
	if (o->kind == JP_QUERY)
		return JP_TYPE_NODES;
	return o->kind == JP_FUNCTION ? o->function->result : JP_TYPE_VALUE;
}

/* A query of one node at most is a value as well. */
static bool fits(const struct jp_operand *o, enum jp_type wanted)
{
	if (wanted == JP_TYPE_VALUE && o->kind == JP_QUERY)
		return jp_query_is_singular(o->query);
	return type_of(o) == wanted;
}

/* A pattern that stands in the path is compiled with it. */
static bool compile_pattern(struct jp_parser *p, struct jp_operand *call, const char *at)
{
	const struct jp_operand *pattern = call->n_arguments == 2 ? call->arguments[1] : NULL;
	struct error why = { 0 };
	struct span text;

	if (!pattern || pattern->kind != JP_LITERAL || !json_is_string(pattern->literal))
		return true;
	text = (struct span){ json_string_value(pattern->literal), json_string_length(pattern->literal) };
	call->regex = regex_compile(text, call->function->regex_flags, &why);
	if (!call->regex) {
		jp_fail(p, at, "regular expression: %s", why.text);
		return false;
	}
	return jsonpath_own(p->path, NULL, call->regex) || jp_fail(p, at, "out of memory");
}

/* Behind the name and "(". */
static struct jp_operand *parse_call(struct jp_parser *p, const struct jp_function *f)
{
	struct jp_operand *o = allocate(p, sizeof(*o));
	const char *last = p->at;

	if (!o)
		return NULL;
	o->kind = JP_FUNCTION;
	o->function = f;
	for (unsigned int i = 0; i < f->n; i++) {
		jp_blank(p);
		if (i && !jp_take(p, ","))
			return jp_fail(p, p->at, "%s() takes %u arguments", f->name, f->n);
		jp_blank(p);
		last = p->at;
		o->arguments[i] = parse_operand(p);
		if (!o->arguments[i])
			return NULL;
		o->n_arguments++;
		if (!fits(o->arguments[i], f->parameters[i]))
			return jp_fail(p, last, f->parameters[i] == JP_TYPE_NODES ? "argument %u of %s() must be a path"
										  : "argument %u of %s() must be a value, or a path to one node",
				       i + 1, f->name);
	}
	jp_blank(p);
	if (!jp_take(p, ")"))
		return jp_fail(p, p->at, "%s() should end here: %u argument%s", f->name, f->n, f->n == 1 ? "" : "s");
	return compile_pattern(p, o, last) ? o : NULL;
}

static struct jp_operand *parse_word(struct jp_parser *p)
{
	const char *begin = p->at;
	const struct jp_function *f;
	struct span word;
	char c;

	while ((c = jp_peek(p)) == '_' || (c >= 'a' && c <= 'z') || (p->at > begin && c >= '0' && c <= '9'))
		p->at++;
	word = (struct span){ begin, (size_t)(p->at - begin) };
	if (word.len && jp_take(p, "(")) {
		f = jp_function_find(word.at, word.len);
		return f ? parse_call(p, f) : jp_fail(p, begin, "no function %.*s()", (int)word.len, word.at);
	}
	if (span_equal(word, span_of("true")) || span_equal(word, span_of("false")))
		return literal(p, json_boolean(*begin == 't'));
	if (span_equal(word, span_of("null")))
		return literal(p, json_null());
	return jp_fail(p, begin, "@, $, a value or a function must stand here");
}

static struct jp_operand *parse_operand(struct jp_parser *p)
{
	struct jp_operand *o;
	char c = jp_peek(p);

	if (++p->depth > JP_DEPTH)
		return jp_fail(p, p->at, "nested too deep");
	if (c == '"' || c == '\'') {
		o = parse_text(p);
	} else if (c == '-' || (c >= '0' && c <= '9')) {
		o = parse_number(p);
	} else if (c == '@' || c == '$') {
		p->at++;
		o = parse_path(p);
		if (o)
			o->query->relative = c == '@';
	} else {
		o = parse_word(p);
	}
	p->depth--;
	return o;
}

static bool parse_comparison_op(struct jp_parser *p, enum jp_op *ret)
{
	static const struct {
		const char *text;
		enum jp_op op;
	} ops[] = { { "==", JP_EQ }, { "!=", JP_NE }, { "<=", JP_LE }, { ">=", JP_GE }, { "<", JP_LT }, { ">", JP_GT } };

	for (size_t i = 0; i < sizeof(ops) / sizeof(*ops); i++) {
		if (jp_take(p, ops[i].text)) {
			*ret = ops[i].op;
			return true;
		}
	}
	return false;
}

/* A comparison, or an operand that is a test by itself. */
static struct jp_expr *parse_test(struct jp_parser *p, bool negated)
{
	struct jp_expr *e = allocate(p, sizeof(*e));
	const char *begin = p->at, *behind;

	if (!e)
		return NULL;
	e->left = parse_operand(p);
	if (!e->left)
		return NULL;
	behind = p->at;
	jp_blank(p);
	if (!negated && parse_comparison_op(p, &e->op)) {
		const char *right = (jp_blank(p), p->at);

		e->right = parse_operand(p);
		if (!e->right)
			return NULL;
		if (!fits(e->left, JP_TYPE_VALUE) || !fits(e->right, JP_TYPE_VALUE))
			return jp_fail(p, fits(e->left, JP_TYPE_VALUE) ? right : begin,
				       "only values are compared, and paths to one node");
		return e;
	}
	p->at = behind;
	if (type_of(e->left) == JP_TYPE_VALUE)
		return jp_fail(p, begin, "a value alone is no test: compare it with something");
	e->op = type_of(e->left) == JP_TYPE_NODES ? JP_EXISTS : JP_CALL;
	return e;
}

static struct jp_expr *parse_basic(struct jp_parser *p)
{
	struct jp_expr *e, *inverse;
	bool negated = jp_take(p, "!");

	jp_blank(p);
	if (jp_take(p, "(")) {
		e = parse_or(p);
		jp_blank(p);
		if (e && !jp_take(p, ")"))
			return jp_fail(p, p->at, ") must stand here");
	} else {
		e = parse_test(p, negated);
	}
	if (!negated || !e)
		return e;
	inverse = allocate(p, sizeof(*inverse));
	if (!inverse)
		return NULL;
	inverse->op = JP_NOT;
	inverse->a = e;
	return inverse;
}

/* A row of @parse joined by @word. */
static struct jp_expr *parse_row(struct jp_parser *p, const char *word, enum jp_op op, struct jp_expr *(*parse)(struct jp_parser *))
{
	struct jp_expr *e = parse(p), *both;

	while (e) {
		const char *behind = p->at;

		jp_blank(p);
		if (!jp_take(p, word)) {
			p->at = behind;
			return e;
		}
		jp_blank(p);
		both = allocate(p, sizeof(*both));
		if (!both)
			return NULL;
		both->op = op;
		both->a = e;
		both->b = parse(p);
		e = both->b ? both : NULL;
	}
	return NULL;
}

static struct jp_expr *parse_and(struct jp_parser *p)
{
	return parse_row(p, "&&", JP_AND, parse_basic);
}

static struct jp_expr *parse_or(struct jp_parser *p)
{
	struct jp_expr *e;

	if (++p->depth > JP_DEPTH)
		return jp_fail(p, p->at, "nested too deep");
	jp_blank(p);
	e = parse_row(p, "||", JP_OR, parse_and);
	p->depth--;
	return e;
}

struct jp_expr *jp_parse_filter(struct jp_parser *p)
{
	return parse_or(p);
}
