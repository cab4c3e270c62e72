// SPDX-License-Identifier: MIT
/* The process between a session and its agent in a cluster: brings the agent there, carries the tunnel, cleans up. What it says to the session
 * and hears from it, over a SOCK_SEQPACKET pair:
 *
 *   → session   TUNNEL, with a socket that speaks the tunnel, and again with another one when the byte stream broke; FAILED, with the error;
 *               GOING: the target's pod is going away; LOST, with the reason: there will be no other one
 *   ← session   QUIET: the program has ended, nobody reads our stderr any more; AGAIN: the byte stream of this number broke
 *
 * The end of the session's side ends the process, after the agent has been taken away. */
#pragma once

#include <stdbool.h>

#include "base/log.h"
#include "kube/probes.h"
#include "kube/settings.h"
#include "target/target.h"

enum kube_message_kind {
	KUBE_MESSAGE_TUNNEL = 1,
	KUBE_MESSAGE_FAILED,
	KUBE_MESSAGE_LOST,
	KUBE_MESSAGE_QUIET,
	KUBE_MESSAGE_AGAIN,
	KUBE_MESSAGE_GOING,
};

struct kube_message {
	enum kube_message_kind kind;
	unsigned int stream; /* TUNNEL, AGAIN: byte streams are counted, so that neither is about another than meant */
	struct error error;
	/* TUNNEL, GOING: the target's pod. */
	char pod[254], uid[64];
	struct kube_probes probes;
};

struct kube_tunnel_options {
	const struct target *target;
	const struct kube_settings *settings;
	enum log_level log_level, agent_log_level;
	int log_fd;	/* where the agent's log goes; stderr */
	bool progress; /* lines on stderr */
	bool steals;   /* what comes to a port, and */
	bool probes;   /* the kubelet's probes as well */
	const char *not_uid; /* NULL, or the pod that goes away: another is meant, which may not be there yet */
	int64_t until_ms;    /* with @not_uid: how long it is looked for, as CLOCK_MONOTONIC has it */
};

/* How long a pod that takes another's place is looked for: of a pod's own name there is mostly none. */
int64_t kube_next_limit_ms(const struct target *t);
/* To be called in a process of its own, whose descriptors but stderr, @control and the log are closed. */
_Noreturn void kube_tunnel_run(const struct kube_tunnel_options *options, int control);
