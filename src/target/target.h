// SPDX-License-Identifier: MIT
/* Targets: whose network the program gets. A target's text is "kind/name". */
#pragma once

#include <stdbool.h>

#include "base/error.h"

enum target_kind {
	TARGET_PID,
	TARGET_NETNS,
	TARGET_DOCKER,
	TARGET_PODMAN,
	/* Of a cluster, from here on. */
	TARGET_POD,
	TARGET_DEPLOYMENT,
	TARGET_ROLLOUT,
	TARGET_STATEFULSET,
	TARGET_DAEMONSET,
	TARGET_REPLICASET,
	TARGET_JOB,
	TARGET_CRONJOB,
	TARGET_SERVICE,
	TARGET_LABEL,
	TARGET_TARGETLESS,
};

struct target {
	enum target_kind kind;
	char text[256]; /* as the user wrote it */
	int pid; /* of a process in the target, or 0 */
	char netns[256]; /* path of the network namespace when there is no process (netns/NAME), or "" */
	char etc[256]; /* directory whose resolv.conf and hosts count for netns/NAME (/etc/netns/NAME, ip-netns(8)), or
			  "" */
	/* Of a target of a cluster's: its name, or the labels of label/; the container that was asked for, or "". */
	char name[256], container[64];
};

static inline bool target_is_in_cluster(const struct target *t)
{
	return t->kind >= TARGET_POD;
}
/* "deployment". */
const char *target_kind_word(enum target_kind kind);
/* The kind that "deployment" or "deploy" means, or -1. */
int target_kind_parse(const char *word);

/* Reads the text alone: a kind that there is, and of a cluster's target its name and container. Returns 0, or -1 with @err. */
int target_parse(const char *text, struct target *ret, struct error *err);
/* Reads "pid/4711", "netns/shop", "docker/NAME", "podman/NAME" and finds the process behind it; asks the container
 * engine over its API socket. Returns 0, or -1 with @err: unknown kind (with the nearest), no such process, namespace,
 * container (with those that there are), one that isn't running, engine socket missing or forbidden. That the target
 * may be entered, only agent_enter() can tell. A cluster's ("pod/shop", "deployment/shop/container/app",
 * "label/app=shop", "targetless") is read and not looked for: kube_resolve() does that. */
int target_resolve(const char *text, struct target *ret, struct error *err);

/* Sets the advice for a target (its text) that only root may enter: the sudo command, or what is missing when we are
 * root in name only. Returns -1. */
int target_hint_root(const char *text, struct error *err);
