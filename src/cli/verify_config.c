// SPDX-License-Identifier: MIT
/* mirrord verify-config: what is wrong with a file, for people and for editors' plug-ins (--json, in the original's shape). */
#include "cli/verify_config.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/config_options.h"
#include "cli/options.h"
#include "config/config.h"
#include "config/key.h"
#include "config/resolved.h"
#include "config/target_object.h"
#include "target/target.h"

struct verify_options {
	struct config_options config;
	bool json, resolved, strict, alone, ide;
};

#define SETTER(field)                                                                              \
	static void set_##field(void *arg, const char *value)                                      \
	{                                                                                          \
		((struct verify_options *)arg)->field = true;                                      \
	}
SETTER(json)
SETTER(resolved)
SETTER(strict)
SETTER(alone)
SETTER(ide)

#define OPTION_TARGET(...)  CONFIG_OPTION("Target", __VA_ARGS__)
#define OPTION_FILE(...)    CONFIG_OPTION("Configuration", __VA_ARGS__)
#define OWN_FILE(...)
#define OPTION_NETWORK(...) CONFIG_OPTION("Network", __VA_ARGS__)
#define OWN_NETWORK	    OPTION_NETWORK
#define OPTION_PROGRAM(...) CONFIG_OPTION("Program", __VA_ARGS__)
#define OPTION_AGENT(...)   CONFIG_OPTION("Agent", __VA_ARGS__)
static const struct cli_option options[] = {
	{ "Options", 0, "json", NULL, "one JSON object on standard output: {\"type\": \"Success\" or \"Fail\", …}", set_json },
	{ "Options", 0, "resolved", NULL, "print the configuration in force, with the origin of each value", set_resolved },
	{ "Options", 0, "strict", NULL, "keys that have no effect yet are errors (default: warnings)", set_strict },
	{ "Options", 0, "file-alone", NULL, "the file as it is: without environment variables", set_alone },
	{ "Options", 0, "ide", NULL, "as the original's plug-ins for editors call it: --json, and status 0 also when the file is wrong", set_ide },
#include "cli/config_option.def"
};

static const struct cli_command command = {
	.name = "verify-config",
	.usage = "mirrord verify-config [OPTION]… [FILE]",
	.summary = "Checks a configuration file, under the environment and the options of `mirrord exec`. Exit status: 0 good, 1 wrong, 2 bad usage.",
	.example = "mirrord verify-config --resolved .mirrord/mirrord.json",
	.options = options,
	.n_options = sizeof(options) / sizeof(options[0]),
};

static struct node *messages(struct arena *a, const struct problem_list *l, enum problem_level level)
{
	struct node *list = node_new(a, NODE_ARRAY, 0);

	for (size_t i = 0; i < l->n; i++) {
		char *text = l->items[i].level == level ? problem_format(&l->items[i]) : NULL;

		if (text)
			node_append(list, node_new_string(a, text));
		free(text);
	}
	if (l->left_out && level == (l->n_errors ? PROBLEM_ERROR : PROBLEM_WARNING))
		node_append(list, node_new_string(a, arena_format(a, "and %zu more", l->left_out)));
	return list;
}

/* As the original has it: an object for what stands in a cluster. */
static struct node *target_node(struct arena *a, const struct config *c)
{
	struct error err = { 0 };
	struct target t = { 0 };
	struct node *object;

	if (!c->target_path || target_parse(c->target_path, &t, &err) < 0)
		return node_new(a, NODE_NULL, 0);
	object = target_object_make(a, target_kind_word(t.kind), t.name, t.container);
	return object ? object : node_new_string(a, t.text);
}

/* The path of each value that isn't the default's, and where it came from. */
static struct node *origins(struct arena *a, const struct config *c)
{
	struct node *object = node_new(a, NODE_OBJECT, 0);

	for (int i = 0; i < CONFIG_KEYS; i++)
		if (c->sources[i].origin != ORIGIN_DEFAULT)
			node_add_member(a, object, node_new_string(a, resolved_origin(c, (enum config_key)i, a)),
					key_info((enum config_key)i)->path, 0);
	return object;
}

