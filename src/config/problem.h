// SPDX-License-Identifier: MIT
/* What is wrong with a configuration: all of it, with places. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum problem_level { PROBLEM_WARNING, PROBLEM_ERROR };

struct problem {
	enum problem_level level;
	unsigned int line, column; /* 0: no place in the file */
	char *where;		   /* the file, the variable, the option; NULL: the whole */
	char *path;		   /* of the value: "feature.network.incoming.ports[2]"; NULL: none */
	char *text;
};

enum { PROBLEMS_MAX = 200 }; /* more are counted, not kept; errors before warnings */

/* In the order in which they came, but those of one file by their lines. */
struct problem_list {
	struct problem *items;
	size_t n, n_errors, left_out;
};

void problem_list_init(struct problem_list *l);
void problem_list_fini(struct problem_list *l);
void problem_add(struct problem_list *l, enum problem_level level, const char *where, unsigned int line, unsigned int column, const char *path,
		 const char *format, ...) __attribute__((format(printf, 7, 8)));
/* Before an error is put together with all that belongs to it: when there is no room for it, counts it and returns true. */
bool problem_list_skip_error(struct problem_list *l);
/* "FILE:LINE:COLUMN: PATH: TEXT", as far as these are known. Returns text that is the caller's; NULL without memory. */
char *problem_format(const struct problem *p);
/* One line each, warnings marked so. */
void problem_list_print(const struct problem_list *l, FILE *out);
