// SPDX-License-Identifier: MIT
/* mirrord config: what the keys mean. */
#include "cli/config.h"

#include <stdio.h>
#include <string.h>

#include "base/nearest.h"
#include "config/key.h"
#include "config/reference.h"
#include "config/schema.h"

static int print_usage(FILE *out)
{
	fputs("Tells about the keys of the configuration.\n\nUsage: mirrord config COMMAND\n\nCommands:\n"
	      "  explain [KEY]    what a key means, or what stands below it; also the key that a variable or an option sets:\n"
	      "                   explain MIRRORD_REMOTE_DNS, explain --steal\n"
	      "  schema           the JSON schema (draft 7), for editors\n"
	      "  reference        docs/configuration.md\n"
	      "  compatibility    docs/compatibility.md: each key compared with the original's\n"
	      "\nExample:\n  mirrord config explain feature.network.outgoing.filter\n",
	      out);
	return out == stdout ? 0 : 2;
}

/* Paths and variables, and where a word begins with a dash the long options. */
static const char *nearest(const char *word)
{
	const char *words[2 * CONFIG_KEYS + 1];
	size_t n = 0;

	for (int i = 0; i < CONFIG_KEYS; i++) {
		const struct key_info *k = key_info((enum config_key)i);
		const char *flag = strstr(k->flag, "--");

		if (*word == '-' && flag && !strchr(flag, ','))
			words[n++] = flag;
		if (*word == '-')
			continue;
		words[n++] = k->path;
		if (*k->env)
			words[n++] = k->env;
	}
	words[n] = NULL;
	return nearest_word(word, words);
}

static int complain(const char *word)
{
	const char *dot = strrchr(word, '.'), *elsewhere = key_elsewhere(dot ? dot + 1 : word), *near = elsewhere ? elsewhere : nearest(word);

	fprintf(stderr, "mirrord config: there is no key, variable or option %s%s%s%s\nsee `mirrord config explain`\n", word,
		near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
	return 2;
}

static int print_schema(void)
{
	struct arena *a = arena_new();

	node_write_json(stdout, schema_tree(a), 0);
	putchar('\n');
	arena_free(a);
	return 0;
}

int cli_config(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "--help") == 0 || strcmp(what, "-h") == 0)
		return print_usage(stdout);
	if (strcmp(what, "explain") == 0 && argc <= 3)
		return reference_explain(stdout, argc == 3 ? argv[2] : "") ? 0 : complain(argv[2]);
	if (argc != 2)
		return print_usage(stderr);
	if (strcmp(what, "schema") == 0)
		return print_schema();
	if (strcmp(what, "reference") == 0)
		reference_write_configuration(stdout);
	else if (strcmp(what, "compatibility") == 0)
		reference_write_compatibility(stdout);
	else
		return print_usage(stderr);
	return 0;
}
