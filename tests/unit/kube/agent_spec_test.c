// SPDX-License-Identifier: MIT
/* The agent's job and container: what each way asks for, what the settings change, and who owns the parts (the sanitizers look on). */
#include "kube/agent_spec.h"

#include <stdlib.h>
#include <string.h>

#include "config/arena.h"
#include "kube/json.h"
#include "tap.h"

static const struct kube_settings plain = { .pull_policy = "IfNotPresent", .ttl = 1, .startup_timeout = 60, .wait = 30 };

static struct kube_place place(void)
{
	struct kube_place p = { .namespace = "shop", .pod = "web-1", .node = "node1", .container = "app", .container_id = "abc" };

	p.object = json_loads("{\"spec\":{\"containers\":[{\"name\":\"side\",\"env\":[{\"name\":\"A\"}]},"
			      "{\"name\":\"app\",\"image\":\"shop:7\","
			      "\"env\":[{\"name\":\"B\"}],\"envFrom\":[{\"configMapRef\":{\"name\":\"c\"}}]}]}}",
			      0, NULL);
	return p;
}

/* "a b c" */
static const char *words(const json_t *array)
{
	static char text[400];
	json_t *word;
	size_t i;

	text[0] = '\0';
	json_array_foreach((json_t *)array, i, word)
	{
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "", json_string_value(word));
	}
	return text;
}

static const json_t *container_of_job(const json_t *job)
{
	return json_array_get(kube_dig(job, "spec.template.spec.containers"), 0);
}

static void test_jobs(void)
{
	static const struct {
		enum kube_way way;
		bool host;
		const char *capabilities;
	} rows[] = {
		{ KUBE_WAY_JOB, true, "SYS_ADMIN SYS_PTRACE NET_ADMIN NET_RAW SETUID SETGID NET_BIND_SERVICE" },
		{ KUBE_WAY_TARGETLESS, false, "" },
	};

	for (size_t i = 0; i < 2; i++) {
		struct kube_place p = place();
		json_t *job = kube_agent_job(rows[i].way, "mirrord-agent-x", &plain, &p), *copy = json_deep_copy(job);
		const json_t *main = container_of_job(job), *spec = kube_dig(job, "spec.template.spec");

		tap_str(kube_text(kube_dig(job, "metadata"), "name"), "mirrord-agent-x", "way %zu: its name", i);
		tap_ok(json_is_true(json_object_get(spec, "hostPID")) == rows[i].host, "way %zu: hostPID", i);
		tap_str(kube_text(spec, "nodeName"), rows[i].host ? "node1" : "", "way %zu: its node", i);
		tap_str(words(kube_dig(main, "securityContext.capabilities.add")), rows[i].capabilities, "way %zu: its capabilities", i);
		tap_str(words(kube_dig(main, "securityContext.capabilities.drop")), "ALL", "way %zu: all others are dropped", i);
		tap_str(words(json_object_get(main, "command")), "mirrord-agent idle --name mirrord-agent --wait 30", "way %zu: what runs", i);
		tap_str(kube_text(kube_dig(job, "spec.template.metadata.labels"), "app"), "mirrord", "way %zu: its pod's label", i);
		json_decref(job);
		tap_str(kube_text(kube_dig(copy, "metadata.labels"), "app.kubernetes.io/managed-by"), "mirrord", "way %zu: whose it is", i);
		json_decref(copy);
		kube_place_fini(&p);
	}
}

/* Labels are the job's and the pod's: two owners, each of whom lets go. */
static void test_owners(void)
{
	struct kube_place p = place();
	json_t *job = kube_agent_job(KUBE_WAY_JOB, "x", &plain, &p);
	json_t *labels = json_incref(kube_dig(job, "metadata.labels"));

	json_decref(job);
	tap_ok(labels->refcount == 1, "nobody but us has the labels any more: %zu", labels->refcount);
	tap_str(kube_text(labels, "app"), "mirrord", "and they are whole");
	json_decref(labels);
	kube_place_fini(&p);
}

