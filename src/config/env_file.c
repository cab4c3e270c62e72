// SPDX-License-Identifier: MIT
/* Lines of an env file:
 *
 *   NAME=value            up to the end of the line, or to a # behind white space; $NAME and ${NAME} are filled in, \$ is a dollar
 *   NAME='value'          as it is, over several lines if need be
 *   NAME="value"          with $NAME, \n, \t, \r, and \ before any other character for itself; over several lines, too
 *   export NAME=value     # the same
 *
 * A name that isn't set is filled in as nothing. A dollar that no name follows is a dollar. */
#include "config/env_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "config/template.h"

enum { FILE_MAX = 1 << 20 };

struct reader {
	const char *path, *p, *line_at; /* a NUL stands behind the text */
	unsigned int line;
	char *const *environ;
	struct arena *arena;
	struct problem_list *problems;
	struct node *vars;
};

static void complain(const struct reader *r, const char *at, const char *text)
{
	problem_add(r->problems, PROBLEM_ERROR, r->path, r->line, (unsigned int)(at - r->line_at) + 1, NULL, "%s", text);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void skip_blanks(struct reader *r)
{
	while (is_blank(*r->p))
		r->p++;
}

static bool is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Behind a dollar: the name's value goes out. Returns where to go on; NULL when there is no name. */
static const char *fill_in(const struct reader *r, const char *p, const char *end, FILE *out)
{
	bool braces = p < end && *p == '{';
	const char *begin = p + braces, *stop = begin, *name, *value;

	while (stop < end && is_name(*stop))
		stop++;
	if (stop == begin || (braces && (stop == end || *stop != '}')))
		return NULL;
	name = arena_copy(r->arena, begin, (size_t)(stop - begin));
	value = template_getenv(r->environ, name);
	if (!value && node_member(r->vars, name))
		value = node_member(r->vars, name)->text;
	fputs(value ? value : "", out);
	return stop + braces;
}

static char escaped(char c)
{
	return c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
}

/* The value that stands between @p and @end; the arena's. */
static char *expand(const struct reader *r, const char *p, const char *end, bool quoted)
{
	char *text = NULL;
	const char *next;
	char *copy;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	while (out && p < end) {
		if (*p == '\\' && p + 1 < end && (quoted || p[1] == '$')) {
			putc(escaped(p[1]), out);
			p += 2;
		} else if (*p == '$' && (next = fill_in(r, p + 1, end, out))) {
			p = next;
		} else {
			putc(*p++, out);
		}
	}
	if (!out || fclose(out) != 0)
		len = 0;
	copy = arena_copy(r->arena, text ? text : "", text ? len : 0);
	free(text);
	return copy;
}

/* At a quote. NULL after an error. */
static char *quoted_value(struct reader *r)
{
	char quote = *r->p, *value;
	const char *begin = r->p + 1, *end = begin;

	while (*end && *end != quote)
		end += *end == '\\' && quote == '"' && end[1] ? 2 : 1;
	if (!*end) {
		complain(r, r->p, "this quote has no end");
		return NULL;
	}
	value = quote == '"' ? expand(r, begin, end, true) : arena_copy(r->arena, begin, (size_t)(end - begin));
	for (; r->p < end; r->p++) {
		if (*r->p != '\n')
			continue;
		r->line++;
		r->line_at = r->p + 1;
	}
	r->p++;
	skip_blanks(r);
	if (!*r->p || *r->p == '\n' || *r->p == '#')
		return value;
	complain(r, r->p, "expected the end of the line behind the quote");
	return NULL;
}

static char *bare_value(struct reader *r)
{
	const char *begin = r->p, *end;

	while (*r->p && *r->p != '\n' && !(*r->p == '#' && r->p > begin && is_blank(r->p[-1])))
		r->p++;
	for (end = r->p; end > begin && is_blank(end[-1]); end--)
		;
	return expand(r, begin, end, false);
}

static void read_variable(struct reader *r)
{
	char *name, *value;
	struct node *known;
	size_t len;

	if (strncmp(r->p, "export", 6) == 0 && is_blank(r->p[6])) {
		r->p += 6;
		skip_blanks(r);
	}
	len = strcspn(r->p, " \t\r\n='\"");
	name = arena_copy(r->arena, r->p, len);
	r->p += len;
	skip_blanks(r);
	if (!len || *name == '#' || *r->p != '=') {
		complain(r, r->p, "expected NAME=value");
		return;
	}
	r->p++;
	skip_blanks(r);
	value = *r->p == '\'' || *r->p == '"' ? quoted_value(r) : bare_value(r);
	known = node_member(r->vars, name);
	if (value && known)
		known->text = value;
	else if (value)
		node_add_member(r->arena, r->vars, node_new_string(r->arena, value), name, 0);
}

static void read_lines(struct reader *r)
{
	while (*r->p) {
		const char *end;

		skip_blanks(r);
		if (*r->p && *r->p != '\n' && *r->p != '#')
			read_variable(r);
		end = strchr(r->p, '\n');
		if (!end)
			return;
		r->p = r->line_at = end + 1;
		r->line++;
	}
}

struct node *env_file_parse(const char *path, const char *text, size_t len, char *const *environ, struct arena *a, struct problem_list *problems)
{
	struct reader r = { .path = path, .p = text, .line_at = text, .line = 1, .environ = environ, .arena = a, .problems = problems };

	r.vars = node_new(a, NODE_OBJECT, 0);
	if (strncmp(text, "\xef\xbb\xbf", 3) == 0)
		r.p = r.line_at = text + 3;
	if (strlen(text) == len)
		read_lines(&r);
	else
		problem_add(problems, PROBLEM_ERROR, path, 0, 0, NULL, "this is no text: it has a byte 0 in it");
	return r.vars;
}

struct node *env_file_read(const char *path, char *const *environ, struct arena *a, struct problem_list *problems)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len;
	char *text = fd < 0 ? NULL : fd_read_all(fd, FILE_MAX, &len);
	struct node *vars = text ? env_file_parse(path, text, len, environ, a, problems) : NULL;

	free(text);
	return vars;
}
