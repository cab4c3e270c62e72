// SPDX-License-Identifier: MIT
/* The kubelet's probes of a pod. */
#pragma once

#include <jansson.h>
#include <stddef.h>

/* The ports that are probed and how, as words: "8080 (GET /ready), 9000 (TCP)"; "" when there are none. Probes that run a command in the
 * container are no business of the network's. */
void kube_probes_print(const json_t *pod, char *out, size_t room);
