// SPDX-License-Identifier: MIT
/* Bringing the agent into the cluster.
 *
 * What keeps it from running is told at once, in the cluster's words, not after a time-out: an image that can't be pulled (the container's
 * state), a quota or an admission rule (events of the job: the pod is never made), a full node (the pod fails). What may pass by itself is
 * told when the time is over. */
#include "kube/deploy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "kube/bring.h"
#include "kube/json.h"
#include "kube/status.h"
#include "kube/ways.h"

struct deployment {
	struct kube *kube;
	const struct kube_settings *settings;
	const struct target *target;
	const struct kube_place *place;
	kube_progress *progress;
	void *arg;
	struct kube_agent agent;
	char told[400]; /* the last line of progress */
	char last[700]; /* what stands in the way, as far as it isn't final */
};

static void tell(struct deployment *d, const char *line)
{
	if (strcmp(d->told, line) == 0)
		return;
	snprintf(d->told, sizeof(d->told), "%s", line);
	log_info("kube: agent: %s", line);
	if (d->progress)
		d->progress(d->arg, line);
}

static int random_name(char out[64], struct error *err)
{
	static const char letters[] = "bcdfghjklmnpqrstvwxz2456789";
	uint8_t bytes[10];
	int n = snprintf(out, 64, "mirrord-agent-");

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return error_set(err, errno, "draw random bytes");
	for (size_t i = 0; i < sizeof(bytes); i++)
		out[n++] = letters[bytes[i] % (sizeof(letters) - 1)];
	out[n] = '\0';
	return 0;
}

static const char *image_of(const struct deployment *d)
{
	return d->settings->image ? d->settings->image : KUBE_AGENT_IMAGE;
}

static int hint_of_shell(struct error *err)
{
	return error_hint(err, "agent.image: target needs a shell (sh) in the target's image; where there is none, the agent needs an image of "
			       "its own");
}

/* States of a container that last until somebody changes something. */
static int check_waiting(const struct deployment *d, const json_t *waiting, struct error *err)
{
	static const char *const images[] = { "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError" };
	static const char *const others[] = { "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "CrashLoopBackOff",
					      "StartError" };
	const char *reason = kube_text(waiting, "reason"), *message = kube_text(waiting, "message");
	size_t i;

	for (i = 0; i < sizeof(images) / sizeof(images[0]); i++) {
		if (strcmp(reason, images[i]) != 0)
			continue;
		error_set(err, 0, "the agent's image can't be had: %s: %.600s", reason, message);
		return error_hint(err, "agent.image is %s; docs/kubernetes.md shows how to bring it to the nodes or into a registry", image_of(d));
	}
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (strcmp(reason, others[i]) == 0)
			break;
	if (i == sizeof(others) / sizeof(others[0]))
		return 0;
	error_set(err, 0, "the agent can't be started: %s: %.600s", reason, message);
	return d->settings->image_of_target ? hint_of_shell(err) : -1;
}

static int refuse_ended(const struct deployment *d, const json_t *terminated, struct error *err)
{
	error_set(err, 0, "the agent ended at once, with status %lld: %s %.500s",
		  (long long)json_integer_value(json_object_get(terminated, "exitCode")), kube_text(terminated, "reason"),
		  kube_text(terminated, "message"));
	if (d->settings->image_of_target)
		return hint_of_shell(err);
	return error_hint(err, "`kubectl logs -n %s %s -c %s` may say more", d->agent.namespace, d->agent.pod, d->agent.container);
}

/* 1: it runs; 0: not yet; -1: it never will. */
static int check_container(struct deployment *d, const json_t *pod, struct error *err)
{
	bool ephemeral = !d->agent.job[0];
	const json_t *statuses = json_object_get(json_object_get(pod, "status"), ephemeral ? "ephemeralContainerStatuses" : "containerStatuses");
	json_t *c;
	size_t i;

	json_array_foreach((json_t *)statuses, i, c)
	{
		const json_t *state = json_object_get(c, "state");

		if (strcmp(kube_text(c, "name"), d->agent.container) != 0)
			continue;
		if (json_object_get(state, "running"))
			return 1;
		if (json_object_get(state, "terminated"))
			return refuse_ended(d, json_object_get(state, "terminated"), err);
		return check_waiting(d, json_object_get(state, "waiting"), err);
	}
	return 0;
}

