// SPDX-License-Identifier: MIT
/* The session's side of an agent in a cluster: the process that brings it there and carries the tunnel (kube/tunnel.h). */
#pragma once

#include "kube/tunnel.h"
#include "net/loop.h"

struct cluster;

struct cluster_events {
	/* The agent runs; @fd (the owner's from here) speaks the tunnel. */
	void (*on_tunnel)(void *arg, int fd);
	/* It never will. No call comes afterwards. */
	void (*on_failed)(void *arg, const struct error *why);
};

/* NULL with @err. */
struct cluster *cluster_start(struct loop *loop, const struct kube_tunnel_options *options, const struct cluster_events *events, void *arg,
			      struct error *err);
/* The program has ended: stderr is let go of. */
void cluster_quiet(struct cluster *c);
/* Why the tunnel ended, if the process has said so. */
bool cluster_why(struct cluster *c, struct error *ret);
/* The process takes the agent away and ends. */
void cluster_free(struct cluster *c);
