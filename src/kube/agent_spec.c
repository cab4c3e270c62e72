// SPDX-License-Identifier: MIT
/* The agent's job and its ephemeral container.
 *
 * The container's own process only waits (`mirrord-agent idle`); the agent proper is started in it by exec, whose stream is the tunnel. It ends
 * when that stream does, and the waiting process ends when no agent is left: nothing stays when we are gone. */
#include "kube/agent_spec.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "kube/bring.h"

/* An agent that is told to end lets what it has be over, for ten seconds at most. */
enum { GRACE_SECONDS = 15 };

static const char *const descriptions[] = {
	[KUBE_WAY_JOB] = "a job on the target's node",
	[KUBE_WAY_EPHEMERAL] = "an ephemeral container in the target's pod",
	[KUBE_WAY_PLAIN] = "an ephemeral container without capabilities (nothing that comes in can be stolen or mirrored)",
	[KUBE_WAY_TARGETLESS] = "a job",
};
static_assert(sizeof(descriptions) / sizeof(descriptions[0]) == KUBE_WAY_TARGETLESS + 1, "a text for each way");

const char *kube_way_describe(enum kube_way way)
{
	return descriptions[way];
}

static const struct {
	const char *name;
	bool in_pod;
} capabilities[] = {
#define AGENT_CAPABILITY(name, in_pod) { #name, in_pod },
#include "config/agent_capability.def"
#undef AGENT_CAPABILITY
};

static bool is_disabled(const struct kube_settings *s, const char *capability)
{
	for (size_t i = 0; i < s->disabled_capabilities.n; i++)
		if (strcmp(s->disabled_capabilities.items[i], capability) == 0)
			return true;
	return false;
}

static json_t *capabilities_of(enum kube_way way, const struct kube_settings *s)
{
	json_t *add = json_array();

	for (size_t i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++)
		if ((way == KUBE_WAY_JOB || capabilities[i].in_pod) && !is_disabled(s, capabilities[i].name))
			json_array_append_new(add, json_string(capabilities[i].name));
	return json_pack("{s:[s], s:o}", "drop", "ALL", "add", add);
}

/* Two ways have capabilities. Without any, Pod Security's level "restricted" is kept. */
static json_t *security(enum kube_way way, const struct kube_settings *s)
{
	bool root = way == KUBE_WAY_JOB || way == KUBE_WAY_EPHEMERAL;
	json_t *context;

	if (root && s->privileged)
		context = json_pack("{s:i, s:b, s:b}", "runAsUser", 0, "runAsNonRoot", 0, "privileged", 1);
	else if (root)
		context = json_pack("{s:i, s:b, s:b, s:o}", "runAsUser", 0, "runAsNonRoot", 0, "readOnlyRootFilesystem", 1, "capabilities",
				    capabilities_of(way, s));
	else
		context = json_pack("{s:i, s:i, s:b, s:b, s:b, s:{s:[s]}, s:{s:s}}", "runAsUser", 65534, "runAsGroup", 65534, "runAsNonRoot", 1,
				    "readOnlyRootFilesystem", 1, "allowPrivilegeEscalation", 0, "capabilities", "drop", "ALL", "seccompProfile",
				    "type", "RuntimeDefault");
	if (s->security_context)
		json_object_update(context, s->security_context);
	return context;
}

/* It is on the node, since the target runs; its root file system has to take the agent. */
static json_t *container_of_target_image(enum kube_way way, const char *name, const struct kube_settings *s, const struct kube_place *p)
{
	char wait[16], tenths[16];
	json_t *context = security(way, s);

	snprintf(wait, sizeof(wait), "%u", s->wait);
	snprintf(tenths, sizeof(tenths), "%u", s->wait * 10);
	json_object_set_new(context, "readOnlyRootFilesystem", json_false());
	return json_pack("{s:s, s:O?, s:s, s:[s,s,s,s,s,s], s:o}", "name", name, "image",
			 json_object_get(kube_container(p->object, p->container), "image"), "imagePullPolicy", "IfNotPresent", "command", "sh",
			 "-c", kube_bring_wait, name, tenths, wait, "securityContext", context);
}

static json_t *container(enum kube_way way, const char *name, const struct kube_settings *s, const struct kube_place *p)
{
	char wait[16];

	if (s->image_of_target)
		return container_of_target_image(way, name, s, p);
	snprintf(wait, sizeof(wait), "%u", s->wait);
	return json_pack("{s:s, s:s, s:s, s:[s,s,s,s,s,s], s:o}", "name", name, "image", s->image ? s->image : KUBE_AGENT_IMAGE, "imagePullPolicy",
			 s->pull_policy, "command", "mirrord-agent", "idle", "--name", name, "--wait", wait,
			 "securityContext", security(way, s));
}