static void test_settings(void)
{
	struct kube_settings s = plain;
	char *disabled[] = { (char *)"SYS_ADMIN", (char *)"NET_RAW" };
	struct kube_place p = place();
	json_t *job;

	s.image = "registry/agent:1";
	s.labels = json_pack("{s:s}", "team", "a");
	s.disabled_capabilities = (struct config_strings){ .items = disabled, .n = 2, .set = true };
	s.service_account = "agent";
	s.tolerations = json_pack("[{s:s}]", "key", "x");
	job = kube_agent_job(KUBE_WAY_JOB, "x", &s, &p);
	tap_str(kube_text(container_of_job(job), "image"), "registry/agent:1", "image");
	tap_str(kube_text(kube_dig(job, "metadata.labels"), "team"), "a", "labels");
	tap_str(kube_text(kube_dig(job, "metadata.labels"), "sidecar.istio.io/inject"), "false", "no mesh");
	tap_str(words(kube_dig(container_of_job(job), "securityContext.capabilities.add")), "SYS_PTRACE NET_ADMIN SETUID SETGID NET_BIND_SERVICE",
		"capabilities that are left");
	tap_str(kube_text(kube_dig(job, "spec.template.spec"), "serviceAccountName"), "agent", "service account");
	tap_ok(json_equal(kube_dig(job, "spec.template.spec.tolerations"), s.tolerations), "tolerations");
	json_decref(job);
	s.privileged = s.in_mesh = true;
	job = kube_agent_job(KUBE_WAY_JOB, "x", &s, &p);
	tap_ok(json_is_true(kube_dig(container_of_job(job), "securityContext.privileged")), "privileged");
	tap_str(kube_text(kube_dig(job, "metadata.labels"), "sidecar.istio.io/inject"), "", "in the mesh");
	json_decref(job);
	json_decref(s.labels);
	json_decref(s.tolerations);
	kube_place_fini(&p);
}

static void test_patches(void)
{
	static const enum kube_way ways[] = { KUBE_WAY_EPHEMERAL, KUBE_WAY_PLAIN };

	for (size_t i = 0; i < 2; i++) {
		struct kube_place p = place();
		json_t *patch = kube_agent_patch(ways[i], "mirrord-agent-x", &plain, &p);
		const json_t *main = json_array_get(kube_dig(patch, "spec.ephemeralContainers"), 0);

		tap_str(kube_text(main, "targetContainerName"), "app", "way %zu: beside the target's process", i);
		tap_str(kube_text(json_array_get(json_object_get(main, "env"), 0), "name"), "B", "way %zu: with its environment", i);
		tap_ok(json_array_size(json_object_get(main, "envFrom")) == 1, "way %zu: also from config maps", i);
		tap_ok(!json_object_get(main, "resources"), "way %zu: it may not have resources", i);
		tap_ok(json_is_true(kube_dig(main, "securityContext.runAsNonRoot")) == (ways[i] == KUBE_WAY_PLAIN), "way %zu: its user", i);
		json_decref(patch);
		kube_place_fini(&p);
	}
}

/* `agent.image: target`: a shell of that image waits for the agent. */
static void test_image_of_target(void)
{
	struct kube_settings s = plain;
	struct kube_place p = place();
	const json_t *main;
	json_t *patch;

	s.image_of_target = true;
	patch = kube_agent_patch(KUBE_WAY_EPHEMERAL, "mirrord-agent-x", &s, &p);
	main = json_array_get(kube_dig(patch, "spec.ephemeralContainers"), 0);
	tap_str(kube_text(main, "image"), "shop:7", "the target's image");
	tap_str(kube_text(main, "imagePullPolicy"), "IfNotPresent", "which is on the node");
	tap_str(json_string_value(json_array_get(json_object_get(main, "command"), 0)), "sh", "a shell");
	tap_str(json_string_value(json_array_get(json_object_get(main, "command"), 3)), "mirrord-agent-x", "that knows for whom it waits");
	tap_str(json_string_value(json_array_get(json_object_get(main, "command"), 4)), "300", "and for how many tenths of a second");
	tap_ok(json_is_false(kube_dig(main, "securityContext.readOnlyRootFilesystem")), "the agent can be written there");
	tap_str(words(kube_dig(main, "securityContext.capabilities.drop")), "ALL", "with the same rights");
	json_decref(patch);
	kube_place_fini(&p);
}

/* agent.image in two parts, either of which may be missing. */
static void test_image_of_parts(void)
{
	static struct {
		char image[8], registry[8], tag[8]; /* "": none */
		const char *want;
	} rows[] = {
		{ "", "r/i", "t", "r/i:t" },
		{ "", "", "t", KUBE_AGENT_REGISTRY ":t" },
		{ "", "r/i", "", "r/i:" }, /* and this version */
		{ "whole", "r/i", "t", "whole" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct config c = { .arena = arena_new(), .agent_image = *rows[i].image ? rows[i].image : NULL,
					  .agent_image_registry = *rows[i].registry ? rows[i].registry : NULL,
					  .agent_image_tag = *rows[i].tag ? rows[i].tag : NULL };
		size_t len = strlen(rows[i].want);
		struct kube_settings s;

		kube_settings_read(&c, &s);
		tap_ok(strncmp(s.image, rows[i].want, len) == 0 && !s.image[len] == (rows[i].want[len - 1] != ':'), "an image of %s: %s",
		       rows[i].want, s.image);
		kube_settings_fini(&s);
		arena_free(c.arena);
	}
}

int main(void)
{
	test_jobs();
	test_owners();
	test_settings();
	test_patches();
	test_image_of_target();
	test_image_of_parts();
	return tap_done();
}
