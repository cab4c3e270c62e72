// SPDX-License-Identifier: MIT
#include "config/target_object.h"

#include <string.h>

#include "base/nearest.h"
#include "config/source.h"

static const struct {
	const char *key, *kind;
} kinds[] = {
	{ "pod", "pod" },     { "deployment", "deployment" },	{ "rollout", "rollout" }, { "job", "job" },
	{ "cron_job", "cronjob" }, { "stateful_set", "statefulset" }, { "service", "service" }, { "replica_set", "replicaset" },
	{ "daemon_set", "daemonset" }, { "labels", "label" },
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

const char *target_object_key(size_t n)
{
	return n < KINDS ? kinds[n].key : NULL;
}

static const char *kind_of(const char *key)
{
	for (size_t i = 0; i < KINDS; i++)
		if (strcmp(kinds[i].key, key) == 0)
			return kinds[i].kind;
	return NULL;
}

const char *target_object_nearest(const char *name)
{
	const char *names[KINDS + 5] = { "path", "container", "namespace", "replicas" };

	for (size_t i = 0; i < KINDS; i++)
		names[4 + i] = kinds[i].key;
	return nearest_word(name, names);
}

/* The name, or of labels `a=b,c=d`. NULL after an error. */
static const char *name_of(const struct value_context *c, const struct node *n)
{
	bool labels = strcmp(n->key, "labels") == 0;
	struct arena_text text = { .arena = c->config->arena };

	if (!labels && n->kind == NODE_STRING && *n->text)
		return n->text;
	if (!labels || n->kind != NODE_OBJECT || !n->child) {
		source_error(c->source, n->at, "target", "expected %s behind \"%s\", found %s", labels ? "an object of labels" : "a name", n->key,
			     node_describe(c->config->arena, n));
		return NULL;
	}
	for (const struct node *l = n->child; l; l = l->next) {
		if (l->kind != NODE_STRING || !*l->key) {
			source_error(c->source, l->at, "target.labels", "expected labels as {\"app\": \"shop\"}, found %s",
				     node_describe(c->config->arena, l));
			return NULL;
		}
		if (text.text)
			arena_text_add(&text, ",");
		arena_text_add(&text, l->key);
		arena_text_add(&text, "=");
		arena_text_add(&text, l->text);
	}
	return text.text;
}

bool target_object_read(const struct value_context *c, const struct node *object)
{
	const struct node *what = NULL, *container = node_member(object, "container");
	const char *name;
	struct node *path;

	for (const struct node *n = object->child; n && !what; n = n->next)
		if (kind_of(n->key))
			what = n;
	if (!what)
		return false;
	for (const struct node *n = object->child; n; n = n->next) {
		if (n == what || n == container)
			continue;
		if (strcmp(n->key, "namespace") == 0)
			value_set_node(c, KEY_target_namespace, n);
		else if (strcmp(n->key, "replicas") == 0)
			value_set_node(c, KEY_target_replicas, n);
		else
			source_error(c->source, n->key_at, "target", "\"%s\" can't stand beside \"%s\"%s", n->key, what->key,
				     key_meant(c->config->arena, kind_of(n->key) ? NULL : target_object_nearest(n->key)));
	}
	name = name_of(c, what);
	if (container && container->kind != NODE_STRING && container->kind != NODE_NULL)
		source_error(c->source, container->at, "target.container", "expected a string, found %s", node_describe(c->config->arena, container));
	else if (name) {
		bool inner = container && container->kind == NODE_STRING;
		const char *text = arena_format(c->config->arena, "%s/%s%s%s", kind_of(what->key), name, inner ? "/container/" : "",
						inner ? container->text : "");

		path = node_new_text(c->config->arena, NODE_STRING, text, strlen(text), object->at);
		value_set_node(c, KEY_target_path, path);
	}
	return true;
}

/* Of "a=b,c=d". */
static struct node *labels_of(struct arena *a, const char *text)
{
	struct node *labels = node_new(a, NODE_OBJECT, 0);

	while (*text) {
		size_t len = strcspn(text, ","), key = strcspn(text, "=");

		if (key < len)
			node_add_member(a, labels, node_new_text(a, NODE_STRING, text + key + 1, len - key - 1, 0), arena_copy(a, text, key), 0);
		text += len + (text[len] == ',');
	}
	return labels;
}

struct node *target_object_make(struct arena *a, const char *kind, const char *name, const char *container)
{
	struct node *object = node_new(a, NODE_OBJECT, 0);
	size_t i = 0;
	bool labels;

	while (i < KINDS && strcmp(kinds[i].kind, kind) != 0)
		i++;
	if (i == KINDS)
		return NULL;
	labels = i == KINDS - 1;
	node_add_member(a, object, labels ? labels_of(a, name) : node_new_string(a, name), kinds[i].key, 0);
	if (*container)
		node_add_member(a, object, node_new_string(a, container), "container", 0);
	else if (!labels)
		node_add_member(a, object, node_new(a, NODE_NULL, 0), "container", 0);
	return object;
}
