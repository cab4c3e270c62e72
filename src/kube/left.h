// SPDX-License-Identifier: MIT
/* Jobs of agents that are over and stay, as they do where nothing in the cluster obeys their ttl. */
#pragma once

#include "kube/client.h"

/* Makes @c the question for a namespace's. Who may not list jobs gets an answer that has none. */
void kube_left_ask(struct kube_call *c, const char *namespace);
/* The name of the next one in the answer, which owns it, or NULL; *i begins with 0. */
const char *kube_left_next(const struct kube_call *c, size_t *i);
