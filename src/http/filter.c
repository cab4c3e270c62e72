// SPDX-License-Identifier: MIT
/* The filter's frame: from JSON to a tree of conditions, and back through it. What a condition looks at is in filter_kinds.c. */
#include "http/filter_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/nearest.h"

enum { WHERE = 512, WORDS = 64 };

static void free_named(struct named_regex *n)
{
	while (n) {
		struct named_regex *next = n->next;

		free(n->name);
		regex_free(n->value);
		free(n);
		n = next;
	}
}

static void condition_free(struct condition *c)
{
	while (c) {
		struct condition *next = c->next;

		condition_free(c->first);
		regex_free(c->regex);
		jsonpath_free(c->path);
		jq_free(c->jq);
		free_named(c->named);
		free(c->networks);
		for (char **w = c->words; w && *w; w++)
			free(*w);
		free(c->words);
		free(c);
		c = next;
	}
}

void http_filter_free(struct http_filter *f)
{
	if (!f)
		return;
	condition_free(f->root);
	free(f->ports);
	free(f);
}

static const char *name_of(const struct condition_kind *k, bool outer)
{
	return outer ? k->outer : k->name;
}

static const struct condition_kind *find_kind(const char *key, bool outer)
{
	for (size_t i = 0; i < CONDITION_KINDS_COUNT; i++) {
		const char *name = name_of(&CONDITION_KINDS[i], outer);

		if (name && strcmp(name, key) == 0)
			return &CONDITION_KINDS[i];
	}
	return NULL;
}

static int unknown_key(const char *key, const char *where, bool outer, struct error *err)
{
	const char *words[WORDS] = { "ports" }, *nearest;
	const struct condition_kind *meant = find_kind(key, !outer);
	size_t n = outer;

	for (size_t i = 0; i < CONDITION_KINDS_COUNT; i++)
		if (name_of(&CONDITION_KINDS[i], outer))
			words[n++] = name_of(&CONDITION_KINDS[i], outer);
	words[n] = NULL;
	nearest = meant ? name_of(meant, outer) : nearest_word(key, words);
	error_set(err, 0, "%s.%s: there is no such key here", where, key);
	if (nearest && meant)
		error_hint(err, "%s, it is called %s", outer ? "outside of all_of and any_of" : "inside all_of and any_of", nearest);
	else if (nearest)
		error_hint(err, "did you mean %s?", nearest);
	return -1;
}

/* These belong to the key "body" of their object. */
static bool belongs_to_body(const json_t *object, const char *key, bool outer)
{
	return !outer && json_object_get(object, "body") && (strcmp(key, "query") == 0 || strcmp(key, "matches") == 0);
}

static bool is_condition(const json_t *object, const char *key, const json_t *value, bool outer)
{
	return !json_is_null(value) && !(outer && strcmp(key, "ports") == 0) && !belongs_to_body(object, key, outer);
}

/* The one key that says what the condition is; NULL in *ret_key when there is none. */
static int find_key(const json_t *object, const char *where, bool outer, const char **ret_key, struct error *err)
{
	const char *key, *found = NULL;
	json_t *value;

	json_object_foreach((json_t *)object, key, value) {
		if (!is_condition(object, key, value, outer))
			continue;
		if (!find_kind(key, outer))
			return unknown_key(key, where, outer, err);
		if (found && outer)
			return error_set(err, 0, "%s: Cannot use multiple types of HTTP filter at the same time, use 'any_of' or 'all_of' "
					 "to combine filters (%s, %s)", where, found, key);
		if (found)
			return error_set(err, 0, "%s: one filter only may stand here, not %s and %s", where, found, key);
		found = key;
	}
	*ret_key = found;
	return 0;
}

/* The same; without one NULL with @err. */
static const char *need_key(const json_t *object, const char *where, bool outer, struct error *err)
{
	const char *key = NULL;

	if (!json_is_object(object))
		error_set(err, 0, "%s: an object must stand here", where);
	else if (find_key(object, where, outer, &key, err) == 0 && !key)
		error_set(err, 0, "%s: no filter is in this object", where);
	return key;
}

