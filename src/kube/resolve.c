// SPDX-License-Identifier: MIT
/* From a target's name to a pod and a container in it. A workload names its pods by a selector; a cron job has jobs; a rollout of Argo's may
 * leave the selector to a deployment. */
#include "kube/resolve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "kube/json.h"
#include "kube/kinds.h"

enum { SELECTOR_MAX = 900, LIST_MAX = 900 };

static const char *name_of(const json_t *object)
{
	return kube_text(json_object_get(object, "metadata"), "name");
}

static void append_name(char *list, const char *name)
{
	size_t n = strlen(list);

	if (n + strlen(name) + 8 < LIST_MAX)
		snprintf(list + n, LIST_MAX - n, "%s%s", n ? ", " : "", name);
	else if (n + 4 < LIST_MAX && strcmp(list + n - strlen("…"), "…") != 0)
		snprintf(list + n, LIST_MAX - n, ", …");
}

/* An agent's job or pod is nobody's target. */
static bool is_ours(const json_t *object)
{
	return strcmp(kube_text(kube_dig(object, "metadata.labels"), "app.kubernetes.io/managed-by"), "mirrord") == 0;
}

/* There is no such object: what there is of that kind, if we may know. */
static int refuse_name(struct kube *k, const struct target *t, const char *namespace, struct error *err)
{
	struct kube_call c = { 0 };
	const char *plural = kube_kind_plural(t->kind), **names, *near = NULL;
	char list[LIST_MAX] = "";
	const json_t *items;
	struct error ignored = { 0 };

	error_set(err, 0, "target %s: namespace %s has no %s called \"%s\"", t->text, namespace, target_kind_word(t->kind), t->name);
	kube_kind_path(c.path, t->kind, namespace, NULL);
	if (kube_perform(k, &c, 1, &ignored) < 0 || !kube_call_succeeded(&c)) {
		kube_call_fini(&c);
		return error_hint(err, "`kubectl get %s -A` lists them all; -n names another namespace, --context another cluster", plural);
	}
	items = json_object_get(c.answer, "items");
	names = calloc(json_array_size(items) + 1, sizeof(*names));
	for (size_t i = 0, n = 0; names && i < json_array_size(items); i++)
		if (!is_ours(json_array_get(items, i)))
			append_name(list, names[n++] = name_of(json_array_get(items, i)));
	if (names)
		near = nearest_word(t->name, names);
	if (near)
		error_hint(err, "did you mean %s/%s? There are: %s", target_kind_word(t->kind), near, list);
	else
		error_hint(err, "there %s%s; -n names another namespace, --context another cluster", list[0] ? "are: " : "are none", list);
	free(names);
	kube_call_fini(&c);
	return -1;
}

static int get(struct kube *k, const struct target *t, const char *namespace, json_t **ret, struct error *err)
{
	struct kube_call c = { 0 };
	char what[400];
	int r;

	kube_kind_path(c.path, t->kind, namespace, t->name);
	if (kube_perform(k, &c, 1, err) < 0)
		return error_wrap(err, "target %s", t->text);
	snprintf(what, sizeof(what), "target %s", t->text);
	if (kube_call_succeeded(&c)) {
		*ret = json_incref(c.answer);
		r = 0;
	} else if (c.status == 404 && kube_text(c.answer, "reason")[0]) {
		r = refuse_name(k, t, namespace, err);
	} else if (c.status == 404) {
		r = error_set(err, 0, "target %s: this cluster has no %s at all", t->text, kube_kind_plural(t->kind));
	} else {
		r = kube_call_refuse(k, &c, what, err);
	}
	kube_call_fini(&c);
	return r;
}

/* In any of the lists of @part; NULL without one. */
static const json_t *find_container(const json_t *part, const char *const lists[3], const char *name)
{
	json_t *c;
	size_t i;

	for (size_t l = 0; l < 3; l++)
		json_array_foreach(json_object_get(part, lists[l]), i, c)
		{
			if (strcmp(kube_text(c, "name"), name) == 0)
				return c;
		}
	return NULL;
}

static const json_t *container_status(const json_t *pod, const char *name)
{
	static const char *const lists[] = { "containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses" };

	return find_container(json_object_get(pod, "status"), lists, name);
}

const json_t *kube_container(const json_t *pod, const char *name)
{
	static const char *const lists[] = { "containers", "initContainers", "ephemeralContainers" };

	return find_container(json_object_get(pod, "spec"), lists, name);
}

