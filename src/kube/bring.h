// SPDX-License-Identifier: MIT
/* The agent in a container of an image that hasn't got it (`agent.image: target`): brought over exec. */
#pragma once

#include "kube/client.h"

/* What such a container's first process runs by `sh -c`, with the container's name, how many tenths of a second it waits for the agent, and what
 * that is given as --wait: it becomes `mirrord-agent idle` when the agent is there. */
extern const char kube_bring_wait[];

/* Brings this machine's agent into a container that runs; *ret is how it is called there. Returns 0, or -1 with @err. */
int kube_bring(struct kube *k, const char *namespace, const char *pod, const char *container, char ret[300], struct error *err);
