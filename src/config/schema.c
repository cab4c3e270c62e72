// SPDX-License-Identifier: MIT
/* mirrord.schema.json. It allows what the loader allows key by key; what two keys demand of each other only the loader knows. */
#include "config/schema.h"

#include <string.h>

#include "config/config.h"
#include "config/key.h"
#include "config/target_object.h"
#include "config/value.h"

static struct node *number(struct arena *a, const char *digits, size_t len)
{
	return node_new_text(a, NODE_NUMBER, digits, len, 0);
}

static struct node *object(struct arena *a)
{
	return node_new(a, NODE_OBJECT, 0);
}

static void set(struct arena *a, struct node *o, const char *key, struct node *value)
{
	node_add_member(a, o, value, key, 0);
}

/* {"type": @type} */
static struct node *of_type(struct arena *a, const char *type)
{
	struct node *o = object(a);

	set(a, o, "type", node_new_string(a, type));
	return o;
}

static struct node *array_of(struct arena *a, struct node *items)
{
	struct node *o = of_type(a, "array");

	set(a, o, "items", items);
	return o;
}

static struct node *any_of(struct arena *a, struct node *one, struct node *other)
{
	struct node *o = object(a), *list = node_new(a, NODE_ARRAY, 0);

	node_append(list, one);
	node_append(list, other);
	set(a, o, "anyOf", list);
	return o;
}

static struct node *strings(struct arena *a)
{
	return any_of(a, of_type(a, "string"), array_of(a, of_type(a, "string")));
}

static struct node *range(struct arena *a, const char *least, size_t least_len, const char *most, size_t most_len)
{
	struct node *o = of_type(a, "integer");

	set(a, o, "minimum", number(a, least, least_len));
	set(a, o, "maximum", number(a, most, most_len));
	return o;
}

static struct node *port(struct arena *a)
{
	return range(a, "1", 1, "65535", 5);
}

static struct node *pairs(struct arena *a)
{
	struct node *pair = array_of(a, port(a));

	set(a, pair, "minItems", number(a, "2", 1));
	set(a, pair, "maxItems", number(a, "2", 1));
	return array_of(a, pair);
}

/* An empty list of names is one that no name is in; of destinations, a mistake. */
static struct node *one_side(struct arena *a, const char *side, bool may_be_empty)
{
	struct node *o = of_type(a, "object"), *properties = object(a), *required = node_new(a, NODE_ARRAY, 0), *list = array_of(a, of_type(a,
		"string"));

	if (!may_be_empty)
		set(a, list, "minItems", number(a, "1", 1));
	set(a, properties, side, any_of(a, of_type(a, "string"), list));
	node_append(required, node_new_string(a, side));
	set(a, o, "properties", properties);
	set(a, o, "required", required);
	set(a, o, "additionalProperties", node_new_bool(a, false));
	return o;
}

static struct node *words(struct arena *a, const char *list)
{
	struct node *o = object(a), *values = node_new(a, NODE_ARRAY, 0);
	const char *w;
	size_t len;

	for (size_t i = 0; (w = key_word(list, i, &len)); i++)
		node_append(values, node_new_text(a, NODE_STRING, w, len, 0));
	set(a, o, "enum", values);
	return o;
}

static struct node *types(struct arena *a, const char *kinds)
{
	struct node *o = object(a), *list = node_new(a, NODE_ARRAY, 0);
	const char *w;
	size_t len;

	for (size_t i = 0; (w = key_word(kinds, i, &len)); i++)
		node_append(list, len == 4 && memcmp(w, "bool", 4) == 0 ? node_new_string(a, "boolean") : node_new_text(a, NODE_STRING, w, len, 0));
	set(a, o, "type", list);
	return o;
}

static struct node *map(struct arena *a)
{
	struct node *o = of_type(a, "object");

	set(a, o, "additionalProperties", of_type(a, "string"));
	return o;
}

static struct node *of_kind(struct arena *a, const struct key_info *k)
{
	const char *dots = strstr(k->extra, "..");

	switch (k->kind) {
	case KIND_BOOL:
	case KIND_TRI:
		return of_type(a, "boolean");
	case KIND_NUMBER:
		return range(a, k->extra, (size_t)(dots - k->extra), dots + 2, strlen(dots + 2));
	case KIND_STRING:
		return of_type(a, "string");
	case KIND_STRINGS:
		return strings(a);
	case KIND_ENUM:
		return words(a, k->extra);
	case KIND_PORTS:
		return any_of(a, port(a), array_of(a, port(a)));
	case KIND_PAIRS:
		return pairs(a);
	case KIND_MAP:
		return map(a);
	case KIND_FILTER:
		return any_of(a, one_side(a, "local", strcmp(k->extra, "dns") == 0), one_side(a, "remote", strcmp(k->extra, "dns") == 0));
	case KIND_JSON:
		return types(a, k->extra);
	case KIND_SECTION:
		break;
	}
	return object(a);
}

static const char *describe(struct arena *a, const struct key_info *k)
{
	const char *s = k->text;

	if (k->status == STATUS_MEANINGLESS)
		s = arena_format(a, "%s No meaning here: %s.", s, k->note);
	else if (k->status == STATUS_LATER)
		s = arena_format(a, "%s No effect yet: %s.", s, k->note);
	return *k->env ? arena_format(a, "%s Variable: %s.", s, k->env) : s;
}

