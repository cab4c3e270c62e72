// SPDX-License-Identifier: MIT
/* What could be a target. */
#pragma once

#include "kube/client.h"
#include "target/target.h"

/* Paths of targets in @namespace ("deployment/shop", "pod/shop-1/container/app") as a JSON array of strings, the workloads first, then pods:
 * those that run now. @wanted: one bool per kind, NULL for all. Kinds that may not be listed, or that the cluster doesn't have, are left
 * out, unless that is all of them. NULL with @err. */
json_t *kube_list_targets(struct kube *k, const char *namespace, const bool *wanted, struct error *err);
/* Names of all namespaces; an empty array when they may not be listed. */
json_t *kube_list_namespaces(struct kube *k);
