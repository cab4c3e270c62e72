// SPDX-License-Identifier: MIT
/* Lists of problems. */
#include "config/problem.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void problem_list_init(struct problem_list *l)
{
	*l = (struct problem_list){ 0 };
}

void problem_list_fini(struct problem_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->items[i].where);
		free(l->items[i].path);
		free(l->items[i].text);
	}
	free(l->items);
	problem_list_init(l);
}

void problem_add(struct problem_list *l, enum problem_level level, const char *where, unsigned int line, unsigned int column, const char *path,
		 const char *format, ...)
{
	struct problem p = { .level = level, .line = line, .column = column };
	struct problem *items = l->n < PROBLEMS_MAX ? realloc(l->items, (l->n + 1) * sizeof(*items)) : NULL;
	va_list args;

	l->n_errors += level == PROBLEM_ERROR;
	if (!items) {
		l->left_out++;
		return;
	}
	l->items = items;
	p.where = where ? strdup(where) : NULL;
	p.path = path && *path ? strdup(path) : NULL;
	va_start(args, format);
	if (vasprintf(&p.text, format, args) < 0)
		p.text = NULL;
	va_end(args);
	items[l->n++] = p;
}

char *problem_format(const struct problem *p)
{
	char place[48] = "", *text;

	if (p->line)
		snprintf(place, sizeof(place), ":%u:%u", p->line, p->column);
	if (asprintf(&text, "%s%s%s%s%s%s", p->where ? p->where : "", place, p->where ? ": " : "", p->path ? p->path : "", p->path ? ": " : "",
		     p->text ? p->text : "out of memory") < 0)
		return NULL;
	return text;
}

static int compare(const void *a, const void *b)
{
	const struct problem *x = *(const struct problem *const *)a, *y = *(const struct problem *const *)b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	if (x->column != y->column)
		return x->column < y->column ? -1 : 1;
	return x < y ? -1 : 1; /* as they were found */
}

void problem_list_print(const struct problem_list *l, FILE *out)
{
	const struct problem **sorted = calloc(l->n + 1, sizeof(const struct problem *));

	for (size_t i = 0; sorted && i < l->n; i++)
		sorted[i] = &l->items[i];
	if (sorted)
		qsort(sorted, l->n, sizeof(const struct problem *), compare);
	for (size_t i = 0; i < l->n; i++) {
		const struct problem *p = sorted ? sorted[i] : &l->items[i];
		char *text = problem_format(p);

		fprintf(out, "mirrord: %s%s\n", p->level == PROBLEM_WARNING ? "warning: " : "", text ? text : "out of memory");
		free(text);
	}
	if (l->left_out)
		fprintf(out, "mirrord: and %zu more\n", l->left_out);
	free(sorted);
}
