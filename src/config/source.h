// SPDX-License-Identifier: MIT
/* The text of a configuration file: as it is, and as it reads when its templates are filled in. */
#pragma once

#include <stddef.h>

#include "config/arena.h"
#include "config/problem.h"

/* From @to in the filled-in text on, byte n stands @from + (n - @to) in the file; within a value that was filled in (@inside), at @from. */
struct source_edit {
	size_t to, from;
	int inside;
};

struct source {
	const char *name;
	const char *file; /* as it is */
	size_t file_len;
	const char *text; /* to be parsed; NUL behind it */
	size_t len;
	struct source_edit *edits; /* in order */
	size_t n_edits;
	size_t *lines; /* where each line of @text begins, made when first asked for */
	size_t n_lines;
	struct arena *arena;
	struct problem_list *problems;
};

/* Without templates: the text is the file, without its byte order mark. All stay the caller's. */
void source_init(struct source *s, const char *name, const char *file, size_t len, struct arena *a, struct problem_list *problems);
/* Line and column, both from 1, of byte @at of the text, in the file. A column is a character of UTF-8. */
void source_place(struct source *s, size_t at, unsigned int *ret_line, unsigned int *ret_column);
/* The byte of the text at the line and character (both from 0), as other parsers count. */
size_t source_offset(struct source *s, size_t line, size_t column);
/* Adds an error with its place. */
void source_error(struct source *s, size_t at, const char *path, const char *format, ...) __attribute__((format(printf, 4, 5)));