static int check_pod(struct deployment *d, const json_t *pod, struct error *err)
{
	const json_t *status = json_object_get(pod, "status");
	json_t *condition;
	size_t i;

	if (strcmp(kube_text(status, "phase"), "Failed") == 0 && kube_text(status, "reason")[0])
		return error_set(err, 0, "the agent's pod failed: %s: %.600s", kube_text(status, "reason"), kube_text(status, "message"));
	json_array_foreach(json_object_get(status, "conditions"), i, condition)
	{
		if (strcmp(kube_text(condition, "type"), "PodScheduled") != 0)
			continue;
		if (strcmp(kube_text(condition, "status"), "True") == 0)
			tell(d, "scheduled");
		else
			snprintf(d->last, sizeof(d->last), "%s: %s", kube_text(condition, "reason"), kube_text(condition, "message"));
	}
	return check_container(d, pod, err);
}

static int on_pod(void *arg, const char *type, json_t *pod, struct error *err)
{
	struct deployment *d = arg;

	if (d->agent.job[0])
		snprintf(d->agent.pod, sizeof(d->agent.pod), "%s", kube_text(json_object_get(pod, "metadata"), "name"));
	if (strcmp(type, "DELETED") == 0)
		return error_set(err, 0, "pod %s was deleted while the agent started in it", d->agent.pod);
	return check_pod(d, pod, err);
}

/* Events of the job ("FailedCreate") and of the pod ("Pulling", "FailedScheduling"). */
static int on_event(void *arg, const char *type, json_t *event, struct error *err)
{
	struct deployment *d = arg;
	const char *reason = kube_text(event, "reason"), *message = kube_text(event, "message");

	if (strcmp(reason, "FailedCreate") == 0) {
		error_set(err, 0, "the agent's pod is not allowed: %.700s", message);
		if (strstr(message, "exceeded quota"))
			return error_hint(err, "the ResourceQuota of namespace %s is used up; agent.namespace names another", d->agent.namespace);
		if (strstr(message, "PodSecurity"))
			return error_hint(err, "agent.namespace names a namespace that allows it, agent.ephemeral puts the agent into the "
					       "target's pod");
		if (kube_status_is_denial(message))
			return kube_status_hint_denial(err);
		return error_hint(err, "`kubectl describe job -n %s %s` says the same", d->agent.namespace, d->agent.job);
	}
	if (strcmp(reason, "Pulling") == 0)
		tell(d, "pulling its image");
	else if (strcmp(kube_text(event, "type"), "Warning") == 0)
		snprintf(d->last, sizeof(d->last), "%s: %s", reason, message);
	return 0;
}

static int await(struct deployment *d, struct error *err)
{
	struct kube_watch w[2] = { { .on_object = on_pod, .arg = d }, { .on_object = on_event, .arg = d, .optional = true } };
	unsigned int seconds = d->settings->startup_timeout;
	char selector[400];
	int r;

	if (d->agent.job[0])
		snprintf(selector, sizeof(selector), "batch.kubernetes.io/job-name=%s", d->agent.job);
	else
		snprintf(selector, sizeof(selector), "metadata.name=%s", d->agent.pod);
	kube_path(w[0].path, sizeof(w[0].path),
		  d->agent.job[0] ? "/api/v1/namespaces/%s/pods?labelSelector=%s" : "/api/v1/namespaces/%s/pods?fieldSelector=%s",
		  d->agent.namespace, selector);
	snprintf(selector, sizeof(selector), "involvedObject.name=%s", d->agent.job[0] ? d->agent.job : d->agent.pod);
	kube_path(w[1].path, sizeof(w[1].path), "/api/v1/namespaces/%s/events?fieldSelector=%s", d->agent.namespace, selector);
	r = kube_watch(d->kube, w, d->agent.job[0] ? 2 : 1, (int64_t)seconds * 1000, err);
	if (r != 0)
		return r < 0 ? -1 : 0;
	error_set(err, 0, "the agent did not start within %u seconds%s%s", seconds, d->last[0] ? ": " : "", d->last);
	return error_hint(err, "`kubectl describe pod -n %s %s` says what it waits for; agent.startup_timeout gives it more time", d->agent.namespace,
			  d->agent.pod);
}

static const char *job_namespace(const struct deployment *d)
{
	return d->settings->agent_namespace ? d->settings->agent_namespace : kube_access_of(d->kube)->namespace;
}

