// SPDX-License-Identifier: MIT
/* Which ways of bringing the agent to its target the cluster allows. */
#pragma once

#include "kube/agent_spec.h"

enum { KUBE_WAYS_MAX = 3 };

/* Writes the ways to be tried, the best first, and returns how many: what the user may do (SelfSubjectAccessReview) and what Pod Security
 * admits in the namespaces. What can't be found out counts as allowed; the attempt will tell. When nothing is allowed it is the first
 * way all the same, whose refusal is in the cluster's own words. Returns -1 with @err when the cluster can't be asked. */
int kube_ways_choose(struct kube *k, const struct kube_settings *s, const struct target *t, const struct kube_place *p, const char *job_namespace,
		     enum kube_way ret[KUBE_WAYS_MAX], struct error *err);
