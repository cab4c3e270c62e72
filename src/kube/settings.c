// SPDX-License-Identifier: MIT
/* From the configuration. */
#include "kube/settings.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/arena.h"
#include "config/node.h"

static const char *const pull_policies[] = {
	[IMAGE_PULL_IF_NOT_PRESENT] = "IfNotPresent",
	[IMAGE_PULL_ALWAYS] = "Always",
	[IMAGE_PULL_NEVER] = "Never",
};
static_assert(sizeof(pull_policies) / sizeof(pull_policies[0]) == IMAGE_PULL_NEVER + 1, "a word for each policy");

static json_t *json_of(struct arena *a, const struct node *n)
{
	return n ? json_loads(node_to_json(a, n), JSON_DECODE_ANY, NULL) : NULL;
}

static json_t *map_of(const struct config_map *m)
{
	json_t *object = m->n ? json_object() : NULL;

	for (size_t i = 0; object && i < m->n; i++)
		json_object_set_new(object, m->items[i].name, json_string(m->items[i].value));
	return object;
}

/* A list of files with ":" between, each perhaps below the home directory. */
static char *expand_home(const char *files)
{
	const char *home = getenv("HOME");
	char *all = strdup(""), *copy = strdup(files), *rest = copy, *more;

	for (char *file; all && rest && (file = strsep(&rest, ":")); all = more) {
		bool in_home = home && file[0] == '~' && file[1] == '/';

		if (asprintf(&more, "%s%s%s%s", all, *all ? ":" : "", in_home ? home : "", in_home ? file + 1 : file) < 0)
			more = NULL;
		free(all);
	}
	free(copy);
	return all;
}

/* Of its parts the one that isn't said is this version's own. NULL: both. */
static const char *image_of(const struct config *c)
{
	const char *registry = c->agent_image_registry, *tag = c->agent_image_tag;

	if (c->agent_image || (!registry && !tag))
		return c->agent_image;
	return arena_format(c->arena, "%s:%s", registry ? registry : KUBE_AGENT_REGISTRY, tag ? tag : VERSION);
}

void kube_settings_read(const struct config *c, struct kube_settings *ret)
{
	bool unsaid = c->sources[KEY_agent_ephemeral].origin == ORIGIN_DEFAULT;

	*ret = (struct kube_settings){
		.directory = getcwd(NULL, 0),
		.kubeconfig = c->kubeconfig ? expand_home(c->kubeconfig) : NULL,
		.context = c->kube_context,
		.namespace = c->target_namespace,
		.agent_namespace = c->agent_namespace,
		.image = image_of(c),
		.image_of_target = c->agent_image && strcmp(c->agent_image, "target") == 0,
		.pull_policy = pull_policies[c->agent_image_pull_policy],
		.service_account = c->agent_service_account,
		.priority_class = c->agent_priority_class,
		.ephemeral = unsaid ? KUBE_EPHEMERAL_AUTO : c->agent_ephemeral ? KUBE_EPHEMERAL_YES : KUBE_EPHEMERAL_NO,
		.insecure = c->accept_invalid_certificates,
		.ignore_proxy = !c->use_proxy,
		.privileged = c->agent_privileged,
		.allow_host_network = c->agent_allow_host_network,
		.in_mesh = !c->agent_disable_mesh_sidecar_injection,
		.disabled_capabilities = c->agent_disabled_capabilities,
		.ttl = (unsigned int)c->agent_ttl,
		.startup_timeout = (unsigned int)c->agent_startup_timeout,
		.retries = (unsigned int)c->startup_retry_max_retries,
		.retry_min_ms = (unsigned int)c->startup_retry_min_ms,
		.retry_max_ms = (unsigned int)c->startup_retry_max_ms,
		.wait = (unsigned int)c->agent_communication_timeout,
		.labels = map_of(&c->agent_labels),
		.annotations = map_of(&c->agent_annotations),
		.tolerations = json_of(c->arena, c->agent_tolerations),
		.node_selector = map_of(&c->agent_node_selector),
		.resources = json_of(c->arena, c->agent_resources),
		.pull_secrets = json_of(c->arena, c->agent_image_pull_secrets),
		.security_context = json_of(c->arena, c->agent_security_context),
	};
}

void kube_settings_fini(struct kube_settings *s)
{
	json_t *const values[] = { s->labels, s->annotations, s->tolerations, s->node_selector, s->resources, s->pull_secrets, s->security_context };

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		json_decref(values[i]);
	kube_credential_fini(&s->credential);
	free(s->directory);
	free(s->kubeconfig);
	*s = (struct kube_settings){ 0 };
}