/* Side-cars of a mesh would only be in the way, and keep the job from ending. */
static json_t *job_labels(const struct kube_settings *s)
{
	json_t *labels = json_pack("{s:s, s:s}", "app", "mirrord", "app.kubernetes.io/managed-by", "mirrord");

	if (!s->in_mesh) {
		json_object_set_new(labels, "kuma.io/sidecar-injection", json_string("disabled"));
		json_object_set_new(labels, "sidecar.istio.io/inject", json_string("false"));
	}
	if (s->labels)
		json_object_update(labels, s->labels);
	return labels;
}

static json_t *job_annotations(const struct kube_settings *s, const struct kube_place *p)
{
	json_t *annotations = json_object();
	char target[400];

	if (!s->in_mesh) {
		json_object_set_new(annotations, "sidecar.istio.io/inject", json_string("false"));
		json_object_set_new(annotations, "linkerd.io/inject", json_string("disabled"));
	}
	snprintf(target, sizeof(target), "%s/%s/%s", p->namespace, p->pod, p->container);
	if (p->pod[0])
		json_object_set_new(annotations, "mirrord/target", json_string(target));
	if (s->annotations)
		json_object_update(annotations, s->annotations);
	return annotations;
}

static void set_text(json_t *object, const char *key, const char *value)
{
	if (value && *value)
		json_object_set_new(object, key, json_string(value));
}

static json_t *pod_spec(enum kube_way way, const struct kube_settings *s, const struct kube_place *p)
{
	json_t *main = container(way, KUBE_AGENT_CONTAINER, s, p), *spec;

	json_object_set_new(main, "resources", s->resources ? json_incref(s->resources) :
							      json_pack("{s:{s:s, s:s}, s:{s:s, s:s}}", "requests", "cpu", "1m", "memory",
									"1Mi", "limits", "cpu", "1", "memory", "256Mi"));
	spec = json_pack("{s:s, s:b, s:b, s:i, s:[o]}", "restartPolicy", "Never", "automountServiceAccountToken", 0, "enableServiceLinks", 0,
			 "terminationGracePeriodSeconds", GRACE_SECONDS, "containers", main);
	if (way == KUBE_WAY_JOB) { /* beside the target, whatever keeps others from that node */
		json_object_set_new(spec, "hostPID", json_true());
		set_text(spec, "nodeName", p->node);
		json_object_set_new(spec, "tolerations", json_pack("[{s:s}]", "operator", "Exists"));
	}
	if (s->tolerations)
		json_object_set(spec, "tolerations", s->tolerations);
	if (s->node_selector && way == KUBE_WAY_TARGETLESS)
		json_object_set(spec, "nodeSelector", s->node_selector);
	if (s->pull_secrets)
		json_object_set(spec, "imagePullSecrets", s->pull_secrets);
	set_text(spec, "serviceAccountName", s->service_account);
	set_text(spec, "priorityClassName", s->priority_class);
	return spec;
}

json_t *kube_agent_job(enum kube_way way, const char *name, const struct kube_settings *s, const struct kube_place *p)
{
	json_t *labels = job_labels(s), *annotations = job_annotations(s, p), *job;

	job = json_pack("{s:s, s:s, s:{s:s, s:O, s:O}, s:{s:i, s:i, s:{s:{s:O, s:O}, s:o}}}", "apiVersion", "batch/v1", "kind", "Job", "metadata",
			 "name", name, "labels", labels, "annotations", annotations, "spec", "backoffLimit", 0, "ttlSecondsAfterFinished",
			(int)s->ttl, "template", "metadata", "labels", labels, "annotations", annotations, "spec", pod_spec(way, s, p));
	json_decref(labels);
	json_decref(annotations);
	return job;
}

/* The target's own environment, as its spec tells it: the kubelet fills in what comes from config maps and secrets, and we need no right to
 * read those. */
static void copy_environment(json_t *main, const struct kube_place *p)
{
	static const char *const keys[] = { "env", "envFrom" };
	const json_t *c = kube_container(p->object, p->container);

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (json_object_get(c, keys[i]))
			json_object_set(main, keys[i], json_object_get(c, keys[i]));
}

json_t *kube_agent_patch(enum kube_way way, const char *name, const struct kube_settings *s, const struct kube_place *p)
{
	json_t *main = container(way, name, s, p);

	set_text(main, "targetContainerName", p->container);
	copy_environment(main, p);
	return json_pack("{s:{s:[o]}}", "spec", "ephemeralContainers", main);
}
