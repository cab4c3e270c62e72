// SPDX-License-Identifier: MIT
#include "kube/left.h"

#include <string.h>

#include "kube/json.h"

enum { PATIENCE_S = 60 }; /* what obeys a ttl may be busy */

void kube_left_ask(struct kube_call *c, const char *namespace)
{
	kube_path(c->path, sizeof(c->path), "/apis/batch/v1/namespaces/%s/jobs?labelSelector=%s", namespace, "app=mirrord");
}

/* When it ended; 0: it hasn't. */
static time_t end_of(const json_t *job)
{
	json_t *condition;
	size_t i;

	json_array_foreach(kube_dig(job, "status.conditions"), i, condition)
	{
		const char *type = kube_text(condition, "type");

		if ((strcmp(type, "Complete") == 0 || strcmp(type, "Failed") == 0) && strcmp(kube_text(condition, "status"), "True") == 0)
			return kube_time(kube_text(condition, "lastTransitionTime"));
	}
	return 0;
}

static bool is_left(const json_t *job, time_t now)
{
	const json_t *ttl = kube_dig(job, "spec.ttlSecondsAfterFinished");
	time_t end = end_of(job);

	return end && (!ttl || end + json_integer_value(ttl) + PATIENCE_S < now);
}

const char *kube_left_next(const struct kube_call *c, size_t *i)
{
	const json_t *jobs = kube_call_succeeded(c) ? json_object_get(c->answer, "items") : NULL;

	while (*i < json_array_size(jobs)) {
		const json_t *job = json_array_get(jobs, (*i)++);

		if (is_left(job, c->date ? c->date : time(NULL)))
			return kube_text(json_object_get(job, "metadata"), "name");
	}
	return NULL;
}
