// SPDX-License-Identifier: MIT
/* A JSONPath as a tree. Internal to jsonpath*.c. All of it belongs to the path (jsonpath_alloc) and ends with it. */
#pragma once

#include "http/jsonpath.h"
#include "http/regexp.h"

struct jp_query {
	bool relative; /* from @, not from $ */
	struct jp_segment *first;
};

struct jp_segment {
	struct jp_segment *next;
	bool descendant;
	struct jp_selector *first;
};

enum jp_selector_kind { JP_NAME, JP_WILDCARD, JP_INDEX, JP_SLICE, JP_FILTER };

struct jp_selector {
	struct jp_selector *next;
	enum jp_selector_kind kind;
	struct span name; /* NUL-terminated */
	json_int_t start, end, step; /* the index is @start */
	bool has_start, has_end;
	struct jp_expr *filter;
};

enum jp_op { JP_OR, JP_AND, JP_NOT, JP_EXISTS, JP_CALL, JP_EQ, JP_NE, JP_LT, JP_LE, JP_GT, JP_GE };

/* A logical expression. */
struct jp_expr {
	enum jp_op op;
	struct jp_expr *a, *b;	     /* JP_OR, JP_AND; JP_NOT has @a */
	struct jp_operand *left, *right; /* of a comparison; JP_EXISTS, JP_CALL: @left */
};

enum jp_operand_kind { JP_LITERAL, JP_QUERY, JP_FUNCTION };

struct jp_operand {
	enum jp_operand_kind kind;
	json_t *literal;
	struct jp_query *query;
	const struct jp_function *function;
	struct jp_operand *arguments[2];
	unsigned int n_arguments;
	struct regex *regex; /* of a pattern that is a literal */
};

enum jp_type { JP_TYPE_VALUE, JP_TYPE_LOGICAL, JP_TYPE_NODES };

/* By the function's type. */
struct jp_result {
	json_t *value; /* the caller's; NULL: Nothing */
	bool truth;
};

/* One evaluation. */
struct jp_run {
	json_t *root, *current;
	size_t steps;
	struct regex_budget budget;
	bool over; /* the steps are used up, or the time for searches is */
};

struct jp_function {
	const char *name;
	enum jp_type result;
	unsigned int n;
	enum jp_type parameters[2];
	unsigned int regex_flags;
	void (*call)(struct jp_run *run, const struct jp_operand *call, struct jp_result *ret);
};
const struct jp_function *jp_function_find(const char *name, size_t len);

/* Zeroed; NULL without memory. */
void *jsonpath_alloc(struct jsonpath *p, size_t size);
/* For literals and regular expressions in the tree: released with the path. */
bool jsonpath_own(struct jsonpath *p, json_t *literal, struct regex *regex);

/* The parser: where it is in the text, and what went wrong first. */
struct jp_parser {
	struct jsonpath *path;
	const char *text, *at, *end;
	unsigned int depth;
	struct error *err;
};
enum { JP_DEPTH = 64 };
/* Sets the error with its position, unless there is one. */
void *jp_fail(struct jp_parser *p, const char *at, const char *format, ...) __attribute__((format(printf, 3, 4)));
void jp_blank(struct jp_parser *p);
bool jp_take(struct jp_parser *p, const char *word);
char jp_peek(const struct jp_parser *p);
/* Behind $ or @. */
struct jp_query *jp_parse_query(struct jp_parser *p);
bool jp_query_is_singular(const struct jp_query *q);
struct jp_expr *jp_parse_filter(struct jp_parser *p);
/* A string in quotes, unescaped. False with the error set. */
bool jp_parse_string(struct jp_parser *p, struct span *ret);

/* Evaluation. */
typedef bool (*jp_found_fn)(void *arg, json_t *node);
/* False when @found or the steps ended it. */
bool jp_run_query(struct jp_run *run, const struct jp_query *q, jp_found_fn found, void *arg);
/* The value of an operand of type value; owned by the caller, NULL for Nothing. */
json_t *jp_run_value(struct jp_run *run, const struct jp_operand *o);
enum { JP_TEXT_A_STEP = 64 }; /* bytes of a string */
/* Counts @n steps; false when they are used up. */
bool jp_step(struct jp_run *run, size_t n);