bool kube_is_sidecar(const char *name)
{
	static const char *const sidecars[] = { "istio-proxy", "istio-init", "istio-validation", "linkerd-proxy", "linkerd-init",
						"kuma-sidecar", "kuma-init", "vault-agent", "vault-agent-init", "queue-proxy",
						"traffic-agent", NULL };

	for (const char *const *s = sidecars; *s; s++)
		if (strcmp(name, *s) == 0)
			return true;
	return strncmp(name, "mirrord-agent", 13) == 0;
}

/* "app, cache"; what is to run beside them all the time is one of them, though it starts with those that come before. */
static void list_containers(const json_t *pod, char list[LIST_MAX])
{
	json_t *c;
	size_t i;

	list[0] = '\0';
	json_array_foreach(kube_dig(pod, "spec.containers"), i, c)
	{
		append_name(list, kube_text(c, "name"));
	}
	json_array_foreach(kube_dig(pod, "spec.initContainers"), i, c)
	{
		if (strcmp(kube_text(c, "restartPolicy"), "Always") == 0)
			append_name(list, kube_text(c, "name"));
	}
}

static const char *default_container(const json_t *pod)
{
	const char *annotated = kube_text(kube_dig(pod, "metadata.annotations"), "kubectl.kubernetes.io/default-container");
	const json_t *containers = kube_dig(pod, "spec.containers");
	json_t *c;
	size_t i;

	json_array_foreach((json_t *)containers, i, c)
	{
		if (strcmp(kube_text(c, "name"), annotated) == 0)
			return annotated;
	}
	json_array_foreach((json_t *)containers, i, c)
	{
		if (!kube_is_sidecar(kube_text(c, "name")))
			return kube_text(c, "name");
	}
	return kube_text(json_array_get(containers, 0), "name");
}

/* What it waits for, how it ended, or, without a status of its own, what its pod waits for. */
static void describe_rest(const json_t *pod, const json_t *status, char *out, size_t room)
{
	const json_t *waiting = kube_dig(status, "state.waiting"), *ended = kube_dig(status, "state.terminated");
	const json_t *of_pod = json_object_get(pod, "status");
	json_t *condition;
	size_t i;

	out[0] = '\0';
	if (waiting)
		snprintf(out, room, "%s", kube_text(waiting, "reason"));
	else if (ended)
		snprintf(out, room, "it ended (%s, status %lld)", kube_text(ended, "reason"),
			 (long long)json_integer_value(json_object_get(ended, "exitCode")));
	else if (kube_text(of_pod, "reason")[0]) /* "Evicted" */
		snprintf(out, room, "%s: %s", kube_text(of_pod, "reason"), kube_text(of_pod, "message"));
	json_array_foreach(kube_dig(pod, "status.conditions"), i, condition)
	{
		if (!out[0] && strcmp(kube_text(condition, "status"), "False") == 0 && kube_text(condition, "message")[0])
			snprintf(out, room, "%s: %s", kube_text(condition, "reason"), kube_text(condition, "message"));
	}
}

static int refuse_container(const json_t *pod, const char *name, const json_t *status, struct error *err)
{
	char text[LIST_MAX];

	if (!status && !kube_container(pod, name)) {
		list_containers(pod, text);
		error_set(err, 0, "pod %s has no container called \"%s\"", name_of(pod), name);
		return error_hint(err, "there are: %s", text);
	}
	describe_rest(pod, status, text, sizeof(text));
	error_set(err, 0, "container %s of pod %s is not running%s%s", name, name_of(pod), text[0] ? ": " : "", text);
	return error_hint(err, "`kubectl describe pod -n %s %s` says more", kube_text(json_object_get(pod, "metadata"), "namespace"), name_of(pod));
}

int kube_choose_container(const json_t *pod, const char *wanted, struct kube_place *p, struct error *err)
{
	const char *name = wanted[0] ? wanted : default_container(pod);
	const json_t *status = container_status(pod, name);
	const char *id = strstr(kube_text(status, "containerID"), "://");

	if (!kube_dig(status, "state.running") || !id)
		return refuse_container(pod, name, status, err);
	snprintf(p->container, sizeof(p->container), "%s", name);
	snprintf(p->container_id, sizeof(p->container_id), "%s", id + 3);
	return 0;
}

bool kube_container_is_same(const json_t *pod, const struct kube_place *p)
{
	const json_t *status = container_status(pod, p->container);
	const char *id = strstr(kube_text(status, "containerID"), "://");

	return status && kube_dig(status, "state.running") && id && strcmp(id + 3, p->container_id) == 0;
}

