// SPDX-License-Identifier: MIT
/* Env files. A file either says what is wrong with it, with its place, or each of its variables is one that an environment can hold, and is
 * read again as it is from a file of quoted ones. */
#include <stdlib.h>
#include <string.h>

#include "config/env_file.h"
#include "fuzz.h"

/* NAME='value', or with double quotes where there is a single one in it. */
static char *write_again(const struct node *vars, size_t *ret_len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_len);

	putc('\n', out); /* a mark at the beginning would not be the name's */
	for (const struct node *v = vars->child; v; v = v->next) {
		bool escape = strchr(v->text, '\'') != NULL;

		fprintf(out, "%s=%c", v->key, escape ? '"' : '\'');
		for (const char *p = v->text; *p; p++)
			fprintf(out, escape && strchr("\"\\$", *p) ? "\\%c" : "%c", *p);
		fprintf(out, "%c\n", escape ? '"' : '\'');
	}
	fclose(out);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char set[] = "SET=yes", *environment[] = { set, NULL };
	struct problem_list problems;
	struct arena *a = arena_new();
	char *text = arena_copy(a, (const char *)data, size), *again;
	struct node *vars;

	problem_list_init(&problems);
	vars = env_file_parse("fuzz", text, size, environment, a, &problems);
	for (size_t i = 0; i < problems.n; i++)
		fuzz_check(problems.items[i].line > 0 || strlen(text) < size);
	for (const struct node *v = vars->child; v; v = v->next)
		fuzz_check(*v->key && !strchr(v->key, '=') && v->kind == NODE_STRING);
	if (problems.n == 0) {
		again = write_again(vars, &size);
		fuzz_check(node_equal(env_file_parse("again", again, size, NULL, a, &problems), vars) && problems.n == 0);
		free(again);
	}
	problem_list_fini(&problems);
	arena_free(a);
	return 0;
}
