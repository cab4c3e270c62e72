// SPDX-License-Identifier: MIT
/* Which ways of bringing the agent to its target the cluster allows. */
#pragma once

#include "kube/agent_spec.h"

enum { KUBE_WAYS_MAX = 3 };

/* What was found out. @left: names of jobs of agents that are over and stay there (kube/left.h), with blanks between; or "". */
struct kube_choice {
	enum kube_way ways[KUBE_WAYS_MAX];
	int n;
	char left[300];
};

/* The ways to be tried, the best first, by what the user may do (SelfSubjectAccessReview) and what Pod Security and admission admit in the
 * namespaces. What can't be found out counts as allowed; the attempt will tell. When nothing is allowed it is the first way all the same,
 * whose refusal is in the cluster's own words. Returns 0, or -1 with @err when the cluster can't be asked. */
int kube_ways_choose(struct kube *k, const struct kube_settings *s, const struct target *t, const struct kube_place *p, const char *job_namespace,
		     struct kube_choice *ret, struct error *err);
