// SPDX-License-Identifier: MIT
/* Evaluation: nodes are found depth first, which is the order of RFC 9535, and none are kept. Each node looked at or compared is a step, and so
 * are JP_TEXT_A_STEP bytes of a string. */
#include "http/jsonpath_internal.h"

bool jp_step(struct jp_run *run, size_t n)
{
	run->steps += n;
	if (run->steps > JSONPATH_STEPS)
		run->over = true;
	return !run->over;
}

/* What is left of a query, and who wants its nodes. */
struct want {
	const struct jp_segment *segment;
	jp_found_fn found;
	void *arg;
};

static bool walk(struct jp_run *run, struct want w, json_t *node);
static bool run_filter(struct jp_run *run, const struct jp_expr *e, json_t *current);

static bool walk_filtered(struct jp_run *run, struct want w, const struct jp_selector *s, json_t *child)
{
	return !run_filter(run, s->filter, child) || walk(run, w, child);
}

/* All children, or those that a filter lets through. */
static bool select_children(struct jp_run *run, struct want w, const struct jp_selector *s, json_t *node)
{
	const char *key;
	json_t *child;
	size_t i;

	if (json_is_object(node)) {
		json_object_foreach(node, key, child)
			if (!jp_step(run, 1) || !(s->filter ? walk_filtered(run, w, s, child) : walk(run, w, child)))
				return false;
	} else if (json_is_array(node)) {
		json_array_foreach(node, i, child)
			if (!jp_step(run, 1) || !(s->filter ? walk_filtered(run, w, s, child) : walk(run, w, child)))
				return false;
	}
	return !run->over;
}

/* A bound of a slice within @low and @high. */
static json_int_t bounded(json_int_t at, json_int_t n, json_int_t low, json_int_t high)
{
	if (at < 0)
		at += n;
	return at < low ? low : at > high ? high : at;
}

static bool select_slice(struct jp_run *run, struct want w, const struct jp_selector *s, json_t *node)
{
	json_int_t n = (json_int_t)json_array_size(node), from, to;

	if (s->step == 0)
		return true;
	if (s->step > 0) {
		from = bounded(s->has_start ? s->start : 0, n, 0, n);
		to = bounded(s->has_end ? s->end : n, n, 0, n);
	} else {
		from = s->has_start ? bounded(s->start, n, -1, n - 1) : n - 1;
		to = s->has_end ? bounded(s->end, n, -1, n - 1) : -1;
	}
	for (json_int_t i = from; s->step > 0 ? i < to : i > to; i += s->step)
		if (!jp_step(run, 1) || !walk(run, w, json_array_get(node, (size_t)i)))
			return false;
	return true;
}

static bool select_one(struct jp_run *run, struct want w, json_t *child)
{
	return !child || walk(run, w, child);
}

/* No member of a document read by jansson has a NUL in its name. */
static json_t *member(const json_t *node, struct span name)
{
	return strlen(name.at) == name.len ? json_object_get(node, name.at) : NULL;
}

static bool select_by(struct jp_run *run, struct want w, const struct jp_selector *s, json_t *node)
{
	json_int_t at = s->start;

	switch (s->kind) {
	case JP_NAME:
		return select_one(run, w, member(node, s->name));
	case JP_INDEX:
		if (at < 0)
			at += (json_int_t)json_array_size(node);
		return at < 0 || select_one(run, w, json_array_get(node, (size_t)at));
	case JP_SLICE:
		return select_slice(run, w, s, node);
	case JP_WILDCARD:
	case JP_FILTER:
		break;
	}
	return select_children(run, w, s, node);
}

static bool apply(struct jp_run *run, struct want w, const struct jp_segment *segment, json_t *node);

/* @segment once more, on every child. */
static bool descend(struct jp_run *run, struct want w, const struct jp_segment *segment, json_t *node)
{
	const char *key;
	json_t *child;
	size_t i;

	if (json_is_object(node)) {
		json_object_foreach(node, key, child)
			if (!apply(run, w, segment, child))
				return false;
	} else if (json_is_array(node)) {
		json_array_foreach(node, i, child)
			if (!apply(run, w, segment, child))
				return false;
	}
	return true;
}

static bool apply(struct jp_run *run, struct want w, const struct jp_segment *segment, json_t *node)
{
	if (!jp_step(run, 1))
		return false;
	for (const struct jp_selector *s = segment->first; s; s = s->next)
		if (!select_by(run, w, s, node))
			return false;
	return !segment->descendant || descend(run, w, segment, node);
}

static bool walk(struct jp_run *run, struct want w, json_t *node)
{
	const struct jp_segment *segment = w.segment;

	if (!segment)
		return w.found(w.arg, node);
	w.segment = segment->next;
	return apply(run, w, segment, node);
}

