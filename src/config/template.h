// SPDX-License-Identifier: MIT
/* {{ key }} and {{ get_env(name="X", default="y") }} in a configuration file, filled in before it is parsed. */
#pragma once

#include <stdbool.h>

#include "config/source.h"

struct template_values {
	const char *key;
	char *const *environ; /* may be NULL */
};

/* Whether `{{ key }}` stands in the text. */
bool template_uses_key(const char *text, size_t len);
/* Sets the source's text and edits. Every template that can't be filled in is an error among its problems; then false. */
bool template_fill_in(struct source *s, const struct template_values *values);
/* The value of the variable, NULL without. */
const char *template_getenv(char *const *environ, const char *name);