/* 2: its container is ready, 1: it runs, 0: neither. One that is being deleted counts as neither. */
static int rate_pod(const json_t *pod, const char *container)
{
	const json_t *status = container_status(pod, container[0] ? container : default_container(pod));

	if (!status || kube_dig(pod, "metadata.deletionTimestamp") || !kube_dig(status, "state.running"))
		return 0;
	return json_is_true(json_object_get(status, "ready")) ? 2 : 1;
}

bool kube_pod_runs(const json_t *pod, const char *container)
{
	return rate_pod(pod, container) > 0;
}

json_t *kube_choose_pod(const json_t *list, const char *container)
{
	json_t *pod, *best = NULL;
	int best_rate = 0;
	size_t i;

	json_array_foreach(json_object_get(list, "items"), i, pod)
	{
		int rate = rate_pod(pod, container);

		if (rate > best_rate) {
			best = pod;
			best_rate = rate;
		}
	}
	return best;
}

/* Why a pod doesn't run, in a word. */
static const char *pod_state(const json_t *pod)
{
	json_t *c;
	size_t i;

	if (kube_dig(pod, "metadata.deletionTimestamp"))
		return "Terminating";
	json_array_foreach(kube_dig(pod, "status.containerStatuses"), i, c)
	{
		if (kube_text(kube_dig(c, "state.waiting"), "reason")[0])
			return kube_text(kube_dig(c, "state.waiting"), "reason");
	}
	return kube_text(json_object_get(pod, "status"), "phase");
}

static int refuse_pods(const struct target *t, const char *namespace, const char *selector, const json_t *pods, struct error *err)
{
	char list[LIST_MAX] = "", one[400];
	json_t *pod;
	size_t i;

	json_array_foreach(json_object_get(pods, "items"), i, pod)
	{
		snprintf(one, sizeof(one), "%s (%s)", name_of(pod), pod_state(pod));
		append_name(list, one);
	}
	error_set(err, 0, "target %s: no pod of it runs in namespace %s", t->text, namespace);
	if (!list[0])
		return error_hint(err, "none has the labels %s; is it scaled to zero?", selector);
	return error_hint(err, "there are: %s", list);
}

static int take_pod(const struct target *t, const json_t *pod, struct kube_place *p, struct error *err)
{
	if (kube_choose_container(pod, t->container, p, err) < 0)
		return error_wrap(err, "target %s", t->text);
	snprintf(p->pod, sizeof(p->pod), "%s", name_of(pod));
	snprintf(p->uid, sizeof(p->uid), "%s", kube_text(json_object_get(pod, "metadata"), "uid"));
	snprintf(p->node, sizeof(p->node), "%s", kube_text(json_object_get(pod, "spec"), "nodeName"));
	p->ready = rate_pod(pod, p->container) == 2;
	p->object = json_incref((json_t *)pod);
	return 0;
}

static void make_path(char out[1024], const char *namespace, const char *selector)
{
	kube_path(out, 1024, "/api/v1/namespaces/%s/pods?labelSelector=%s", namespace, selector);
}

static int resolve_selector(struct kube *k, const struct target *t, const char *selector, struct kube_place *p, struct error *err)
{
	struct kube_call c = { 0 };
	json_t *list = NULL, *pod;
	char what[400];
	int r;

	make_path(c.path, p->namespace, selector);
	snprintf(what, sizeof(what), "target %s", t->text);
	if (kube_do(k, &c, &list, what, err) < 0)
		return -1;
	pod = kube_choose_pod(list, t->container);
	r = pod ? take_pod(t, pod, p, err) : refuse_pods(t, p->namespace, selector, list, err);
	json_decref(list);
	return r;
}

/* A service's selector is plain labels. */
static int service_selector(const struct target *t, const json_t *object, char *out, size_t room, struct error *err)
{
	json_t *labels = json_pack("{s:O?}", "matchLabels", kube_dig(object, "spec.selector"));
	bool outside = strcmp(kube_text(json_object_get(object, "spec"), "type"), "ExternalName") == 0;

	kube_selector_print(labels, out, room);
	json_decref(labels);
	if (out[0])
		return 0;
	error_set(err, 0, "target %s: this service selects no pods%s", t->text, outside ? "; it is a name for something outside (ExternalName)" : "");
	return error_hint(err, "name a pod or a workload");
}

static bool is_owned_by(const json_t *object, const char *uid)
{
	json_t *owner;
	size_t i;

	json_array_foreach(kube_dig(object, "metadata.ownerReferences"), i, owner)
	{
		if (strcmp(kube_text(owner, "uid"), uid) == 0)
			return true;
	}
	return false;
}

