// SPDX-License-Identifier: MIT
/* Every key of the file is found in the table, or complained about. */
#include "config/walk.h"

#include <string.h>

#include "config/source.h"
#include "config/target_object.h"

static void unknown(const struct value_context *c, int parent, const struct node *n)
{
	bool target = parent == KEY_target || parent == KEY_target_path;
	const char *elsewhere = key_elsewhere(n->key), *near = target ? target_object_nearest(n->key) : key_nearest(parent, n->key);
	const char *path = parent < 0 ? n->key : arena_format(c->config->arena, "%s.%s", key_info((enum config_key)parent)->path, n->key);

	if (elsewhere)
		source_error(c->source, n->key_at, path, "unknown key; there is %s", elsewhere);
	else
		source_error(c->source, n->key_at, path, "unknown key%s", key_meant(c->config->arena, near));
}

static void expected_section(const struct value_context *c, enum config_key key, const struct node *n)
{
	const char *shorts = key_info(key)->extra, *text = "an object", *w;
	struct arena *a = c->config->arena;
	size_t len;

	for (size_t i = 0; (w = key_word(shorts, i, &len)); i++) {
		if (len == 4 && memcmp(w, "bool", 4) == 0)
			text = arena_format(a, "%s, true, false", text);
		else if (*w == '*')
			text = arena_format(a, "%s, a string", text);
		else
			text = arena_format(a, "%s, \"%.*s\"", text, (int)len, w);
	}
	value_error(c, key, n, NULL, "expected %s%s, found %s", *shorts ? "one of: " : "", text, node_describe(a, n));
}

static void walk(const struct value_context *c, int parent, const struct node *object);

static void walk_key(const struct value_context *c, enum config_key key, const struct node *n)
{
	if (n->kind == NODE_NULL)
		return;
	if (key == KEY_target || key == KEY_target_path)
		if (n->kind == NODE_OBJECT && target_object_read(c, n))
			return;
	if (n->kind == NODE_OBJECT && (key_has_children(key) || (key == KEY_target_path && n->child)))
		walk(c, (int)key, n);
	else if (key_info(key)->kind != KIND_SECTION)
		value_set_node(c, key, n);
	else if (!config_short_form(c, key, n))
		expected_section(c, key, n);
}

static void walk(const struct value_context *c, int parent, const struct node *object)
{
	for (const struct node *n = object->child; n; n = n->next) {
		int key = key_child(parent, n->key);

		if (key >= 0)
			walk_key(c, (enum config_key)key, n);
		else
			unknown(c, parent, n);
	}
}

void config_walk(const struct value_context *c, const struct node *root)
{
	const struct node *schema = node_member(root, "$schema");

	if (root->kind != NODE_OBJECT) {
		source_error(c->source, root->at, NULL, "expected an object, found %s", node_describe(c->config->arena, root));
		return;
	}
	if (!schema || schema->kind != NODE_STRING) {
		walk(c, -1, root);
		return;
	}
	/* Editors find the schema by it. */
	for (const struct node *n = root->child; n; n = n->next) {
		struct node one = *root, member = *n;

		if (n == schema)
			continue;
		member.next = NULL;
		one.child = &member;
		walk(c, -1, &one);
	}
}
