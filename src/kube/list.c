// SPDX-License-Identifier: MIT
/* What could be a target, all kinds in one round trip. */
#include "kube/list.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "kube/json.h"
#include "kube/kinds.h"
#include "kube/resolve.h"

/* In this order; editors' plug-ins show the first ones first. */
static const enum target_kind order[] = { TARGET_DEPLOYMENT, TARGET_ROLLOUT, TARGET_STATEFULSET, TARGET_DAEMONSET, TARGET_CRONJOB,
					  TARGET_JOB,	     TARGET_SERVICE, TARGET_REPLICASET,	 TARGET_POD };
enum { KINDS = sizeof(order) / sizeof(order[0]) };

static json_int_t count_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(json_object_get(object, "status"), key));
}

static bool is_ready(enum target_kind kind, const json_t *object)
{
	const json_t *meta = json_object_get(object, "metadata"), *spec = json_object_get(object, "spec");

	switch (kind) {
	case TARGET_DEPLOYMENT:
	case TARGET_ROLLOUT:
		return count_of(object, "availableReplicas") > 0;
	case TARGET_STATEFULSET:
		return count_of(object, "readyReplicas") > 0;
	case TARGET_DAEMONSET:
		return count_of(object, "numberReady") > 0;
	case TARGET_REPLICASET: /* a deployment's goes by the deployment's name */
		return count_of(object, "readyReplicas") > 0 && !json_array_size(json_object_get(meta, "ownerReferences"));
	case TARGET_JOB:
		return count_of(object, "active") > 0;
	case TARGET_SERVICE:
		return json_object_size(json_object_get(spec, "selector")) > 0;
	case TARGET_POD:
		return strcmp(kube_text(json_object_get(object, "status"), "phase"), "Running") == 0 && !json_object_get(meta, "deletionTimestamp");
	default:
		return true;
	}
}

/* By its name alone where there is nothing to choose. */
static void add_pod(const json_t *pod, const char *name, json_t *paths)
{
	const json_t *containers = json_object_get(json_object_get(pod, "spec"), "containers");
	size_t i, choices = 0;
	json_t *c;

	json_array_foreach((json_t *)containers, i, c)
	{
		choices += !kube_is_sidecar(kube_text(c, "name"));
	}
	if (choices < 2) {
		json_array_append_new(paths, json_sprintf("pod/%s", name));
		return;
	}
	json_array_foreach((json_t *)containers, i, c)
	{
		if (!kube_is_sidecar(kube_text(c, "name")))
			json_array_append_new(paths, json_sprintf("pod/%s/container/%s", name, kube_text(c, "name")));
	}
}

/* Of one list of objects of @kind: what isn't running, ours, or made by another object of the list's own kind is left out. */
static void add_paths(enum target_kind kind, const json_t *objects, json_t *ret_paths)
{
	json_t *object;
	size_t i;

	json_array_foreach(json_object_get(objects, "items"), i, object)
	{
		const json_t *meta = json_object_get(object, "metadata"), *labels = json_object_get(meta, "labels");

		if (strcmp(kube_text(labels, "app.kubernetes.io/managed-by"), "mirrord") == 0 || !is_ready(kind, object))
			continue;
		if (kind == TARGET_POD)
			add_pod(object, kube_text(meta, "name"), ret_paths);
		else
			json_array_append_new(ret_paths, json_sprintf("%s/%s", target_kind_word(kind), kube_text(meta, "name")));
	}
}

json_t *kube_list_targets(struct kube *k, const char *namespace, const bool *wanted, struct error *err)
{
	struct kube_call c[KINDS] = { 0 };
	enum target_kind kinds[KINDS];
	json_t *paths = json_array();
	int n = 0, listed = 0, refused = 0;

	for (int i = 0; i < KINDS; i++) {
		if (wanted && !wanted[order[i]])
			continue;
		kinds[n] = order[i];
		kube_kind_path(c[n++].path, order[i], namespace, NULL);
	}
	if (kube_perform(k, c, (size_t)n, err) < 0) {
		json_decref(paths);
		return NULL;
	}
	for (int i = 0; i < n; i++) {
		if (kube_call_succeeded(&c[i])) {
			add_paths(kinds[i], c[i].answer, paths);
			listed++;
		} else if (c[i].status != 404) { /* Argo's rollouts are in few clusters */
			kube_call_refuse(k, &c[i], "list targets", err);
			log_info("kube: %s", err->text);
			refused++;
		}
		kube_call_fini(&c[i]);
	}
	if (!refused || listed) {
		*err = (struct error){ 0 };
		return paths;
	}
	json_decref(paths);
	return NULL;
}

json_t *kube_list_namespaces(struct kube *k)
{
	struct kube_call c = { .path = "/api/v1/namespaces" };
	json_t *names = json_array(), *object;
	struct error err = { 0 };
	size_t i;

	if (kube_perform(k, &c, 1, &err) < 0) {
		log_info("kube: %s", err.text);
		return names;
	}
	if (kube_call_succeeded(&c))
		json_array_foreach(json_object_get(c.answer, "items"), i, object)
		{
			json_array_append(names, json_object_get(json_object_get(object, "metadata"), "name"));
		}
	kube_call_fini(&c);
	return names;
}