/* The condition that @key of @object is. */
static struct condition *compile_key(const json_t *object, const char *key, const char *where, bool outer, struct error *err)
{
	struct condition *c = calloc(1, sizeof(*c));
	char inner[WHERE];

	if (!c) {
		error_set(err, ENOMEM, "compile a filter");
		return NULL;
	}
	c->kind = find_kind(key, outer);
	snprintf(inner, sizeof(inner), "%s.%s", where, key);
	/* A body filter's parts stand beside its name inside of lists, and below it on the top level. */
	if (c->kind->compile(c, !outer && strcmp(key, "body") == 0 ? object : json_object_get(object, key), inner, err) == 0)
		return c;
	condition_free(c);
	return NULL;
}

struct condition *condition_compile(const json_t *object, const char *where, bool outer, struct error *err)
{
	const char *key = need_key(object, where, outer, err);

	return key ? compile_key(object, key, where, outer, err) : NULL;
}

int condition_compile_list(struct condition *c, const json_t *list, const char *where, struct error *err)
{
	struct condition **last = &c->first;
	char inner[WHERE];

	if (!json_is_array(list))
		return error_set(err, 0, "%s: a list of filters must stand here", where);
	if (!json_array_size(list))
		return error_set(err, 0, "%s: Composite HTTP filter cannot be empty", where);
	for (size_t i = 0; i < json_array_size(list); i++) {
		snprintf(inner, sizeof(inner), "%s[%zu]", where, i);
		*last = condition_compile(json_array_get(list, i), inner, false, err);
		if (!*last)
			return -1;
		last = &(*last)->next;
	}
	return 0;
}

static int compile_port(struct http_filter *f, const json_t *port, struct error *err)
{
	json_int_t n = json_is_integer(port) ? json_integer_value(port) : 0;

	if (n < 1 || n > UINT16_MAX)
		return error_set(err, 0, "http_filter.ports: a port is a number from 1 to 65535");
	f->ports[f->n_ports++] = (uint16_t)n;
	return 0;
}

/* A number, or a list of numbers. */
static int compile_ports(struct http_filter *f, const json_t *ports, struct error *err)
{
	size_t n = json_is_array(ports) ? json_array_size(ports) : 1;

	if (!ports || json_is_null(ports))
		return 0;
	f->ports = calloc(n + 1, sizeof(*f->ports));
	if (!f->ports)
		return error_set(err, ENOMEM, "compile a filter");
	if (!json_is_array(ports))
		return compile_port(f, ports, err);
	for (size_t i = 0; i < n; i++)
		if (compile_port(f, json_array_get(ports, i), err) < 0)
			return -1;
	return 0;
}

static bool is_of_connection(const struct condition *c)
{
	for (; c; c = c->next)
		if (c->kind->scope == OF_CONNECTION || is_of_connection(c->first))
			return true;
	return false;
}

static int compile(struct http_filter *f, const json_t *config, struct error *err)
{
	const char *key = NULL;

	if (json_is_true(config))
		return 0;
	if (!json_is_object(config))
		return error_set(err, 0, "http_filter: an object must stand here");
	if (compile_ports(f, json_object_get(config, "ports"), err) < 0 || find_key(config, "http_filter", true, &key, err) < 0)
		return -1;
	if (!key)
		return 0;
	f->root = condition_compile(config, "http_filter", true, err);
	f->of_connection = is_of_connection(f->root);
	return f->root ? 0 : -1;
}

static struct http_filter *compile_new(const json_t *config, struct error *err)
{
	struct http_filter *f = calloc(1, sizeof(*f));

	if (!f) {
		error_set(err, ENOMEM, "compile a filter");
		return NULL;
	}
	if (compile(f, config, err) == 0)
		return f;
	http_filter_free(f);
	return NULL;
}

/* The caller's; NULL with @err. */
static json_t *read_json(const char *text, struct error *err)
{
	json_error_t why;
	json_t *config = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &why);

	if (!config)
		error_set(err, 0, "http_filter: line %d, column %d: %s", why.line, why.column, why.text);
	return config;
}

