// SPDX-License-Identifier: MIT
/* A text that comes in pieces. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Zero-initialised it is empty, and @at is NULL; with the first piece, one of no bytes, too, it is NUL-terminated behind @len bytes. @len may be
 * set to less. @at is for free(). */
struct text {
	char *at;
	size_t len, room;
};

/* False without memory, and when it would be longer than @max bytes: then it is as before. */
bool text_add(struct text *t, const void *data, size_t len, size_t max);
