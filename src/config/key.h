// SPDX-License-Identifier: MIT
/* The table of keys (key.def) at run time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

enum key_kind {
	KIND_SECTION,
	KIND_BOOL,
	KIND_TRI,
	KIND_NUMBER,
	KIND_STRING,
	KIND_STRINGS,
	KIND_ENUM,
	KIND_PORTS,
	KIND_PAIRS,
	KIND_MAP,
	KIND_FILTER,
	KIND_JSON,
};

enum key_status { STATUS_SAME, STATUS_BETTER, STATUS_OURS, STATUS_MEANINGLESS, STATUS_LATER };

struct key_info {
	enum key_kind kind;
	enum key_status status;
	const char *path, *name; /* @name: its last part */
	const char *extra;	 /* of a section: what may stand in its place */
	const char *preset, *env, *flag, *text, *note; /* "" where there is none */
	size_t offset;				       /* in struct config */
	int parent;				       /* the key above it, or -1 */
};

const struct key_info *key_info(enum config_key key);
/* The key below @parent (-1: the root) whose last part is @name; -1 when there is none. */
int key_child(int parent, const char *name);
/* The key of the whole path; -1 when there is none. */
int key_find(const char *path);
/* What a user may have meant by @name below @parent: the nearest name there. NULL: nothing is near. */
const char *key_nearest(int parent, const char *name);
/* How a message ends that knows a nearer word: `; did you mean "@near"?`, in the arena. "" when @near is NULL. */
const char *key_meant(struct arena *a, const char *near);
/* The path of a key elsewhere that has this very name; NULL when there is none, or more than one. */
const char *key_elsewhere(const char *name);
/* Whether other keys stand below it. */
bool key_has_children(enum config_key key);
/* Whether @flag, as "-t" or "--target", is an option that sets it. */
bool key_has_flag(enum config_key key, const char *flag);
/* The n-th word of a "|" list, with its length; NULL behind the last. */
const char *key_word(const char *list, size_t n, size_t *ret_len);
