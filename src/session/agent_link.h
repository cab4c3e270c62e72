// SPDX-License-Identifier: MIT
/* An agent and the tunnel to it. Where the target is in a cluster, also the process that brings it there; there may be several links at a time
 * then: one to the pod that the program has the network of, one to a pod that it had before, one to the next. */
#pragma once

#include "base/list.h"
#include "kube/tunnel.h"
#include "net/loop.h"
#include "relay/egress.h"
#include "tunnel/mux.h"

struct agent_link;
struct source;

/* @arg is agent_link_new()'s. No call comes from the functions below. */
struct agent_link_events {
	/* There is a mux now; the agent's words follow. May be NULL. */
	void (*on_up)(void *arg, struct agent_link *l);
	void (*on_open)(void *arg, struct agent_link *l, struct stream *s, const struct stream_request *request);
	void (*on_info)(void *arg, struct agent_link *l, uint16_t topic, const uint8_t *data, size_t len);
	/* The target's pod is going away; what is open stays as long as it does. May be NULL. */
	void (*on_going)(void *arg, struct agent_link *l);
	/* Lost, or it never came. Streams are over; nothing more is heard of it. The owner may not free it here. */
	void (*on_gone)(void *arg, struct agent_link *l, const struct error *why);
};

struct agent_link {
	struct list node; /* the owner's */
	struct loop *loop;
	const struct agent_link_events *events;
	void *arg;
	struct cluster *cluster; /* NULL on this machine */
	struct mux *mux;	 /* NULL before it is up */
	struct egress *egress;	 /* over it; NULL before agent_link_open_egress() */
	struct source *source;	 /* incoming traffic's, when the session has moved away from here; the owner's */
	bool gone;
	bool going; /* on_going was called */
	/* In a cluster. */
	char pod[254], uid[64]; /* @uid "": the pod stays, and only the agent in it went with its container */
	struct kube_probes probes;
	struct error broke; /* why its byte stream did, until there is another one */
	struct timer patience;
	bool told; /* the user, that connections wait */
	struct deferred drop;
	struct timer retired;
};

/* NULL without memory. */
struct agent_link *agent_link_new(struct loop *loop, const struct agent_link_events *events, void *arg);
/* Over @tunnel, to an agent on this machine; or to one that is brought into the cluster. Returns 0, or -1 with @err. */
int agent_link_start(struct agent_link *l, int tunnel, struct error *err);
int agent_link_start_in_cluster(struct agent_link *l, const struct kube_tunnel_options *options, struct error *err);
/* The program has ended: who reads its stderr to the end waits for none of us. */
void agent_link_quiet(struct agent_link *l);
/* NULL without memory. */
struct egress *agent_link_open_egress(struct agent_link *l);
/* Everything that is open through it is reset, and nothing that was given refers to it any more. */
void agent_link_close_egress(struct agent_link *l);
/* It isn't used any more: what is open is reset after the turn, and it is freed when nothing that it has given can still refer to it. */
void agent_link_retire(struct agent_link *l);
/* Everything that is open is reset. */
void agent_link_free(struct agent_link *l);
