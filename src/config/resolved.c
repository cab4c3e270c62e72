// SPDX-License-Identifier: MIT
/* What is in force. */
#include "config/resolved.h"

#include "config/key.h"
#include "config/value.h"

const char *resolved_origin(const struct config *c, enum config_key key, struct arena *a)
{
	const struct config_source *s = &c->sources[key];

	if (s->origin == ORIGIN_DEFAULT)
		return "default";
	return s->line ? arena_format(a, "%s:%u:%u", s->name, s->line, s->column) : s->name;
}

/* What stands for the key: its own value, or the object of those below it. NULL: nothing. */
static struct node *tree_of(const struct config *c, int key, struct arena *a)
{
	struct node *object, *value;

	if (key >= 0 && key_info((enum config_key)key)->kind != KIND_SECTION) {
		value = value_to_node(c, (enum config_key)key, a);
		if (value->kind != NODE_NULL)
			return value;
	}
	object = node_new(a, NODE_OBJECT, 0);
	for (int i = 0; i < CONFIG_KEYS; i++) {
		const struct key_info *k = key_info((enum config_key)i);

		value = k->parent == key ? tree_of(c, i, a) : NULL;
		if (value)
			node_add_member(a, object, value, k->name, 0);
	}
	return object->n ? object : NULL;
}

struct node *resolved_tree(const struct config *c, struct arena *a)
{
	return tree_of(c, -1, a);
}

static void indent(FILE *out, int depth)
{
	for (int i = 0; i < depth; i++)
		putc('\t', out);
}

/* @object is what stands for @parent. */
static void write_object(FILE *out, const struct config *c, const struct node *object, int parent, int depth, struct arena *a)
{
	fputs("{\n", out);
	for (const struct node *n = object->child; n; n = n->next) {
		int key = key_child(parent, n->key);
		bool below = n->kind == NODE_OBJECT && key_has_children((enum config_key)key);

		indent(out, depth + 1);
		node_write_string(out, n->key);
		fputs(": ", out);
		if (below)
			write_object(out, c, n, key, depth + 1, a);
		else
			node_write_json(out, n, depth + 1);
		fputs(n->next ? "," : "", out);
		if (!below)
			fprintf(out, " // %s", resolved_origin(c, (enum config_key)key, a));
		putc('\n', out);
	}
	indent(out, depth);
	putc('}', out);
}

void resolved_write(FILE *out, const struct config *c)
{
	struct arena *a = arena_new();

	write_object(out, c, resolved_tree(c, a), -1, 0, a);
	putc('\n', out);
	arena_free(a);
}
