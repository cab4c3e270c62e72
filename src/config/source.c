// SPDX-License-Identifier: MIT
/* Places in a file. */
#include "config/source.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void source_init(struct source *s, const char *name, const char *file, size_t len, struct arena *a, struct problem_list *problems)
{
	if (len >= 3 && memcmp(file, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark */
		file += 3;
		len -= 3;
	}
	*s = (struct source){ .name = name, .file = file, .file_len = len, .text = file, .len = len, .arena = a, .problems = problems };
}

/* The last edit at or before @at. */
static size_t to_file(const struct source *s, size_t at)
{
	size_t low = 0, high = s->n_edits;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (s->edits[middle].to <= at)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return at;
	return s->edits[low - 1].inside ? s->edits[low - 1].from : s->edits[low - 1].from + (at - s->edits[low - 1].to);
}

static bool starts_character(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

void source_place(struct source *s, size_t at, unsigned int *ret_line, unsigned int *ret_column)
{
	size_t end = to_file(s, at), begin;
	unsigned int line = 1, column = 1;

	if (end > s->file_len)
		end = s->file_len;
	for (begin = end; begin > 0 && s->file[begin - 1] != '\n'; begin--)
		;
	for (size_t i = begin; i < end; i++)
		column += starts_character(s->file[i]);
	for (const char *p = s->file; (p = memchr(p, '\n', (size_t)(s->file + begin - p))); p++)
		line++;
	*ret_line = line;
	*ret_column = column;
}

static void find_lines(struct source *s)
{
	for (size_t i = 0; i <= s->len; i++)
		if (i == 0 || s->text[i - 1] == '\n')
			*(size_t *)arena_push(s->arena, (void **)&s->lines, s->n_lines++, sizeof(*s->lines)) = i;
}

size_t source_offset(struct source *s, size_t line, size_t column)
{
	size_t at;

	if (!s->lines)
		find_lines(s);
	if (line >= s->n_lines)
		return s->len;
	for (at = s->lines[line]; column > 0 && at < s->len; column--)
		for (at++; at < s->len && !starts_character(s->text[at]); at++)
			;
	return at;
}

void source_error(struct source *s, size_t at, const char *path, const char *format, ...)
{
	unsigned int line, column;
	va_list args;
	char *text;

	if (problem_list_skip_error(s->problems))
		return;
	source_place(s, at, &line, &column);
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	problem_add(s->problems, PROBLEM_ERROR, s->name, line, column, path, "%s", text ? text : "out of memory");
	free(text);
}