struct http_filter *http_filter_parse(const char *text, struct error *err)
{
	json_t *config = read_json(text, err);
	struct http_filter *f = config ? compile_new(config, err) : NULL;

	json_decref(config);
	return f;
}

struct check {
	void (*each)(void *arg, const struct error *e);
	void *arg;
	size_t told;
};

static void tell(struct check *c, const struct error *e)
{
	if (!*e->text)
		return;
	c->told++;
	c->each(c->arg, e);
}

static void check_object(struct check *c, const json_t *object, const char *where, bool outer);

static void check_list(struct check *c, const json_t *list, const char *where)
{
	char inner[WHERE + 24];

	for (size_t i = 0; i < json_array_size(list); i++) {
		snprintf(inner, sizeof(inner), "%s[%zu]", where, i);
		check_object(c, json_array_get(list, i), inner, false);
	}
}

/* Conditions below it each by itself. */
static void check_key(struct check *c, const json_t *object, const char *key, const char *where, bool outer)
{
	const json_t *value = json_object_get(object, key);
	const struct condition_kind *kind = find_kind(key, outer);
	bool others = kind && kind->scope == OF_OTHERS, list = others && kind->compile == condition_compile_list;
	struct error err = { 0 };
	char inner[WHERE];

	snprintf(inner, sizeof(inner), "%s.%s", where, key);
	if (!kind)
		unknown_key(key, where, outer, &err);
	else if (list && json_array_size(value))
		check_list(c, value, inner);
	else if (others && !list)
		check_object(c, value, inner, false);
	else
		condition_free(compile_key(object, key, where, outer, &err));
	tell(c, &err);
}

static void check_object(struct check *c, const json_t *object, const char *where, bool outer)
{
	size_t before = c->told;
	struct error err = { 0 };
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value)
		if (is_condition(object, key, value, outer))
			check_key(c, object, key, where, outer);
	if (c->told == before && outer)
		find_key(object, where, outer, &key, &err);
	else if (c->told == before)
		need_key(object, where, outer, &err);
	tell(c, &err);
}

void http_filter_check(const char *text, void (*each)(void *arg, const struct error *e), void *arg)
{
	struct check c = { .each = each, .arg = arg };
	struct error first = { 0 };
	json_t *config = read_json(text, &first);
	struct http_filter *f = config ? compile_new(config, &first) : NULL;

	if (!f && json_is_object(config))
		check_object(&c, config, "http_filter", true);
	if (!f && !c.told)
		tell(&c, &first);
	json_decref(config);
	http_filter_free(f);
}

struct http_filter *http_filter_parse_for(const char *text, uint16_t port, struct error *err)
{
	struct http_filter *f = http_filter_parse(text ? text : "{}", err);

	if (!f || !http_filter_is_set(f) || http_filter_on_port(f, port))
		return f;
	http_filter_free(f);
	return http_filter_parse("{}", err);
}

bool http_filter_is_set(const struct http_filter *f)
{
	return f->root;
}

bool http_filter_on_port(const struct http_filter *f, uint16_t port)
{
	if (!f->root || !f->ports)
		return f->root;
	for (size_t i = 0; i < f->n_ports; i++)
		if (f->ports[i] == port)
			return true;
	return false;
}

bool http_filter_of_connection(const struct http_filter *f)
{
	return f->of_connection;
}

enum http_verdict condition_match(struct http_filter *f, const struct condition *c, const struct http_request *r)
{
	if (!r->method.len && c->kind->scope == OF_REQUEST)
		return HTTP_NEEDS_BODY; /* there is no request: neither true nor false */
	return c->kind->match(f, c, r);
}

enum http_verdict http_filter_match(struct http_filter *f, const struct http_request *r)
{
	f->budget = (struct regex_budget){ 0 };
	return f->root ? condition_match(f, f->root, r) : HTTP_YES;
}

struct http_filter_trouble http_filter_trouble(const struct http_filter *f)
{
	return f->trouble;
}
