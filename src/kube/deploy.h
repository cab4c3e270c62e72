// SPDX-License-Identifier: MIT
/* Bringing the agent into the cluster, and taking it away again. */
#pragma once

#include "kube/agent_spec.h"

/* An agent's container that runs. */
struct kube_agent {
	enum kube_way way;
	char namespace[64], pod[254], container[64];
	char job[64]; /* "" without one */
	char program[300]; /* mirrord-agent, as it is called in the container */
};

/* Told of each step, as a line for the user. May be NULL. */
typedef void kube_progress(void *arg, const char *line);

/* Creates the agent for @p in the way that @s asks for, or the first that the cluster allows, and waits until its container runs. Returns
 * 0, or -1 with @err in the cluster's own words; then nothing is left behind. */
int kube_agent_deploy(struct kube *k, const struct kube_settings *s, const struct target *t, const struct kube_place *p, kube_progress *progress,
		      void *arg, struct kube_agent *ret, struct error *err);
/* Deletes the job. An ephemeral container can't be removed; it ends by itself. */
void kube_agent_remove(struct kube *k, const struct kube_agent *a);
