// SPDX-License-Identifier: MIT
/* Which ways are allowed: all questions in one round trip. The job is tried without being made (dryRun), which RBAC and admission answer as they
 * would the real one. Pod Security forbids a job's pod later, when there is nobody to be told; so its word is taken from the namespace's
 * label, or, where that may not be read, from the warning that comes with the job's answer. That one may be of a stricter level than what is
 * enforced, so the job is tried last then. */
#include "kube/ways.h"

#include <string.h>

#include "base/log.h"
#include "kube/access_review.h"

/* The questions. */
enum { TRY_JOB, MAY_EXEC_THERE, MAY_ADD_CONTAINER, MAY_EXEC_HERE, JOB_NAMESPACE, TARGET_NAMESPACE, QUESTIONS };

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

static int choose(const struct kube_settings *s, const struct kube_call *c, enum kube_way ret[KUBE_WAYS_MAX])
{
	bool job = c[TRY_JOB].status != 403 && kube_may(&c[MAY_EXEC_THERE]) && admits_privileges(&c[JOB_NAMESPACE]);
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
		     enum kube_way ret[KUBE_WAYS_MAX], struct error *err)
{
	struct kube_call c[QUESTIONS] = { 0 };
	int n;

	if (t->kind == TARGET_TARGETLESS && s->image_of_target) {
		error_set(err, 0, "agent.image is \"target\", and there is no target whose image that would be");
		return -1;
	}
	if (t->kind == TARGET_TARGETLESS) {
		ret[0] = KUBE_WAY_TARGETLESS;
		return 1;
	}
	c[TRY_JOB].method = "POST";
	kube_path(c[TRY_JOB].path, sizeof(c[0].path), "/apis/batch/v1/namespaces/%s/jobs?dryRun=All", job_namespace);
	c[TRY_JOB].body = kube_agent_job(KUBE_WAY_JOB, KUBE_AGENT_CONTAINER, s, p);
	kube_ask_access(&c[MAY_EXEC_THERE], job_namespace, "", "pods/exec", "create");
	kube_ask_access(&c[MAY_ADD_CONTAINER], p->namespace, "", "pods/ephemeralcontainers", "patch");
	kube_ask_access(&c[MAY_EXEC_HERE], p->namespace, "", "pods/exec", "create");
	kube_path(c[JOB_NAMESPACE].path, sizeof(c[0].path), "/api/v1/namespaces/%s", job_namespace);
	kube_path(c[TARGET_NAMESPACE].path, sizeof(c[0].path), "/api/v1/namespaces/%s", p->namespace);
	n = kube_perform(k, c, QUESTIONS, err) < 0 ? -1 : choose(s, c, ret);
	for (int i = 0; i < QUESTIONS; i++) {
		kube_call_fini(&c[i]);
		json_decref(c[i].body);
	}
	for (int i = 0; i < n; i++)
		log_debug("kube: way %d: %s", i + 1, kube_way_describe(ret[i]));
	return n;
}
