// SPDX-License-Identifier: MIT
/* Loading a configuration from a text, for tests. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"

static char loading_dir[64], loading_path[128];

/* Writes the text to a file of that extension and returns its name, which is short: "t.json" in the working directory. */
static inline const char *loading_write(const char *extension, const char *text, size_t len)
{
	FILE *f;

	if (!loading_dir[0]) {
		strcpy(loading_dir, "/tmp/mirrord-config-XXXXXX");
		if (!mkdtemp(loading_dir) || chdir(loading_dir) < 0)
			exit(99);
	}
	snprintf(loading_path, sizeof(loading_path), "t.%s", extension);
	f = fopen(loading_path, "w");
	if (!f || fwrite(text, 1, len, f) != len || fclose(f) != 0)
		exit(99);
	return loading_path;
}

static inline void loading_clean(void)
{
	if (loading_dir[0] && (unlink("t.json"), unlink("t.yaml"), unlink("t.toml"), chdir("/") == 0))
		rmdir(loading_dir);
}

/* All messages, one a line, warnings marked; the caller's. */
static inline char *loading_messages(const struct problem_list *l)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	for (size_t i = 0; i < l->n; i++) {
		char *one = problem_format(&l->items[i]);

		fprintf(out, "%s%s%s", i ? "\n" : "", l->items[i].level == PROBLEM_WARNING ? "warning: " : "", one);
		free(one);
	}
	fclose(out);
	return text;
}

static inline int loading_load(const char *extension, const char *text, char *const *environment, struct config *ret, char **ret_messages)
{
	const struct config_request request = { .file = loading_write(extension, text, strlen(text)), .environ = environment };
	struct problem_list problems;
	int rc;

	problem_list_init(&problems);
	rc = config_load(&request, ret, &problems);
	*ret_messages = loading_messages(&problems);
	problem_list_fini(&problems);
	return rc;
}
