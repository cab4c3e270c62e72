// SPDX-License-Identifier: MIT
/* An agent and the tunnel to it, without a twin: for commands that run no program. */
#pragma once

#include "kube/probes.h"
#include "kube/settings.h"
#include "net/loop.h"
#include "target/target.h"
#include "tunnel/info.h"
#include "tunnel/mux.h"

struct link;

struct link_options {
	const struct target *target;
	struct kube_settings *settings; /* of a target in a cluster */
	bool progress;			      /* lines on stderr while it starts */
	bool steals, probes;		      /* as in kube_tunnel_options */
};

/* No call comes after on_lost; none of them may free the link, except through loop_defer() or a timer. Those of streams as in mux_events;
 * NULL where they aren't wanted. */
struct link_events {
	void (*on_target)(void *arg, const struct target_info *info);
	/* The agent couldn't start, or is gone for good; every stream got its on_reset before. */
	void (*on_lost)(void *arg, const struct error *why);
	void (*on_open)(void *arg, struct stream *s, const struct stream_request *request);
	void (*on_info)(void *arg, uint16_t topic, const uint8_t *data, size_t len);
};

/* Starts the agent; all that is given stays the caller's and outlives the link. The process ignores SIGCHLD and SIGPIPE from here on, and
 * the agent ignores a Ctrl-C, which the terminal sends to it, too. NULL with @err. */
struct link *link_new(struct loop *loop, const struct link_options *options, const struct link_events *events, void *arg, struct error *err);
/* NULL before on_target. */
struct mux *link_mux(const struct link *l);
/* The probes that the target's kubelet asks. */
const struct kube_probes *link_probes(const struct link *l);
/* Streams get on_reset(ENETUNREACH) unless they are closed. The agent ends. */
void link_free(struct link *l);
