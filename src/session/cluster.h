// SPDX-License-Identifier: MIT
/* The session's side of an agent in a cluster: the process that brings it there and carries the tunnel (kube/tunnel.h). */
#pragma once

#include "kube/tunnel.h"
#include "net/loop.h"

struct cluster;

struct cluster_events {
	/* The agent runs, in or beside @m's pod; @fd (the owner's from here) speaks the tunnel. Again, when that broke and there is another byte
	 * stream. */
	void (*on_tunnel)(void *arg, int fd, const struct kube_message *m);
	/* The target's pod is going away. May be NULL. */
	void (*on_going)(void *arg, const struct kube_message *m);
	/* It never will, or there will be no other one. No call comes afterwards. */
	void (*on_failed)(void *arg, const struct error *why);
};

/* NULL with @err. */
struct cluster *cluster_start(struct loop *loop, const struct kube_tunnel_options *options, const struct cluster_events *events, void *arg,
			      struct error *err);
/* The byte stream that on_tunnel brought last is of no use any more: on_tunnel or on_failed follows. */
void cluster_again(struct cluster *c);
/* on_failed was called. */
bool cluster_is_lost(const struct cluster *c);
/* The program has ended: stderr is let go of. */
void cluster_quiet(struct cluster *c);
/* Why the tunnel ended, if the process has said so. */
bool cluster_why(struct cluster *c, struct error *ret);
/* The process takes the agent away and ends. */
void cluster_free(struct cluster *c);
