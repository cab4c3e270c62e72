// SPDX-License-Identifier: MIT
/* Memory that is given back all at once. For what is made while a command starts: without memory it says so and ends the process. */
#pragma once

#include <stddef.h>

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *a);
/* Zeroed, aligned for anything. */
void *arena_alloc(struct arena *a, size_t n);
/* A NUL behind it. */
char *arena_copy(struct arena *a, const char *text, size_t len);
char *arena_format(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* An array of @n items of @size bytes that gets one more: its place is *@array when there is room, or a larger copy's. @n is a count
 * that starts at 0 and is not raised here. Returns the new item, zeroed. */
void *arena_push(struct arena *a, void **array, size_t n, size_t size);

/* A text that grows; zero-initialise all but the arena. @text is NULL as long as nothing was added. */
struct arena_text {
	struct arena *arena;
	char *text;
	size_t len, room;
};
void arena_text_add(struct arena_text *t, const char *more);