/* Null leaves a key unset, whatever it is. */
static struct node *or_null(struct arena *a, struct node *schema)
{
	return any_of(a, schema, of_type(a, "null"));
}

static struct node *section(struct arena *a, const struct config *defaults, int parent);

static struct node *described(struct arena *a, struct node *schema, const char *text)
{
	set(a, schema, "description", node_new_string(a, text));
	return schema;
}

/* The target as an object of its kind and name. */
static void add_target_objects(struct arena *a, struct node *properties)
{
	const char *key;

	for (size_t i = 0; (key = target_object_key(i)); i++) {
		bool labels = !target_object_key(i + 1);

		set(a, properties, key, described(a, or_null(a, labels ? map(a) : of_type(a, "string")),
						  labels ? "The labels of the target's pods." : "The name of a target of this kind."));
	}
	set(a, properties, "container", described(a, or_null(a, of_type(a, "string")), "The target's container."));
}

static struct node *requires(struct arena *a, const char *key)
{
	struct node *o = object(a), *required = node_new(a, NODE_ARRAY, 0);

	node_append(required, node_new_string(a, key));
	set(a, o, "required", required);
	return o;
}

/* Each of them required, for one of them to be there. */
static struct node *each_kind(struct arena *a)
{
	struct node *list = node_new(a, NODE_ARRAY, 0);
	const char *key;

	for (size_t i = 0; (key = target_object_key(i)); i++)
		node_append(list, requires(a, key));
	return list;
}

/* A path or one kind, or none of them. */
static struct node *at_most_one_kind(struct arena *a)
{
	struct node *list = each_kind(a), *some = each_kind(a), *any = object(a), *none = object(a);

	node_append(list, requires(a, "path"));
	node_append(some, requires(a, "path"));
	set(a, any, "anyOf", some);
	set(a, none, "not", any);
	node_append(list, none);
	return list;
}

static struct node *short_forms(struct arena *a, const char *shorts)
{
	struct node *list = node_new(a, NODE_ARRAY, 0), *values = node_new(a, NODE_ARRAY, 0), *o;
	const char *w;
	size_t len;

	for (size_t i = 0; (w = key_word(shorts, i, &len)); i++) {
		if (len == 4 && memcmp(w, "bool", 4) == 0)
			node_append(list, of_type(a, "boolean"));
		else if (*w == '*')
			node_append(list, of_type(a, "string"));
		else
			node_append(values, node_new_text(a, NODE_STRING, w, len, 0));
	}
	if (values->n) {
		o = object(a);
		set(a, o, "enum", values);
		node_append(list, o);
	}
	return list;
}

/* @key's own schema, with its description and default. */
static struct node *of_key(struct arena *a, const struct config *defaults, enum config_key key)
{
	const struct key_info *k = key_info(key);
	struct node *forms, *o = object(a), *preset;

	set(a, o, "description", node_new_string(a, describe(a, k)));
	if (k->kind != KIND_SECTION) {
		preset = value_to_node(defaults, key, a);
		if (preset->kind != NODE_NULL)
			set(a, o, "default", preset);
	}
	forms = k->kind == KIND_SECTION ? short_forms(a, k->extra) : node_new(a, NODE_ARRAY, 0);
	if (k->kind != KIND_SECTION)
		node_append(forms, of_kind(a, k));
	if (key_has_children(key))
		node_append(forms, section(a, defaults, (int)key));
	if (key == KEY_target_path) {
		struct node *target = of_type(a, "object"), *properties = object(a);

		add_target_objects(a, properties);
		set(a, target, "properties", properties);
		set(a, target, "additionalProperties", node_new_bool(a, false));
		set(a, target, "oneOf", each_kind(a));
		node_append(forms, target);
	}
	node_append(forms, of_type(a, "null"));
	set(a, o, "anyOf", forms);
	return o;
}

static struct node *section(struct arena *a, const struct config *defaults, int parent)
{
	struct node *o = of_type(a, "object"), *properties = object(a);

	if (parent < 0)
		set(a, properties, "$schema", of_type(a, "string"));
	for (int i = 0; i < CONFIG_KEYS; i++)
		if (key_info((enum config_key)i)->parent == parent)
			set(a, properties, key_info((enum config_key)i)->name, of_key(a, defaults, (enum config_key)i));
	if (parent == KEY_target)
		add_target_objects(a, properties);
	set(a, o, "properties", properties);
	set(a, o, "additionalProperties", node_new_bool(a, false));
	if (parent == KEY_target)
		set(a, o, "oneOf", at_most_one_kind(a));
	return o;
}

struct node *schema_tree(struct arena *a)
{
	struct config defaults = { .arena = a };
	struct problem_list none;
	struct node *o, *rest;

	problem_list_init(&none);
	config_set_defaults(&defaults, &none);
	problem_list_fini(&none);
	o = object(a);
	set(a, o, "$schema", node_new_string(a, "http://json-schema.org/draft-07/schema#"));
	set(a, o, "title", node_new_string(a, "mirrord configuration"));
	rest = section(a, &defaults, -1);
	for (struct node *n = rest->child, *next; n; n = next) {
		next = n->next;
		n->next = NULL;
		set(a, o, n->key, n);
	}
	return o;
}
