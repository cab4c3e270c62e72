// SPDX-License-Identifier: MIT
/* The functions of filters: RFC 9535 §2.4, and typeof(). */
#include "http/jsonpath_internal.h"

enum {
	COMPILE_STEPS = 1000, /* what a regular expression out of the document costs beside its search */
	SEARCH_STEPS = 20,
};

static void call_length(struct jp_run *run, const struct jp_operand *call, struct jp_result *ret)
{
	json_t *value = jp_run_value(run, call->arguments[0]);
	json_int_t n = 0;

	if (json_is_string(value)) {
		const char *text = json_string_value(value);

		jp_step(run, json_string_length(value) / JP_TEXT_A_STEP);
		for (size_t i = 0; i < json_string_length(value); i++)
			n += (text[i] & 0xc0) != 0x80; /* characters, not bytes */
		ret->value = json_integer(n);
	} else if (json_is_array(value)) {
		ret->value = json_integer((json_int_t)json_array_size(value));
	} else if (json_is_object(value)) {
		ret->value = json_integer((json_int_t)json_object_size(value));
	}
	json_decref(value);
}

static bool count_one(void *arg, json_t *node)
{
	++*(json_int_t *)arg;
	return true;
}

static void call_count(struct jp_run *run, const struct jp_operand *call, struct jp_result *ret)
{
	json_int_t n = 0;

	jp_run_query(run, call->arguments[0]->query, count_one, &n);
	ret->value = json_integer(n);
}

/* The node when it is the only one. */
struct single {
	json_t *node;
	size_t n;
};

static bool keep_single(void *arg, json_t *node)
{
	struct single *s = arg;

	s->node = node;
	return ++s->n == 1;
}

static void call_value(struct jp_run *run, const struct jp_operand *call, struct jp_result *ret)
{
	struct single s = { NULL, 0 };

	jp_run_query(run, call->arguments[0]->query, keep_single, &s);
	if (s.n == 1)
		ret->value = json_incref(s.node);
}

static const char *type_name(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "object";
	case JSON_ARRAY:
		return "array";
	case JSON_STRING:
		return "string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "bool";
	case JSON_NULL:
		break;
	}
	return "null";
}

static bool keep_type(void *arg, json_t *node)
{
	const char **type = arg, *name = type_name(node);

	if (*type && strcmp(*type, name) != 0) {
		*type = NULL;
		return false;
	}
	*type = name;
	return true;
}

static void call_typeof(struct jp_run *run, const struct jp_operand *call, struct jp_result *ret)
{
	const char *type = NULL;

	jp_run_query(run, call->arguments[0]->query, keep_type, &type);
	if (type)
		ret->value = json_string(type);
}

static bool search(struct jp_run *run, const struct jp_operand *call, const json_t *subject, const json_t *pattern)
{
	struct span text = { json_string_value(subject), json_string_length(subject) };
	struct regex *own = NULL;
	struct error why = { 0 };
	int found;

	run->over |= regex_budget_is_spent(&run->budget);
	if (!jp_step(run, SEARCH_STEPS + (call->regex ? 0 : COMPILE_STEPS)))
		return false;
	if (!call->regex) {
		own = regex_compile((struct span){ json_string_value(pattern), json_string_length(pattern) },
				    call->function->regex_flags, &why);
		if (!own)
			return false;
	}
	found = regex_search(own ? own : call->regex, text);
	regex_free(own);
	if (found == REGEX_TOO_LONG)
		run->over = true;
	return found == 1;
}

static void call_regex(struct jp_run *run, const struct jp_operand *call, struct jp_result *ret)
{
	json_t *subject = jp_run_value(run, call->arguments[0]), *pattern = jp_run_value(run, call->arguments[1]);

	if (json_is_string(subject) && json_is_string(pattern))
		ret->truth = search(run, call, subject, pattern);
	json_decref(subject);
	json_decref(pattern);
}

static const struct jp_function functions[] = {
	{ .name = "length", .result = JP_TYPE_VALUE, .n = 1, .parameters = { JP_TYPE_VALUE }, .call = call_length },
	{ .name = "count", .result = JP_TYPE_VALUE, .n = 1, .parameters = { JP_TYPE_NODES }, .call = call_count },
	{ .name = "value", .result = JP_TYPE_VALUE, .n = 1, .parameters = { JP_TYPE_NODES }, .call = call_value },
	{ .name = "typeof", .result = JP_TYPE_VALUE, .n = 1, .parameters = { JP_TYPE_NODES }, .call = call_typeof },
	{ .name = "match", .result = JP_TYPE_LOGICAL, .n = 2, .parameters = { JP_TYPE_VALUE, JP_TYPE_VALUE }, .call = call_regex,
	  .regex_flags = REGEX_WHOLE | REGEX_NO_BREAKS },
	{ .name = "search", .result = JP_TYPE_LOGICAL, .n = 2, .parameters = { JP_TYPE_VALUE, JP_TYPE_VALUE }, .call = call_regex,
	  .regex_flags = REGEX_NO_BREAKS },
};

const struct jp_function *jp_function_find(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(functions) / sizeof(*functions); i++)
		if (span_equal(span_of(functions[i].name), (struct span){ name, len }))
			return &functions[i];
	return NULL;
}
