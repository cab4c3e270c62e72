// SPDX-License-Identifier: MIT
/* The readers of configuration files, templates included. The first byte chooses the language. What a reader makes of a text, written as JSON and
 * read again, is the same. */
#include <string.h>

#include "config/config.h"
#include "config/json.h"
#include "config/source.h"
#include "config/template.h"
#include "config/toml.h"
#include "config/walk.h"
#include "config/yaml.h"
#include "fuzz.h"

static void check_again(struct arena *a, const struct node *root, struct problem_list *problems)
{
	char *text = node_to_json(a, root);
	struct source s;
	struct node *again;

	source_init(&s, "again", text, strlen(text), a, problems);
	again = json_parse(&s);
	fuzz_check(again && node_equal(root, again));
}

static void walk(struct arena *a, struct source *s, const struct node *root)
{
	struct config c = { .arena = a };
	const struct value_context context = { .config = &c, .problems = s->problems, .source = s, .where = "fuzz", .origin = ORIGIN_FILE };

	config_set_defaults(&c, s->problems);
	fuzz_check(s->problems->n_errors == 0);
	config_walk(&context, root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct node *(*const parsers[])(struct source *) = { json_parse, yaml_parse, toml_parse };
	static char set[] = "SET=yes", *environment[] = { set, NULL };
	const struct template_values values = { .key = "k", .environ = environment };
	struct problem_list problems;
	struct arena *a;
	struct source s;
	struct node *root;
	char *text;

	if (size == 0)
		return 0;
	a = arena_new();
	text = arena_copy(a, (const char *)data + 1, size - 1);
	problem_list_init(&problems);
	source_init(&s, "fuzz", text, strlen(text), a, &problems);
	root = template_fill_in(&s, &values) ? parsers[data[0] % 3](&s) : NULL;
	fuzz_check(root || problems.n_errors > 0);
	if (root && problems.n_errors == 0) {
		check_again(a, root, &problems);
		walk(a, &s, root);
	}
	for (size_t i = 0; i < problems.n; i++)
		fuzz_check(problems.items[i].line > 0 || !problems.items[i].where || strcmp(problems.items[i].where, "fuzz") != 0);
	problem_list_fini(&problems);
	arena_free(a);
	return 0;
}