bool jp_run_query(struct jp_run *run, const struct jp_query *q, jp_found_fn found, void *arg)
{
	struct want w = { .segment = q->first, .found = found, .arg = arg };

	return jp_step(run, 1) && walk(run, w, q->relative ? run->current : run->root);
}

static bool keep_first(void *arg, json_t *node)
{
	json_t **first = arg;

	*first = json_incref(node);
	return false;
}

json_t *jp_run_value(struct jp_run *run, const struct jp_operand *o)
{
	struct jp_result result = { 0 };
	json_t *first = NULL;

	switch (o->kind) {
	case JP_LITERAL:
		return json_incref(o->literal);
	case JP_QUERY:
		jp_run_query(run, o->query, keep_first, &first);
		return first;
	case JP_FUNCTION:
		break;
	}
	o->function->call(run, o, &result);
	return result.value;
}

static bool less(struct jp_run *run, const json_t *a, const json_t *b)
{
	if (json_is_integer(a) && json_is_integer(b))
		return json_integer_value(a) < json_integer_value(b);
	if (json_is_number(a) && json_is_number(b))
		return json_number_value(a) < json_number_value(b);
	if (json_is_string(a) && json_is_string(b)) {
		size_t n = json_string_length(a), m = json_string_length(b);
		int order = memcmp(json_string_value(a), json_string_value(b), n < m ? n : m);

		jp_step(run, (n < m ? n : m) / JP_TEXT_A_STEP);
		return order < 0 || (order == 0 && n < m);
	}
	return false;
}

static bool equal(struct jp_run *run, const json_t *a, const json_t *b);

static bool arrays_equal(struct jp_run *run, const json_t *a, const json_t *b)
{
	if (json_array_size(a) != json_array_size(b))
		return false;
	for (size_t i = 0; i < json_array_size(a); i++)
		if (!equal(run, json_array_get(a, i), json_array_get(b, i)))
			return false;
	return true;
}

static bool objects_equal(struct jp_run *run, const json_t *a, const json_t *b)
{
	const char *key;
	json_t *value;

	if (json_object_size(a) != json_object_size(b))
		return false;
	json_object_foreach((json_t *)a, key, value) {
		const json_t *other = json_object_get(b, key);

		if (!other || !equal(run, value, other))
			return false;
	}
	return true;
}

/* False, too, when there were too many steps. */
static bool equal(struct jp_run *run, const json_t *a, const json_t *b)
{
	if (!a || !b)
		return a == b;
	if (!jp_step(run, 1 + json_string_length(a) / JP_TEXT_A_STEP))
		return false;
	if (json_is_number(a) && json_is_number(b))
		return json_is_integer(a) && json_is_integer(b) ? json_integer_value(a) == json_integer_value(b)
								: json_number_value(a) == json_number_value(b);
	if (json_typeof(a) != json_typeof(b))
		return false;
	if (json_is_array(a))
		return arrays_equal(run, a, b);
	if (json_is_object(a))
		return objects_equal(run, a, b);
	return json_equal(a, b);
}

bool jsonpath_equal(const json_t *a, const json_t *b)
{
	struct jp_run run = { 0 };

	return equal(&run, a, b);
}

static bool compare(struct jp_run *run, const struct jp_expr *e)
{
	json_t *a = jp_run_value(run, e->left), *b = jp_run_value(run, e->right);
	bool same = e->op != JP_LT && e->op != JP_GT && equal(run, a, b), truth = same;

	if (e->op == JP_NE)
		truth = !same;
	else if (!same && (e->op == JP_LT || e->op == JP_LE))
		truth = a && b && less(run, a, b);
	else if (!same && (e->op == JP_GT || e->op == JP_GE))
		truth = a && b && less(run, b, a);
	json_decref(a);
	json_decref(b);
	return truth;
}

static bool end_at_first(void *arg, json_t *node)
{
	*(bool *)arg = true;
	return false;
}

static bool test(struct jp_run *run, const struct jp_expr *e)
{
	struct jp_result result = { 0 };
	bool exists = false;

	switch (e->op) {
	case JP_OR:
		return test(run, e->a) || test(run, e->b);
	case JP_AND:
		return test(run, e->a) && test(run, e->b);
	case JP_NOT:
		return !test(run, e->a);
	case JP_EXISTS:
		jp_run_query(run, e->left->query, end_at_first, &exists);
		return exists;
	case JP_CALL:
		e->left->function->call(run, e->left, &result);
		return result.truth;
	default:
		return compare(run, e);
	}
}

static bool run_filter(struct jp_run *run, const struct jp_expr *e, json_t *current)
{
	json_t *before = run->current;
	bool truth;

	run->current = current;
	truth = test(run, e);
	run->current = before;
	return truth && !run->over;
}