static void print_json(const struct verify_options *o, const struct config *c, const struct problem_list *problems)
{
	static const enum target_kind kinds[] = { TARGET_TARGETLESS, TARGET_POD, TARGET_DEPLOYMENT, TARGET_ROLLOUT, TARGET_JOB, TARGET_CRONJOB,
		TARGET_STATEFULSET, TARGET_SERVICE, TARGET_REPLICASET, TARGET_DAEMONSET, TARGET_LABEL };
	struct arena *a = arena_new();
	struct node *all = node_new(a, NODE_OBJECT, 0), *config = node_new(a, NODE_OBJECT, 0), *types = node_new(a, NODE_ARRAY, 0);

	node_add_member(a, all, node_new_string(a, c ? "Success" : "Fail"), "type", 0);
	if (c) {
		node_add_member(a, config, target_node(a, c), "path", 0);
		node_add_member(a, config, c->target_namespace ? node_new_string(a, c->target_namespace) : node_new(a, NODE_NULL, 0), "namespace", 0);
		node_add_member(a, all, config, "config", 0);
		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
			node_append(types, node_new_string(a, target_kind_word(kinds[i])));
		node_add_member(a, all, types, "compatible_target_types", 0);
	} else {
		node_add_member(a, all, messages(a, problems, PROBLEM_ERROR), "errors", 0);
	}
	node_add_member(a, all, messages(a, problems, PROBLEM_WARNING), "warnings", 0);
	if (c && o->resolved) {
		node_add_member(a, all, resolved_tree(c, a), "resolved_config", 0);
		node_add_member(a, all, origins(a, c), "origins", 0);
	}
	node_write_json(stdout, all, 0);
	putchar('\n');
	arena_free(a);
}

static void print_human(const struct verify_options *o, const char *file, const struct config *c, const struct problem_list *problems)
{
	problem_list_print(problems, stderr);
	if (c && o->resolved)
		resolved_write(stdout, c);
	else if (c)
		printf("%s is a good configuration%s\n", file, problems->n ? ", with warnings" : "");
}

/* Its form: whether there is such a target isn't asked. */
static int check_target(const struct config *c, struct problem_list *problems)
{
	const struct config_source *s = &c->sources[KEY_target_path];
	struct error err = { 0 };
	struct target t = { 0 };

	if (!c->target_path || target_parse(c->target_path, &t, &err) == 0)
		return 0;
	problem_add(problems, PROBLEM_ERROR, s->name, s->line, s->column, key_info(KEY_target_path)->path, "%s%s%s", err.text,
		    *err.hint ? "; " : "", err.hint);
	return -1;
}

int cli_verify_config(int argc, char **argv)
{
	struct verify_options o = { 0 };
	struct config_request request = { .environ = environ };
	struct problem_list problems;
	struct config config;
	bool good;
	int at = cli_parse(&command, argc, argv, &o), rc;

	if (at < 0)
		return at == -2 ? 0 : 2;
	if (at + 1 < argc) {
		fprintf(stderr, "mirrord verify-config: one file at a time\nsee `mirrord verify-config --help`\n");
		return 2;
	}
	request.file = argv[at];
	request.flags = o.config.flags;
	request.n_flags = o.config.n;
	request.strict = o.strict;
	request.file_alone = o.alone;
	problem_list_init(&problems);
	rc = config_load(&request, &config, &problems);
	good = rc == 0 && check_target(&config, &problems) == 0;
	if (o.json || o.ide)
		print_json(&o, good ? &config : NULL, &problems);
	else
		print_human(&o, !request.file ? "this" : strcmp(request.file, "-") == 0 ? "standard input" : request.file, good ? &config : NULL,
			    &problems);
	problem_list_fini(&problems);
	if (rc == 0)
		config_fini(&config);
	return good || o.ide ? 0 : 1;
}
