// SPDX-License-Identifier: MIT
/* The objects that bring the agent into a cluster. Each asks for the least that its way needs (docs/permissions.md). */
#pragma once

#include "kube/resolve.h"
#include "kube/settings.h"

/* JOB: a pod on the target's node that enters the container's namespaces. EPHEMERAL: a container in the target's pod, with what it takes to
 * redirect. PLAIN: the same without any capability: what goes out, names and environment alone. TARGETLESS: a pod like any other. */
enum kube_way { KUBE_WAY_JOB, KUBE_WAY_EPHEMERAL, KUBE_WAY_PLAIN, KUBE_WAY_TARGETLESS };

/* "a job on the target's node". */
const char *kube_way_describe(enum kube_way way);

#define KUBE_AGENT_CONTAINER "mirrord-agent"

/* The job (JOB, TARGETLESS) called @name. NULL without memory. */
json_t *kube_agent_job(enum kube_way way, const char *name, const struct kube_settings *s, const struct kube_place *p);
/* The patch of the pod's ephemeralcontainers (EPHEMERAL, PLAIN) that adds a container called @name. NULL without memory. */
json_t *kube_agent_patch(enum kube_way way, const char *name, const struct kube_settings *s, const struct kube_place *p);