static int create_job(struct deployment *d, struct error *err)
{
	const struct kube_settings *s = d->settings;
	struct kube_call c = { .method = "POST" };
	int r;

	snprintf(d->agent.namespace, sizeof(d->agent.namespace), "%s", d->agent.way == KUBE_WAY_JOB ? job_namespace(d) : d->place->namespace);
	snprintf(d->agent.container, sizeof(d->agent.container), KUBE_AGENT_CONTAINER);
	if (random_name(d->agent.job, err) < 0)
		return -1;
	kube_path(c.path, sizeof(c.path), "/apis/batch/v1/namespaces/%s/jobs", d->agent.namespace);
	c.body = kube_agent_job(d->agent.way, d->agent.job, s, d->place);
	r = c.body ? kube_do(d->kube, &c, NULL, "create the agent's job", err) : error_set(err, ENOMEM, "describe the agent's job");
	json_decref(c.body);
	return r;
}

static int create_container(struct deployment *d, struct error *err)
{
	struct kube_call c = { .method = "PATCH", .type = "application/strategic-merge-patch+json" };
	int r;

	snprintf(d->agent.namespace, sizeof(d->agent.namespace), "%s", d->place->namespace);
	snprintf(d->agent.pod, sizeof(d->agent.pod), "%s", d->place->pod);
	d->agent.job[0] = '\0';
	if (random_name(d->agent.container, err) < 0)
		return -1;
	kube_path(c.path, sizeof(c.path), "/api/v1/namespaces/%s/pods/%s/ephemeralcontainers", d->agent.namespace, d->agent.pod);
	c.body = kube_agent_patch(d->agent.way, d->agent.container, d->settings, d->place);
	r = c.body ? kube_do(d->kube, &c, NULL, "add the agent's ephemeral container to the pod", err) :
		     error_set(err, ENOMEM, "describe the agent's container");
	json_decref(c.body);
	return r;
}

void kube_agent_remove(struct kube *k, const struct kube_agent *a)
{
	struct kube_call c = { .method = "DELETE" };
	struct error err = { 0 };

	if (!a->job[0])
		return;
	c.body = json_pack("{s:s, s:i}", "propagationPolicy", "Background", "gracePeriodSeconds", 0);
	kube_path(c.path, sizeof(c.path), "/apis/batch/v1/namespaces/%s/jobs/%s", a->namespace, a->job);
	if (kube_do(k, &c, NULL, "delete the agent's job", &err) < 0)
		log_info("kube: %s", err.text); /* it ends by itself, and goes by its ttl */
	json_decref(c.body);
}

static int bring(struct deployment *d, struct error *err)
{
	struct kube_agent *a = &d->agent;

	if (!d->settings->image_of_target)
		return 0;
	tell(d, "bringing the program");
	return kube_bring(d->kube, a->namespace, a->pod, a->container, a->program, err);
}

static int try_way(struct deployment *d, enum kube_way way, struct error *err)
{
	bool job = way == KUBE_WAY_JOB || way == KUBE_WAY_TARGETLESS;

	d->agent = (struct kube_agent){ .way = way, .program = "mirrord-agent" };
	d->last[0] = '\0';
	if ((job ? create_job(d, err) : create_container(d, err)) < 0)
		return -1;
	tell(d, kube_way_describe(way));
	if (await(d, err) == 0 && bring(d, err) == 0)
		return 0;
	kube_set_cancel(d->kube, -1);
	kube_agent_remove(d->kube, &d->agent);
	return -1;
}

static void tell_left(struct deployment *d, const char *names)
{
	char line[400];

	snprintf(line, sizeof(line), "jobs of agents that are over stay: `kubectl -n %s delete job %s`", job_namespace(d), names);
	if (*names)
		tell(d, line);
}

/* Pod Security says so where the namespace's labels could not be read before. */
static bool is_pod_security(const struct error *e)
{
	return strstr(e->text, "violates PodSecurity") != NULL;
}

int kube_agent_deploy(struct kube *k, const struct kube_settings *s, const struct target *t, const struct kube_place *p, kube_progress *progress,
		      void *arg, struct kube_agent *ret, struct error *err)
{
	struct deployment d = { .kube = k, .settings = s, .target = t, .place = p, .progress = progress, .arg = arg };
	struct kube_choice choice;
	int cancel = kube_get_cancel(k);

	if (kube_ways_choose(k, s, t, p, job_namespace(&d), &choice, err) < 0)
		return -1;
	tell_left(&d, choice.left);
	for (int i = 0; i < choice.n; i++) {
		if (try_way(&d, choice.ways[i], err) == 0) {
			*ret = d.agent;
			return 0;
		}
		if (i + 1 == choice.n || !is_pod_security(err))
			return -1;
		log_info("kube: %s", err->text);
		*err = (struct error){ 0 };
		kube_set_cancel(k, cancel);
	}
	return -1;
}
