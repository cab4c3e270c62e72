// SPDX-License-Identifier: MIT
/* A target's text: which kinds there are, and who finds the one that is meant. */
#include "target/target.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/nearest.h"
#include "target/cluster.h"
#include "target/engine.h"
#include "target/local.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static int resolve_container(enum engine engine, const char *name, struct target *ret, struct error *err)
{
	int pid = engine_container_pid(engine, name, err);

	if (pid < 0)
		return error_wrap(err, "target %s", ret->text);
	return local_resolve_process(ret->text, pid, ret, err);
}

static int resolve_docker(const char *name, struct target *ret, struct error *err)
{
	return resolve_container(ENGINE_DOCKER, name, ret, err);
}

static int resolve_podman(const char *name, struct target *ret, struct error *err)
{
	return resolve_container(ENGINE_PODMAN, name, ret, err);
}

/* Words that mean the same are kubectl's short ones. @resolve: of this machine's. */
static const struct {
	const char *word, *also, *example;
	int (*resolve)(const char *name, struct target *ret, struct error *err);
} kinds[] = {
	[TARGET_PID] = { "pid", NULL, "pid/4711", local_resolve_pid },
	[TARGET_NETNS] = { "netns", NULL, "netns/NAME", local_resolve_netns },
	[TARGET_DOCKER] = { "docker", NULL, "docker/NAME", resolve_docker },
	[TARGET_PODMAN] = { "podman", NULL, "podman/NAME", resolve_podman },
	[TARGET_POD] = { "pod", "po", "pod/NAME", NULL },
	[TARGET_DEPLOYMENT] = { "deployment", "deploy", "deployment/NAME", NULL },
	[TARGET_ROLLOUT] = { "rollout", NULL, "rollout/NAME", NULL },
	[TARGET_STATEFULSET] = { "statefulset", "sts", "statefulset/NAME", NULL },
	[TARGET_DAEMONSET] = { "daemonset", "ds", "daemonset/NAME", NULL },
	[TARGET_REPLICASET] = { "replicaset", "rs", "replicaset/NAME", NULL },
	[TARGET_JOB] = { "job", NULL, "job/NAME", NULL },
	[TARGET_CRONJOB] = { "cronjob", "cj", "cronjob/NAME", NULL },
	[TARGET_SERVICE] = { "service", "svc", "service/NAME", NULL },
	[TARGET_LABEL] = { "label", NULL, "label/KEY=VALUE", NULL },
	[TARGET_TARGETLESS] = { "targetless", NULL, "targetless", NULL },
};
static_assert(LENGTH(kinds) == TARGET_TARGETLESS + 1, "a row for each kind");

const char *target_kind_word(enum target_kind kind)
{
	return kinds[kind].word;
}

static const char *nearest_kind(const char *word)
{
	const char *words[LENGTH(kinds) + 1] = { NULL };

	for (size_t i = 0; i < LENGTH(kinds); i++)
		words[i] = kinds[i].word;
	return nearest_word(word, words);
}

/* "pid/4711, netns/NAME, docker/NAME, …" */
static const char *list_kinds(char *buf, size_t size)
{
	int n = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < LENGTH(kinds) && n >= 0 && (size_t)n < size; i++)
		n += snprintf(buf + n, size - (size_t)n, "%s%s", i ? ", " : "", kinds[i].example);
	return buf;
}

static int refuse_kind(const char *text, const char *word, const char *name, struct error *err)
{
	const char *nearest = nearest_kind(word);
	char list[400];

	list_kinds(list, sizeof(list));
	error_set(err, 0, "target \"%s\": there is no kind of target called \"%s\"", text, word);
	if (nearest)
		return error_hint(err, "did you mean %s/%s? Targets are %s", nearest, name, list);
	return error_hint(err, "targets are %s", list);
}

static int refuse_form(const char *text, struct error *err)
{
	char list[400];

	error_set(err, 0, "target \"%s\": a target is a kind, a slash and a name", text);
	return error_hint(err, "targets are %s", list_kinds(list, sizeof(list)));
}

static bool is_kind(enum target_kind kind, const char *word, size_t len)
{
	const char *names[] = { kinds[kind].word, kinds[kind].also };

	for (size_t i = 0; i < LENGTH(names); i++) {
		if (names[i] && strlen(names[i]) == len && strncmp(names[i], word, len) == 0)
			return true;
	}
	return false;
}

int target_kind_parse(const char *word)
{
	for (size_t i = 0; i < LENGTH(kinds); i++) {
		if (is_kind((enum target_kind)i, word, strlen(word)))
			return (int)i;
	}
	return -1;
}

static const char *name_in(const char *text)
{
	const char *slash = strchr(text, '/');

	return slash ? slash + 1 : NULL;
}

int target_parse(const char *text, struct target *ret, struct error *err)
{
	struct target t = { 0 };
	const char *name = name_in(text);
	size_t len = name ? (size_t)(name - text) - 1 : strlen(text);
	bool targetless = is_kind(TARGET_TARGETLESS, text, len);
	char word[sizeof(t.text)];
	int kind;

	if (strlen(text) >= sizeof(t.text))
		return error_set(err, 0, "target \"%.40s…\": longer than %zu bytes", text, sizeof(t.text) - 1);
	if (targetless ? name != NULL : !name || len == 0 || !*name)
		return refuse_form(text, err);
	memcpy(t.text, text, strlen(text) + 1);
	snprintf(word, sizeof(word), "%.*s", (int)len, text);
	kind = target_kind_parse(word);
	if (kind < 0)
		return refuse_kind(text, word, name, err);
	t.kind = (enum target_kind)kind;
	if (target_is_in_cluster(&t) && cluster_parse(name, &t, err) < 0)
		return -1;
	*ret = t;
	return 0;
}

int target_resolve(const char *text, struct target *ret, struct error *err)
{
	struct target t = { 0 };

	if (target_parse(text, &t, err) < 0 || (kinds[t.kind].resolve && kinds[t.kind].resolve(name_in(text), &t, err) < 0))
		return -1;
	*ret = t;
	return 0;
}
