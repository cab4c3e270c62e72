// SPDX-License-Identifier: MIT
/* A target's text: which kinds there are, and who finds the one that is meant. */
#include "target/target.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/nearest.h"
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

static const struct {
	const char *word, *example;
	int (*resolve)(const char *name, struct target *ret, struct error *err);
} kinds[] = {
	[TARGET_PID] = { "pid", "pid/4711", local_resolve_pid },
	[TARGET_NETNS] = { "netns", "netns/NAME", local_resolve_netns },
	[TARGET_DOCKER] = { "docker", "docker/NAME", resolve_docker },
	[TARGET_PODMAN] = { "podman", "podman/NAME", resolve_podman },
};
static_assert(LENGTH(kinds) == TARGET_PODMAN + 1, "a row for each kind");

/* Kinds that are known, but are a cluster's. */
static const char *const cluster_kinds[] = {
	"pod",	   "deployment", "statefulset", "daemonset", "replicaset", "job",
	"cronjob", "rollout",	 "service",	"label",     "targetless",
};

static bool is_cluster_kind(const char *word)
{
	for (size_t i = 0; i < LENGTH(cluster_kinds); i++) {
		if (strcmp(word, cluster_kinds[i]) == 0)
			return true;
	}
	return false;
}

static const char *nearest_kind(const char *word)
{
	const char *words[LENGTH(kinds) + LENGTH(cluster_kinds) + 1];
	size_t n = 0;

	for (size_t i = 0; i < LENGTH(kinds); i++)
		words[n++] = kinds[i].word;
	for (size_t i = 0; i < LENGTH(cluster_kinds); i++)
		words[n++] = cluster_kinds[i];
	words[n] = NULL;
	return nearest_word(word, words);
}

/* "pid/4711, netns/NAME, docker/NAME, podman/NAME" */
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
	char list[256];

	list_kinds(list, sizeof(list));
	if (is_cluster_kind(word)) {
		error_set(err, 0, "target \"%s\": %s/ needs Kubernetes, which this version does not have yet", text,
			  word);
		return error_hint(err, "targets of this machine are %s", list);
	}
	error_set(err, 0, "target \"%s\": there is no kind of target called \"%s\"", text, word);
	if (nearest)
		return error_hint(err, "did you mean %s/%s? Targets are %s", nearest, name, list);
	return error_hint(err, "targets are %s", list);
}

static int refuse_form(const char *text, struct error *err)
{
	char list[256];

	error_set(err, 0, "target \"%s\": a target is a kind, a slash and a name", text);
	return error_hint(err, "targets are %s", list_kinds(list, sizeof(list)));
}

int target_resolve(const char *text, struct target *ret, struct error *err)
{
	struct target t = { 0 };
	const char *slash = strchr(text, '/');
	char word[sizeof(t.text)];

	if (strlen(text) >= sizeof(t.text))
		return error_set(err, 0, "target \"%.40s…\": longer than %zu bytes", text, sizeof(t.text) - 1);
	if (is_cluster_kind(text))
		return refuse_kind(text, text, "", err);
	if (!slash || slash == text || !slash[1])
		return refuse_form(text, err);
	memcpy(t.text, text, strlen(text) + 1);
	snprintf(word, sizeof(word), "%.*s", (int)(slash - text), text);
	for (size_t i = 0; i < LENGTH(kinds); i++) {
		if (strcmp(word, kinds[i].word) != 0)
			continue;
		t.kind = (enum target_kind)i;
		if (kinds[i].resolve(slash + 1, &t, err) < 0)
			return -1;
		*ret = t;
		return 0;
	}
	return refuse_kind(text, word, slash + 1, err);
}
