// SPDX-License-Identifier: MIT
/* mirrord ls: what could be a target in the cluster; a line each, or JSON as editors' plug-ins read it. */
#include "cli/ls.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/nearest.h"
#include "cli/config_options.h"
#include "cli/options.h"
#include "kube/list.h"
#include "kube/open.h"

struct ls_options {
	struct config_options config;
	const char *output;
	const char *types[TARGET_TARGETLESS + 1];
	size_t n_types;
};

static void set_output(void *arg, const char *value)
{
	((struct ls_options *)arg)->output = value;
}

static void set_type(void *arg, const char *value)
{
	struct ls_options *o = arg;

	if (o->n_types < sizeof(o->types) / sizeof(o->types[0]))
		o->types[o->n_types++] = value;
}

static const struct cli_option options[] = {
	{ "Options", 't', "type", "KIND", "only targets of this kind: deployment, pod…; may be given more than once", set_type },
	{ "Options", 'o', "output", "FORMAT", "json, or text (the default)", set_output },
	{ "Cluster", 'n', "namespace", "NAME", "the namespace (default: the context's)", config_set_namespace },
	{ "Cluster", 0, "context", "NAME", "context of the kubeconfig (default: the current one)", config_set_context },
	{ "Cluster", 'c', "accept-invalid-certificates", NULL, "the API server's certificate is not checked", config_set_insecure },
	{ "Configuration", 'f', "config-file", "FILE", "the configuration (default: .mirrord/mirrord.json, .yaml, .yml or .toml)", config_set_file },
};

static const struct cli_command command = {
	.name = "ls",
	.usage = "mirrord ls [OPTION]…",
	.summary = "Lists what could be a target in the cluster.",
	.example = "mirrord ls -n test -t deployment -o json",
	.options = options,
	.n_options = sizeof(options) / sizeof(options[0]),
};

static int complain_type(const char *type)
{
	const char *words[TARGET_LABEL - TARGET_POD + 1] = { NULL }, *near;

	for (int kind = TARGET_POD; kind < TARGET_LABEL; kind++)
		words[kind - TARGET_POD] = target_kind_word((enum target_kind)kind);
	near = nearest_word(type, words);
	fprintf(stderr, "mirrord ls: there is no kind of target called \"%s\"%s%s%s\n  kinds are ", type, near ? "; did you mean " : "",
		near ? near : "", near ? "?" : "");
	for (int i = 0; words[i]; i++)
		fprintf(stderr, "%s%s", i ? ", " : "", words[i]);
	fputc('\n', stderr);
	return -1;
}

/* By -t, or as the plug-ins say it: a JSON array in MIRRORD_LS_TARGET_TYPES. Returns 1 when some are wanted, 0 for all, -1 after a message. */
static int wanted_kinds(struct ls_options *o, const json_t *from_environment, bool wanted[TARGET_TARGETLESS + 1])
{
	json_t *type;
	size_t i;

	json_array_foreach((json_t *)from_environment, i, type)
	{
		if (json_string_value(type) && o->n_types == i)
			set_type(o, json_string_value(type));
	}
	for (i = 0; i < o->n_types; i++) {
		int kind = target_kind_parse(o->types[i]);

		if (from_environment && kind < 0) /* a kind of a later plug-in's */
			continue;
		if (kind < TARGET_POD || kind >= TARGET_LABEL)
			return complain_type(o->types[i]);
		wanted[kind] = true;
	}
	return o->n_types > 0;
}

static bool is_true(const char *variable)
{
	const char *value = getenv(variable);

	return value && strcmp(value, "true") == 0;
}

static json_t *rich(struct kube *k, json_t *paths, const char *namespace)
{
	json_t *targets = json_array(), *path;
	size_t i;

	json_array_foreach(paths, i, path)
	{
		json_array_append_new(targets, json_pack("{s:O, s:b}", "path", path, "available", 1));
	}
	return json_pack("{s:o, s:s, s:o}", "targets", targets, "current_namespace", namespace, "namespaces", kube_list_namespaces(k));
}

static void print(struct kube *k, json_t *paths, bool json, const char *namespace)
{
	json_t *all = json && is_true("MIRRORD_LS_RICH_OUTPUT") ? rich(k, paths, namespace) : json_incref(paths), *path;
	size_t i;

	if (json) {
		json_dumpf(all, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		json_array_foreach(paths, i, path)
		{
			printf("%s\n", json_string_value(path));
		}
		if (!json_array_size(paths))
			fprintf(stderr, "mirrord: nothing that runs in namespace %s; -n names another\n", namespace);
	}
	json_decref(all);
}

static int list(const struct config *c, const bool *wanted, bool json)
{
	struct kube_settings settings;
	struct error err = { 0 };
	struct kube *k;
	json_t *paths = NULL;

	kube_settings_read(c, &settings);
	k = kube_open(&settings, &err);
	if (k) {
		const char *namespace = settings.namespace ? settings.namespace : kube_access_of(k)->namespace;

		paths = kube_list_targets(k, namespace, wanted, &err);
		if (paths)
			print(k, paths, json, namespace);
	}
	json_decref(paths);
	kube_free(k);
	kube_settings_fini(&settings);
	return paths ? 0 : cli_print_error(&err);
}

int cli_ls(int argc, char **argv)
{
	struct ls_options o = { .output = "text" };
	const char *types = getenv("MIRRORD_LS_TARGET_TYPES"), *level = getenv("MIRRORD_LOG");
	bool wanted[TARGET_TARGETLESS + 1] = { false };
	json_t *from_environment = NULL;
	struct config config;
	int at = cli_parse(&command, argc, argv, &o), some, status = 2;

	if (at < 0)
		return at == -2 ? 0 : 2;
	if (at < argc || (strcmp(o.output, "json") != 0 && strcmp(o.output, "text") != 0)) {
		fprintf(stderr, "mirrord ls: %s %s\nsee `mirrord ls --help`\n", at < argc ? "too much:" : "the formats are json and text, not",
			at < argc ? argv[at] : o.output);
		return 2;
	}
	log_init("mirrord", level && log_level_parse(level) >= 0 ? (enum log_level)log_level_parse(level) : LOG_LEVEL_ERROR, STDERR_FILENO);
	if (types && *types && !o.n_types)
		from_environment = json_loads(types, 0, NULL);
	some = wanted_kinds(&o, from_environment, wanted);
	if (some >= 0 && config_options_load(&o.config, &config) == 0) {
		status = list(&config, some ? wanted : NULL, strcmp(o.output, "json") == 0);
		config_fini(&config);
	}
	json_decref(from_environment);
	return status;
}