/* The newest of the jobs that run, also one that was made by hand ("kubectl create job --from"), which status.active leaves out. */
static int cronjob_selector(struct kube *k, const struct target *t, const char *namespace, const json_t *object, char *out, size_t room,
			    struct error *err)
{
	const char *uid = kube_text(json_object_get(object, "metadata"), "uid"), *newest = "";
	struct kube_call c = { 0 };
	json_t *jobs, *job;
	size_t i;

	kube_kind_path(c.path, TARGET_JOB, namespace, NULL);
	if (kube_do(k, &c, &jobs, "list the jobs of the cron job", err) < 0)
		return -1;
	json_array_foreach(json_object_get(jobs, "items"), i, job)
	{
		const char *created = kube_text(json_object_get(job, "metadata"), "creationTimestamp");

		if (!is_owned_by(job, uid) || json_integer_value(kube_dig(job, "status.active")) < 1 || strcmp(created, newest) < 0)
			continue;
		newest = created;
		snprintf(out, room, "batch.kubernetes.io/job-name=%s", name_of(job));
	}
	json_decref(jobs);
	if (out[0])
		return 0;
	error_set(err, 0, "target %s: none of its jobs runs now", t->text);
	return error_hint(err, "`kubectl create job --from=cronjob/%s NAME -n %s` starts one", t->name, namespace);
}

/* Argo's rollout may refer to a deployment, whose selector counts then. */
static int rollout_selector(struct kube *k, const struct target *t, const char *namespace, const json_t *object, char *out, size_t room,
			    struct error *err)
{
	const char *name = kube_text(kube_dig(object, "spec.workloadRef"), "name");
	struct target deployment = *t;
	json_t *referred = NULL;

	if (!name[0]) {
		kube_selector_print(kube_dig(object, "spec.selector"), out, room);
		return 0;
	}
	deployment.kind = TARGET_DEPLOYMENT;
	snprintf(deployment.name, sizeof(deployment.name), "%s", name);
	if (get(k, &deployment, namespace, &referred, err) < 0)
		return -1;
	kube_selector_print(kube_dig(referred, "spec.selector"), out, room);
	json_decref(referred);
	return 0;
}

static int selector_of(struct kube *k, const struct target *t, const char *namespace, const json_t *object, char out[SELECTOR_MAX],
		       struct error *err)
{
	int r = 0;

	out[0] = '\0';
	if (t->kind == TARGET_SERVICE)
		r = service_selector(t, object, out, SELECTOR_MAX, err);
	else if (t->kind == TARGET_CRONJOB)
		r = cronjob_selector(k, t, namespace, object, out, SELECTOR_MAX, err);
	else if (t->kind == TARGET_ROLLOUT)
		r = rollout_selector(k, t, namespace, object, out, SELECTOR_MAX, err);
	else
		kube_selector_print(kube_dig(object, "spec.selector"), out, SELECTOR_MAX);
	return r == 0 && !out[0] ? error_set(err, 0, "target %s: it selects no pods", t->text) : r;
}

static int resolve_object(struct kube *k, const struct target *t, struct kube_place *p, struct error *err)
{
	char selector[SELECTOR_MAX];
	json_t *object = NULL;
	int r;

	if (get(k, t, p->namespace, &object, err) < 0)
		return -1;
	if (t->kind == TARGET_POD)
		r = take_pod(t, object, p, err);
	else
		r = selector_of(k, t, p->namespace, object, selector, err);
	if (r == 0 && t->kind != TARGET_POD)
		r = resolve_selector(k, t, selector, p, err);
	json_decref(object);
	return r;
}

int kube_pods_path(struct kube *k, const struct target *t, const char *namespace, char ret[1024], struct error *err)
{
	char selector[SELECTOR_MAX];
	json_t *object = NULL;
	int r = 0;

	if (t->kind != TARGET_LABEL && get(k, t, namespace, &object, err) < 0)
		return -1;
	if (object)
		r = selector_of(k, t, namespace, object, selector, err);
	if (r == 0)
		make_path(ret, namespace, object ? selector : t->name);
	json_decref(object);
	return r;
}

int kube_resolve(struct kube *k, const struct target *t, const char *namespace, struct kube_place *ret, struct error *err)
{
	struct kube_place p = { 0 };
	int r = 0;

	snprintf(p.namespace, sizeof(p.namespace), "%s", namespace);
	if (t->kind == TARGET_LABEL)
		r = resolve_selector(k, t, t->name, &p, err);
	else if (t->kind != TARGET_TARGETLESS)
		r = resolve_object(k, t, &p, err);
	if (r < 0) {
		kube_place_fini(&p);
		return -1;
	}
	*ret = p;
	return 0;
}

void kube_place_fini(struct kube_place *p)
{
	json_decref(p->object);
	p->object = NULL;
}
