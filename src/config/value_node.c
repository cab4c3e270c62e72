// SPDX-License-Identifier: MIT
/* From values in force back to trees. */
#include <stdio.h>
#include <string.h>

#include "config/value.h"

static struct node *number_node(struct arena *a, uint64_t value)
{
	char text[24];

	return node_new_text(a, NODE_NUMBER, text, (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)value), 0);
}

static struct node *null_node(struct arena *a)
{
	return node_new(a, NODE_NULL, 0);
}

static struct node *strings_node(struct arena *a, const struct config_strings *s)
{
	struct node *list = node_new(a, NODE_ARRAY, 0);

	for (size_t i = 0; i < s->n; i++)
		node_append(list, node_new_string(a, s->items[i]));
	return list;
}

static struct node *ports_node(struct arena *a, const struct config_ports *p)
{
	struct node *list = node_new(a, NODE_ARRAY, 0);

	for (size_t i = 0; i < p->n; i++)
		node_append(list, number_node(a, p->items[i]));
	return list;
}

static struct node *pairs_node(struct arena *a, const struct config_pairs *p)
{
	struct node *list = node_new(a, NODE_ARRAY, 0);

	for (size_t i = 0; i < p->n; i++) {
		struct node *pair = node_new(a, NODE_ARRAY, 0);

		node_append(pair, number_node(a, p->items[i].from));
		node_append(pair, number_node(a, p->items[i].to));
		node_append(list, pair);
	}
	return list;
}

static struct node *map_node(struct arena *a, const struct config_map *m)
{
	struct node *object = node_new(a, NODE_OBJECT, 0);

	for (size_t i = 0; i < m->n; i++)
		node_add_member(a, object, node_new_string(a, m->items[i].value), m->items[i].name, 0);
	return object;
}

static struct node *filter_node(struct arena *a, const struct config_filter *f)
{
	struct node *object = node_new(a, NODE_OBJECT, 0);

	node_add_member(a, object, strings_node(a, &f->entries), f->side == FILTER_LOCAL ? "local" : "remote", 0);
	return object;
}

static struct node *enum_node(struct arena *a, const char *words, int value)
{
	size_t len;
	const char *w = key_word(words, (size_t)value, &len);

	return node_new_text(a, NODE_STRING, w, len, 0);
}

struct node *value_to_node(const struct config *config, enum config_key key, struct arena *a)
{
	const struct key_info *k = key_info(key);
	const void *v = (const char *)config + k->offset;

	switch (k->kind) {
	case KIND_BOOL:
		return node_new_bool(a, *(const config_BOOL *)v);
	case KIND_TRI:
		return *(const config_TRI *)v == CONFIG_UNSET ? null_node(a) : node_new_bool(a, *(const config_TRI *)v == CONFIG_YES);
	case KIND_NUMBER:
		return *(const config_NUMBER *)v == CONFIG_NO_NUMBER ? null_node(a) : number_node(a, *(const config_NUMBER *)v);
	case KIND_STRING:
		return *(const config_STRING *)v ? node_new_string(a, *(const config_STRING *)v) : null_node(a);
	case KIND_STRINGS:
		return ((const config_STRINGS *)v)->set ? strings_node(a, v) : null_node(a);
	case KIND_ENUM:
		return enum_node(a, k->extra, *(const config_ENUM *)v);
	case KIND_PORTS:
		return ((const config_PORTS *)v)->set ? ports_node(a, v) : null_node(a);
	case KIND_PAIRS:
		return ((const config_PAIRS *)v)->set ? pairs_node(a, v) : null_node(a);
	case KIND_MAP:
		return ((const config_MAP *)v)->set ? map_node(a, v) : null_node(a);
	case KIND_FILTER:
		return ((const config_FILTER *)v)->side != FILTER_NONE ? filter_node(a, v) : null_node(a);
	case KIND_JSON:
		return *(const config_JSON *)v ? node_clone(a, *(const config_JSON *)v) : null_node(a);
	case KIND_SECTION:
		break;
	}
	return null_node(a);
}
