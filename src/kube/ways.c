// SPDX-License-Identifier: MIT
/* Which ways are allowed: all questions in one round trip. The job is tried without being made (dryRun), which RBAC and admission answer as they
 * would the real one. Pod Security forbids a job's pod later, when there is nobody to be told; so its word is taken from the namespace's
 * label, or, where that may not be read, from the warning that comes with the job's answer. That one may be of a stricter level than what is
 * enforced, so the job is tried last then. */
#include "kube/ways.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "kube/access_review.h"
#include "kube/left.h"
#include "kube/status.h"

/* The questions. */
enum { TRY_JOB, MAY_EXEC_THERE, MAY_ADD_CONTAINER, MAY_EXEC_HERE, JOB_NAMESPACE, TARGET_NAMESPACE, LEFT_JOBS, QUESTIONS };

/* Whether the namespace admits pods of level "privileged": the label says otherwise, where it may be read. */
static bool admits_privileges(const struct kube_call *c)
{
	const json_t *labels = json_object_get(json_object_get(c->answer, "metadata"), "labels");
	const char *level = json_string_value(json_object_get(labels, "pod-security.kubernetes.io/enforce"));

	return !level || strcmp(level, "privileged") == 0;
}

static bool is_doubtful(const struct kube_call *namespace, const struct kube_call *job)
{
	return !kube_call_succeeded(namespace) && strstr(job->warning, "PodSecurity");
}

/* By RBAC, a quota, or an admission rule, which answers with a status of its own. */
static bool is_refused(const struct kube_call *c)
{
	return c->status == 403 || kube_status_is_denial(json_string_value(json_object_get(c->answer, "message")));
}

/* As many as there is room for. */
static void list_left(const struct kube_call *c, char *out, size_t room)
{
	size_t i = 0, len = 0;
	const char *name;

	out[0] = '\0';
	while ((name = kube_left_next(c, &i)) && len + strlen(name) + 2 <= room)
		len += (size_t)snprintf(out + len, room - len, "%s%s", len ? " " : "", name);
}

static int choose(const struct kube_settings *s, const struct kube_call *c, enum kube_way ret[KUBE_WAYS_MAX])
{
	bool job = !is_refused(&c[TRY_JOB]) && kube_may(&c[MAY_EXEC_THERE]) && admits_privileges(&c[JOB_NAMESPACE]);
	bool in_pod = kube_may(&c[MAY_ADD_CONTAINER]) && kube_may(&c[MAY_EXEC_HERE]);
	bool only_in_pod = s->image_of_target || s->ephemeral == KUBE_EPHEMERAL_YES;
	bool last = is_doubtful(&c[JOB_NAMESPACE], &c[TRY_JOB]);
	int n = 0;

	if (!only_in_pod && (s->ephemeral == KUBE_EPHEMERAL_NO || (job && !last)))
		ret[n++] = KUBE_WAY_JOB;
	if (only_in_pod || (in_pod && s->ephemeral == KUBE_EPHEMERAL_AUTO)) {
		if (admits_privileges(&c[TARGET_NAMESPACE]))
			ret[n++] = KUBE_WAY_EPHEMERAL;
		ret[n++] = KUBE_WAY_PLAIN;
	}
	if (!only_in_pod && s->ephemeral == KUBE_EPHEMERAL_AUTO && job && last)
		ret[n++] = KUBE_WAY_JOB;
	if (n == 0)
		ret[n++] = KUBE_WAY_JOB;
	return n;
}

int kube_ways_choose(struct kube *k, const struct kube_settings *s, const struct target *t, const struct kube_place *p, const char *job_namespace,
		     struct kube_choice *ret, struct error *err)
{
	struct kube_call c[QUESTIONS] = { 0 };
	int r;

	*ret = (struct kube_choice){ .ways = { KUBE_WAY_TARGETLESS }, .n = 1 };
	if (t->kind == TARGET_TARGETLESS && s->image_of_target) {
		error_set(err, 0, "agent.image is \"target\", and there is no target whose image that would be");
		return -1;
	}
	if (t->kind == TARGET_TARGETLESS)
		return 0;
	c[TRY_JOB].method = "POST";
	kube_path(c[TRY_JOB].path, sizeof(c[0].path), "/apis/batch/v1/namespaces/%s/jobs?dryRun=All", job_namespace);
	c[TRY_JOB].body = kube_agent_job(KUBE_WAY_JOB, KUBE_AGENT_CONTAINER, s, p);
	kube_ask_access(&c[MAY_EXEC_THERE], job_namespace, "", "pods/exec", "create");
	kube_ask_access(&c[MAY_ADD_CONTAINER], p->namespace, "", "pods/ephemeralcontainers", "patch");
	kube_ask_access(&c[MAY_EXEC_HERE], p->namespace, "", "pods/exec", "create");
	kube_path(c[JOB_NAMESPACE].path, sizeof(c[0].path), "/api/v1/namespaces/%s", job_namespace);
	kube_path(c[TARGET_NAMESPACE].path, sizeof(c[0].path), "/api/v1/namespaces/%s", p->namespace);
	kube_left_ask(&c[LEFT_JOBS], job_namespace);
	r = kube_perform(k, c, QUESTIONS, err);
	if (r == 0) {
		ret->n = choose(s, c, ret->ways);
		list_left(&c[LEFT_JOBS], ret->left, sizeof(ret->left));
	}
	for (int i = 0; i < QUESTIONS; i++) {
		kube_call_fini(&c[i]);
		json_decref(c[i].body);
	}
	for (int i = 0; r == 0 && i < ret->n; i++)
		log_debug("kube: way %d: %s", i + 1, kube_way_describe(ret->ways[i]));
	return r;
}
