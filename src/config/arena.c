// SPDX-License-Identifier: MIT
/* Blocks in a row; a large piece gets a block of its own. */
#include "config/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 16384, ALIGN = _Alignof(max_align_t) };

struct block {
	struct block *next;
	size_t used, size;
	_Alignas(max_align_t) unsigned char data[];
};

struct arena {
	struct block *blocks;
};

static void *must(void *p)
{
	if (p)
		return p;
	fputs("mirrord: out of memory\n", stderr);
	exit(1);
}

struct arena *arena_new(void)
{
	return must(calloc(1, sizeof(struct arena)));
}

void arena_free(struct arena *a)
{
	if (!a)
		return;
	for (struct block *b = a->blocks, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	free(a);
}

void *arena_alloc(struct arena *a, size_t n)
{
	struct block *b = a->blocks;
	void *p;

	n = (n + ALIGN - 1) / ALIGN * ALIGN;
	if (!b || b->size - b->used < n) {
		size_t size = n > BLOCK ? n : BLOCK;

		b = must(calloc(1, sizeof(*b) + size));
		b->size = size;
		b->next = a->blocks;
		a->blocks = b;
	}
	p = b->data + b->used;
	b->used += n;
	return p;
}

char *arena_copy(struct arena *a, const char *text, size_t len)
{
	char *copy = arena_alloc(a, len + 1);

	return memcpy(copy, text, len);
}

char *arena_format(struct arena *a, const char *format, ...)
{
	va_list args, again;
	char *text;
	int len;

	va_start(args, format);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, args);
	text = arena_alloc(a, (size_t)len + 1);
	vsnprintf(text, (size_t)len + 1, format, again);
	va_end(again);
	va_end(args);
	return text;
}

void *arena_push(struct arena *a, void **array, size_t n, size_t size)
{
	/* Full at 0, 8, 16, 32 … */
	if (n == 0 || (n >= 8 && (n & (n - 1)) == 0)) {
		void *larger = arena_alloc(a, (n < 8 ? 8 : 2 * n) * size);

		if (n)
			memcpy(larger, *array, n * size);
		*array = larger;
	}
	return (char *)*array + n * size;
}

void arena_text_add(struct arena_text *t, const char *more)
{
	size_t len = strlen(more);

	if (t->len + len >= t->room) {
		char *text;

		t->room = 2 * (t->len + len + 1);
		text = arena_alloc(t->arena, t->room);
		if (t->text)
			memcpy(text, t->text, t->len);
		t->text = text;
	}
	memcpy(t->text + t->len, more, len + 1);
	t->len += len;
}
