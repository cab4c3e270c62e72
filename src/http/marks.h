// SPDX-License-Identifier: MIT
/* What answers are marked with when the user asks for it: who gave them, and that no cache is to keep them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_marks {
	const char *agent; /* the value of Mirrord-Agent; NULL: none */
	bool no_cache;
};

static const char HTTP_NO_CACHE[] = "no-cache, no-store, must-revalidate";
enum { HTTP_MARKS_MAX = 160 }; /* bytes that a head gets longer by */

/* Writes the head of an answer (HTTP/1, whole, with its empty line) with its marks to @out, which has room for @len + HTTP_MARKS_MAX bytes.
 * Returns the new length. */
size_t http_mark_head(const struct http_marks *m, const uint8_t *head, size_t len, uint8_t *out);
