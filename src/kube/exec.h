// SPDX-License-Identifier: MIT
/* A command in a container, its standard input and output joined with a socket of ours: kube exec over WebSocket. */
#pragma once

#include "kube/client.h"
#include "net/loop.h"

struct kube_exec;

struct kube_exec_target {
	const char *namespace, *pod, *container;
	const char *const *command; /* ends with NULL */
};

/* Connects and has the command started; blocks until the server agrees. *ret_status gets its HTTP status (0 without an answer), so that a
 * container that isn't there yet can be told from one that may not be entered. NULL with @err. */
struct kube_exec *kube_exec_open(struct kube *k, const struct kube_exec_target *target, long *ret_status, struct error *err);

/* The same with patience: a container that the kubelet has reported as running may still be unknown to exec for a moment. */
struct kube_exec *kube_exec_start(struct kube *k, const struct kube_exec_target *target, struct error *err);

struct kube_exec_events {
	/* What the command wrote to its standard error. */
	void (*on_stderr)(void *arg, const char *text, size_t len);
	/* The command ended, or the stream broke; @why is empty when it ended well. No call comes afterwards. */
	void (*on_end)(void *arg, const struct error *why);
};

/* What comes by @fd (a socket; owned, also when this fails) is the command's input, and its output goes there. The end of the one closes the
 * other. Returns 0, or -1 with @err. */
int kube_exec_join(struct kube_exec *e, struct loop *loop, int fd, const struct kube_exec_events *events, void *arg, struct error *err);
/* Ends it as if the stream had broken: on_end follows. */
void kube_exec_hang_up(struct kube_exec *e);
/* After on_end: why, as there; and whether it was the stream that broke, and the command may run on without it. */
const struct error *kube_exec_why(const struct kube_exec *e);
bool kube_exec_broke(const struct kube_exec *e);
/* Hangs up. The command gets the end of its input, and nothing else. */
void kube_exec_free(struct kube_exec *e);
