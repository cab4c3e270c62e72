// SPDX-License-Identifier: MIT
/* Lists of problems. */
#include "config/problem.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "config/utf8.h"

enum { SHOWN_MAX = 2000 }; /* bytes of a text */

void problem_list_init(struct problem_list *l)
{
	*l = (struct problem_list){ 0 };
}

static void problem_fini(struct problem *p)
{
	free(p->where);
	free(p->path);
	free(p->text);
}

void problem_list_fini(struct problem_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		problem_fini(&l->items[i]);
	free(l->items);
	problem_list_init(l);
}

/* What is shown is one line of text, whatever the file has in it: no control characters, no half of one that was cut through, and an end. */
static char *tidy(char *text)
{
	uint8_t *p = (uint8_t *)text, *out = p;
	size_t left = text ? strlen(text) : 0, n;

	for (; left && (out < (uint8_t *)text + SHOWN_MAX || left < strlen("…")); p += n, left -= n) {
		n = utf8_length(p, left);
		if (n == 1 && (*p < 0x20 || *p == 0x7f))
			*p = '?';
		memmove(out, p, n);
		out += n;
		n += n == 0;
	}
	if (text)
		strcpy((char *)out, left ? "…" : "");
	return text;
}

static bool same_place(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Behind those of the same file that stand before it there, and else at the end: a file's own are in the order of its lines. */
static size_t place_of(const struct problem_list *l, const struct problem *p)
{
	size_t i = l->n;

	while (i > 0 && !same_place(l->items[i - 1].where, p->where))
		i--;
	if (i == 0)
		return l->n;
	for (; i > 0 && same_place(l->items[i - 1].where, p->where); i--)
		if (l->items[i - 1].line < p->line || (l->items[i - 1].line == p->line && l->items[i - 1].column <= p->column))
			break;
	return i;
}

/* Where there is no room for an error the last warning goes. */
static bool make_room(struct problem_list *l, enum problem_level level)
{
	size_t i = l->n;
	struct problem *items;

	if (l->n == PROBLEMS_MAX) {
		l->left_out++;
		while (level == PROBLEM_ERROR && i > 0 && l->items[i - 1].level == PROBLEM_ERROR)
			i--;
		if (level != PROBLEM_ERROR || i == 0)
			return false;
		problem_fini(&l->items[i - 1]);
		memmove(l->items + i - 1, l->items + i, (l->n - i) * sizeof(*l->items));
		l->n--;
		return true;
	}
	items = realloc(l->items, (l->n + 1) * sizeof(*items));
	if (!items) {
		l->left_out++;
		return false;
	}
	l->items = items;
	return true;
}

bool problem_list_skip_error(struct problem_list *l)
{
	if (l->n_errors < PROBLEMS_MAX)
		return false;
	l->n_errors++;
	l->left_out++;
	return true;
}

void problem_add(struct problem_list *l, enum problem_level level, const char *where, unsigned int line, unsigned int column, const char *path,
		 const char *format, ...)
{
	struct problem p = { .level = level, .line = line, .column = column };
	va_list args;
	size_t at;

	l->n_errors += level == PROBLEM_ERROR;
	if (!make_room(l, level))
		return;
	p.where = where ? strdup(where) : NULL;
	p.path = path && *path ? tidy(strdup(path)) : NULL;
	va_start(args, format);
	if (vasprintf(&p.text, format, args) < 0)
		p.text = NULL;
	va_end(args);
	tidy(p.text);
	at = place_of(l, &p);
	memmove(l->items + at + 1, l->items + at, (l->n - at) * sizeof(p));
	l->items[at] = p;
	l->n++;
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

void problem_list_print(const struct problem_list *l, FILE *out)
{
	for (size_t i = 0; i < l->n; i++) {
		char *text = problem_format(&l->items[i]);

		fprintf(out, "mirrord: %s%s\n", l->items[i].level == PROBLEM_WARNING ? "warning: " : "", text ? text : "out of memory");
		free(text);
	}
	if (l->left_out)
		fprintf(out, "mirrord: and %zu more\n", l->left_out);
}
