// SPDX-License-Identifier: MIT
/* The table of keys. */
#include "config/key.h"

#include <string.h>

#include "base/nearest.h"
#include "config/arena.h"

#define SECTION(id, where, shorts, words)                                                                              \
	[KEY_##id] = { .kind = KIND_SECTION,                                                                           \
		       .path = where,                                                                                  \
		       .extra = shorts,                                                                                \
		       .preset = "",                                                                                   \
		       .env = "",                                                                                      \
		       .flag = "",                                                                                     \
		       .text = words,                                                                                  \
		       .note = "" },
#define KEY(KIND, field, where, more, value, variable, option, STATUS, words, why)                                     \
	[KEY_##field] = { .kind = KIND_##KIND,                                                                         \
			  .status = STATUS_##STATUS,                                                                   \
			  .path = where,                                                                               \
			  .extra = more,                                                                               \
			  .preset = value,                                                                             \
			  .env = variable,                                                                             \
			  .flag = option,                                                                              \
			  .text = words,                                                                               \
			  .note = why,                                                                                 \
			  .offset = offsetof(struct config, field) },

static struct key_info keys[CONFIG_KEYS] = {
#include "config/key.def"
};

static int find_path(const char *path, size_t len)
{
	for (int i = 0; i < CONFIG_KEYS; i++)
		if (strncmp(keys[i].path, path, len) == 0 && keys[i].path[len] == '\0')
			return i;
	return -1;
}

/* Names and parents follow from the paths. */
static void complete(void)
{
	if (keys[0].name)
		return;
	for (int i = 0; i < CONFIG_KEYS; i++) {
		const char *dot = strrchr(keys[i].path, '.');

		keys[i].parent = dot ? find_path(keys[i].path, (size_t)(dot - keys[i].path)) : -1;
		keys[i].name = dot ? dot + 1 : keys[i].path;
	}
}

const struct key_info *key_info(enum config_key key)
{
	complete();
	return &keys[key];
}

int key_child(int parent, const char *name)
{
	complete();
	for (int i = 0; i < CONFIG_KEYS; i++)
		if (keys[i].parent == parent && strcmp(keys[i].name, name) == 0)
			return i;
	return -1;
}

int key_find(const char *path)
{
	return find_path(path, strlen(path));
}

const char *key_nearest(int parent, const char *name)
{
	const char *names[CONFIG_KEYS + 1];
	size_t n = 0;

	complete();
	for (int i = 0; i < CONFIG_KEYS; i++)
		if (keys[i].parent == parent)
			names[n++] = keys[i].name;
	names[n] = NULL;
	return nearest_word(name, names);
}

const char *key_meant(struct arena *a, const char *near)
{
	return near ? arena_format(a, "; did you mean \"%s\"?", near) : "";
}

const char *key_elsewhere(const char *name)
{
	const char *found = NULL;

	complete();
	for (int i = 0; i < CONFIG_KEYS; i++) {
		if (strcmp(keys[i].name, name) != 0)
			continue;
		if (found)
			return NULL;
		found = keys[i].path;
	}
	return found;
}

bool key_has_children(enum config_key key)
{
	complete();
	for (int i = 0; i < CONFIG_KEYS; i++)
		if (keys[i].parent == (int)key)
			return true;
	return false;
}

bool key_has_flag(enum config_key key, const char *flag)
{
	const char *p = keys[key].flag;
	size_t len = strlen(flag);

	while (*p) {
		size_t n = strcspn(p, ", ");

		if (n && n == len && memcmp(p, flag, len) == 0)
			return true;
		p += n + strspn(p + n, ", ");
	}
	return false;
}

const char *key_word(const char *list, size_t n, size_t *ret_len)
{
	for (; *list; n--) {
		size_t len = strcspn(list, "|");

		if (n == 0) {
			*ret_len = len;
			return list;
		}
		list += len + (list[len] == '|');
	}
	return NULL;
}
