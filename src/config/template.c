// SPDX-License-Identifier: MIT
/* Templates of the original's, which are Tera's: https://keats.github.io/tera/docs. Two forms are known, as are its comments `{# … #}`; all
 * else of that language is an error that says so. What is filled in stands in the text as it is, without quoting, as there. */
#include "config/template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char known_forms[] = "{{ key }} and {{ get_env(name=\"NAME\", default=\"…\") }} are known";

struct filler {
	struct source *s;
	const struct template_values *values;
	FILE *out;
	size_t written;
	struct source_edit *edits; /* the source's when all is done: errors on the way have their places in the file */
	size_t n_edits;
	bool good;
};

enum { SHOWN = 60 }; /* of what isn't understood, in messages */

/* A place within the braces. */
struct words {
	const char *p, *end;
};

const char *template_getenv(char *const *environ, const char *name)
{
	size_t len = strlen(name);

	for (; environ && *environ; environ++)
		if (strncmp(*environ, name, len) == 0 && (*environ)[len] == '=')
			return *environ + len + 1;
	return NULL;
}

static void skip_space(struct words *w)
{
	while (w->p < w->end && strchr(" \t\r\n", *w->p))
		w->p++;
}

static bool take(struct words *w, char c)
{
	skip_space(w);
	if (w->p >= w->end || *w->p != c)
		return false;
	w->p++;
	return true;
}

/* [a-z_]+ into @buf. */
static bool take_name(struct words *w, char *buf, size_t size)
{
	size_t n = 0;

	skip_space(w);
	while (w->p < w->end && ((*w->p >= 'a' && *w->p <= 'z') || *w->p == '_') && n + 1 < size)
		buf[n++] = *w->p++;
	buf[n] = '\0';
	return n > 0;
}

/* Between quotes of one of three kinds; Tera knows no escapes in them. NULL when there is none. */
static char *take_string(struct words *w, struct arena *a)
{
	const char *begin, *end;

	skip_space(w);
	if (w->p >= w->end || !strchr("\"'`", *w->p))
		return NULL;
	begin = w->p + 1;
	end = memchr(begin, *w->p, (size_t)(w->end - begin));
	if (!end)
		return NULL;
	w->p = end + 1;
	return arena_copy(a, begin, (size_t)(end - begin));
}

/* name="X", default="y", in any order, up to the parenthesis. */
static bool take_arguments(struct words *w, struct arena *a, char **ret_name, char **ret_default)
{
	char name[16];

	if (!take(w, '('))
		return false;
	while (!take(w, ')')) {
		char *value;

		if (!take_name(w, name, sizeof(name)) || !take(w, '=') || !(value = take_string(w, a)))
			return false;
		if (strcmp(name, "name") == 0)
			*ret_name = value;
		else if (strcmp(name, "default") == 0)
			*ret_default = value;
		else
			return false;
		if (!take(w, ',') && w->p < w->end && *w->p != ')')
			return false;
	}
	return *ret_name != NULL;
}

/* The value of what stands within {{ }}; NULL after an error. */
static const char *evaluate(struct filler *f, const char *begin, const char *end)
{
	struct words w = { .p = begin, .end = end };
	size_t at = (size_t)(begin - f->s->file) - 2;
	char name[16], *variable = NULL, *otherwise = NULL;
	const char *value = NULL;
	bool good = take_name(&w, name, sizeof(name));

	if (good && strcmp(name, "key") == 0)
		value = f->values->key;
	else if (good && (good = strcmp(name, "get_env") == 0 && take_arguments(&w, f->s->arena, &variable, &otherwise)))
		value = template_getenv(f->values->environ, variable);
	skip_space(&w);
	if (!good || w.p < end) {
		int len = (int)(end - begin < SHOWN ? end - begin : SHOWN);

		source_error(f->s, at, NULL, "the template {{%.*s}} is not understood; %s", len, begin, known_forms);
		return NULL;
	}
	if (!value)
		value = otherwise;
	if (!value)
		source_error(f->s, at, NULL, "the environment variable %s is not set, and get_env() has no default", variable);
	return value;
}

static void put(struct filler *f, const char *text, size_t len)
{
	fwrite(text, 1, len, f->out);
	f->written += len;
}

static void mark(struct filler *f, size_t from, int inside)
{
	struct source_edit *e = arena_push(f->s->arena, (void **)&f->edits, f->n_edits++, sizeof(*e));

	*e = (struct source_edit){ .to = f->written, .from = from, .inside = inside };
}

/* At an opening brace of two characters. Returns where to go on. */
static const char *tag(struct filler *f, const char *open)
{
	const char *stop = f->s->file + f->s->file_len, *close, *value;
	size_t at = (size_t)(open - f->s->file);

	if (open[1] == '%') {
		source_error(f->s, at, NULL, "templates with {%% … %%} are not understood; %s", known_forms);
		f->good = false;
		return open + 2;
	}
	close = memmem(open + 2, (size_t)(stop - open) - 2, open[1] == '#' ? "#}" : "}}", 2);
	if (!close) {
		source_error(f->s, at, NULL, "this template has no end; %s", known_forms);
		f->good = false;
		return stop;
	}
	if (open[1] == '{') {
		value = evaluate(f, open + 2, close);
		f->good &= value != NULL;
		mark(f, at, 1);
		put(f, value ? value : "", value ? strlen(value) : 0);
	}
	mark(f, (size_t)(close - f->s->file) + 2, 0);
	return close + 2;
}

static const char *next_tag(const char *p, const char *end)
{
	while ((p = memchr(p, '{', (size_t)(end - p))) && p + 1 < end) {
		if (p[1] == '{' || p[1] == '%' || p[1] == '#')
			return p;
		p++;
	}
	return NULL;
}

bool template_uses_key(const char *text, size_t len)
{
	const char *end = text + len;

	for (const char *p = text; (p = next_tag(p, end)); p += 2) {
		struct words w = { .p = p + 2, .end = end };
		char name[16];

		if (p[1] == '{' && take_name(&w, name, sizeof(name)) && strcmp(name, "key") == 0)
			return true;
	}
	return false;
}

bool template_fill_in(struct source *s, const struct template_values *values)
{
	char *text = NULL;
	size_t len = 0;
	struct filler f = { .s = s, .values = values, .good = true };
	const char *p = s->file, *end = s->file + s->file_len, *open;

	if (!next_tag(p, end))
		return true;
	f.out = open_memstream(&text, &len);
	if (!f.out) {
		source_error(s, 0, NULL, "out of memory");
		return false;
	}
	for (; (open = next_tag(p, end)); p = tag(&f, open))
		put(&f, p, (size_t)(open - p));
	put(&f, p, (size_t)(end - p));
	f.good &= fclose(f.out) == 0;
	s->text = arena_copy(s->arena, text ? text : "", text ? len : 0);
	s->len = text ? len : 0;
	s->edits = f.edits;
	s->n_edits = f.n_edits;
	free(text);
	return f.good;
}
