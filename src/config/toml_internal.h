// SPDX-License-Identifier: MIT
/* What the two halves of the TOML reader share: tables (toml.c) and values (toml_value.c). */
#pragma once

#include <stdbool.h>

#include "config/node.h"
#include "config/source.h"

struct toml {
	struct source *s;
	size_t at;
	int depth;
	bool failed;
	struct node *root, *table; /* that the next keys go to */
};

/* How an object came to be: who may add to it later depends on that. */
enum toml_table { TOML_OPEN, TOML_HEADER, TOML_DOTTED, TOML_INLINE, TOML_TABLES };

/* The first error is the one. */
#define TOML_FAIL(t, place, ...)                                                                   \
	do {                                                                                       \
		if (!(t)->failed)                                                                  \
			source_error((t)->s, place, NULL, __VA_ARGS__);                            \
		(t)->failed = true;                                                                \
	} while (0)

int toml_peek(const struct toml *t);
/* Spaces and tabs; @lines: line breaks and comments, too. */
void toml_skip(struct toml *t, bool lines);
/* At its beginning. NULL after an error. */
struct node *toml_value(struct toml *t);
/* A string of either kind; at the quote. @ret_text is the arena's. */
bool toml_string(struct toml *t, char **ret_text);
/* Reads `a.b."c" = value` into @table. */
void toml_pair(struct toml *t, struct node *table);
/* "`x`", "the end of the line", for messages. */
const char *toml_found(const struct toml *t);
