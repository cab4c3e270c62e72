// SPDX-License-Identifier: MIT
/* One key's value: from a file's node or a text, checked, and back. */
#pragma once

#include "config/key.h"
#include "config/node.h"

/* Where a wrong value is told. @where is the file's name, a variable, an option; @source places nodes and is NULL for texts. */
struct value_context {
	struct config *config;
	struct problem_list *problems;
	struct source *source;
	const char *where;
	enum config_origin origin;
};

/* Sets the field of @key, and its source. A node of null changes nothing. False after an error, which was added to the problems. */
bool value_set_node(const struct value_context *c, enum config_key key, const struct node *n);
/* From a variable, an option or the default: lists with ";" between their members. */
bool value_set_text(const struct value_context *c, enum config_key key, const char *text);
/* The value in force; NODE_NULL when it is unset. */
struct node *value_to_node(const struct config *config, enum config_key key, struct arena *a);
/* Adds an error about @n, or with n == NULL about the text, at @path (NULL: the key's). */
void value_error(const struct value_context *c, enum config_key key, const struct node *n, const char *path, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
