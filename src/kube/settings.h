// SPDX-License-Identifier: MIT
/* What the user asked for about the cluster and the agent in it. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "config/config.h"
#include "kube/credential.h"

enum kube_ephemeral { KUBE_EPHEMERAL_AUTO, KUBE_EPHEMERAL_NO, KUBE_EPHEMERAL_YES };

/* Strings are the configuration's; NULL is "not given". */
struct kube_settings {
	char *directory; /* what relative paths are relative to; NULL: the current one */
	char *kubeconfig;
	const char *context;
	const char *namespace;	     /* the target's; else the context's */
	const char *agent_namespace; /* of the agent's job; else the context's */
	const char *image;	     /* else KUBE_AGENT_IMAGE */
	bool image_of_target;	     /* `agent.image: target`: the agent is brought into it */
	const char *pull_policy;
	const char *service_account, *priority_class;
	enum kube_ephemeral ephemeral;
	enum config_tri insecure; /* the API server's certificate is not checked; unset: as the kubeconfig says */
	bool ignore_proxy, privileged, in_mesh, allow_host_network;
	struct config_strings disabled_capabilities;
	unsigned int ttl;	      /* seconds that a finished job stays */
	unsigned int startup_timeout; /* seconds */
	unsigned int retries, retry_min_ms, retry_max_ms; /* of a failed request */
	unsigned int wait;	      /* seconds that the agent's container waits for its first agent */
	/* As they go into the pod; NULL: none. */
	json_t *labels, *annotations, *tolerations, *node_selector, *resources, *pull_secrets, *security_context;
	struct kube_credential credential; /* of a plugin that ran already (kube_let_ask()) */
};

#define KUBE_AGENT_REGISTRY "localhost/mirrord-agent"
#define KUBE_AGENT_IMAGE    KUBE_AGENT_REGISTRY ":" VERSION

/* @c outlives what is read from it. */
void kube_settings_read(const struct config *c, struct kube_settings *ret);
void kube_settings_fini(struct kube_settings *s);
