// SPDX-License-Identifier: MIT
/* Kinds and selectors. */
#include "kube/kinds.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *group, *plural;
} kinds[] = {
	[TARGET_POD] = { "api/v1", "pods" },
	[TARGET_DEPLOYMENT] = { "apis/apps/v1", "deployments" },
	[TARGET_ROLLOUT] = { "apis/argoproj.io/v1alpha1", "rollouts" },
	[TARGET_STATEFULSET] = { "apis/apps/v1", "statefulsets" },
	[TARGET_DAEMONSET] = { "apis/apps/v1", "daemonsets" },
	[TARGET_REPLICASET] = { "apis/apps/v1", "replicasets" },
	[TARGET_JOB] = { "apis/batch/v1", "jobs" },
	[TARGET_CRONJOB] = { "apis/batch/v1", "cronjobs" },
	[TARGET_SERVICE] = { "api/v1", "services" },
	[TARGET_LABEL] = { NULL, NULL },
	[TARGET_TARGETLESS] = { NULL, NULL },
};
static_assert(sizeof(kinds) / sizeof(kinds[0]) == TARGET_TARGETLESS + 1, "a row for each kind");

const char *kube_kind_plural(enum target_kind kind)
{
	return kinds[kind].plural;
}

void kube_kind_path(char out[1024], enum target_kind kind, const char *namespace, const char *name)
{
	int n = snprintf(out, 1024, "/%s", kinds[kind].group);

	kube_path(out + n, (size_t)(1024 - n), "/namespaces/%s/%s", namespace, kinds[kind].plural);
	n = (int)strlen(out);
	if (name)
		kube_path(out + n, (size_t)(1024 - n), "/%s", name);
}

static void append(char *out, size_t room, const char *text)
{
	size_t n = strlen(out);

	if (n < room)
		snprintf(out + n, room - n, "%s", text);
}

/* {"key": "tier", "operator": "In", "values": ["web"]}: "tier in (web)" */
static void print_expression(const json_t *expression, char *out, size_t room)
{
	const char *key = json_string_value(json_object_get(expression, "key")), *op = json_string_value(json_object_get(expression, "operator"));
	json_t *value;
	size_t i;

	if (!key || !op)
		return;
	append(out, room, *out ? "," : "");
	append(out, room, strcmp(op, "DoesNotExist") == 0 ? "!" : "");
	append(out, room, key);
	if (strcmp(op, "In") != 0 && strcmp(op, "NotIn") != 0)
		return;
	append(out, room, strcmp(op, "In") == 0 ? " in (" : " notin (");
	json_array_foreach(json_object_get(expression, "values"), i, value)
	{
		append(out, room, i ? "," : "");
		append(out, room, json_string_value(value) ? json_string_value(value) : "");
	}
	append(out, room, ")");
}

void kube_selector_print(const json_t *selector, char *out, size_t room)
{
	json_t *value, *labels = json_object_get(selector, "matchLabels");
	const char *key;
	size_t i;

	out[0] = '\0';
	json_object_foreach(labels, key, value)
	{
		append(out, room, *out ? "," : "");
		append(out, room, key);
		append(out, room, "=");
		append(out, room, json_string_value(value) ? json_string_value(value) : "");
	}
	json_array_foreach(json_object_get(selector, "matchExpressions"), i, value)
	{
		print_expression(value, out, room);
	}
}
