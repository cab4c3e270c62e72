// SPDX-License-Identifier: MIT
/* A process that tells which pods a target has, so that the session needs no word with the cluster. Every pod that runs is told, again and again:
 * who listens knows which of them are news, and a pod that is no more isn't told. */
#pragma once

#include "base/log.h"
#include "kube/settings.h"
#include "target/target.h"

struct kube_replica {
	char pod[254], uid[64];
};

struct kube_replicas_options {
	const struct target *target;
	const struct kube_settings *settings;
	enum log_level log_level;
	int log_fd;
};

/* Whether targets of this kind have more than one pod. */
bool kube_has_replicas(const struct target *t);
/* *ret_fd (SOCK_SEQPACKET) yields a struct kube_replica a message, and the process ends with its reader. Returns 0, or -1 with @err. */
int kube_replicas_start(const struct kube_replicas_options *options, int *ret_fd, struct error *err);
