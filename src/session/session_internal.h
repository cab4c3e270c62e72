// SPDX-License-Identifier: MIT
/* The session, as its files see it: session.c has its life, flows.c what carries traffic, follow.c its moves from pod to pod,
 * closing.c what is said at the end. */
#pragma once

#include "net/sock_diag.h"
#include "session/agent_check.h"
#include "session/background.h"
#include "session/calls.h"
#include "session/datagram.h"
#include "session/debugger_search.h"
#include "session/dns_local.h"
#include "session/dns_stream.h"
#include "session/gate.h"
#include "session/incoming.h"
#include "session/agent_link.h"
#include "session/reconcile.h"
#include "session/replicas.h"
#include "session/resolver.h"
#include "session/routing.h"
#include "session/session.h"
#include "session/tcp.h"
#include "session/unix_streams.h"
#include "twin/build.h"

enum state { STARTING, READY, RUNNING, FAILED, DRAINING };

/* The search for a pod that takes the place of another (follow.c). */
struct search {
	bool on;
	bool replaces;	  /* an agent that was lost alone */
	char not_uid[64]; /* the other one; "": the same will do */
	uint64_t until;
	unsigned int failures;
	bool told;	  /* the user, why there is none yet */
	struct timer timer; /* the next attempt, or the end of the time that an agent has for its first words */
};

struct session {
	const struct session_options *options;
	enum state state;
	struct loop *loop;
	int launcher, log_fd, user_ns, keeper, guard, lend, anchor, program;
	struct watch launcher_watch, keeper_watch, program_watch, anchor_watch;
	struct timer timer;
	uint64_t drain_until;
	struct timer counting; /* the program has ended, and agents were asked what they have counted (closing.c) */
	bool quiet;	       /* it has, and nothing is said any more */
	bool last; /* the agent knows that nothing more comes */
	size_t descriptors; /* that we may have */

	struct agent_link *link, *next; /* @next: to the pod that is to take the place of @link's; NULL: there is no need */
	struct search search;	  /* for @next's pod */
	uint64_t unproven_until;  /* one that replaces another and is lost before isn't replaced */
	struct list leaving;	  /* links to pods that we had before, while something is open there */
	struct replicas *replicas; /* NULL: what comes in is @link's */
	struct mux *mux;	  /* @link's; NULL when it is lost */
	struct kube_probes probes;
	int described; /* the target as the twin shows it: a memfd */
	struct borrower *borrower;
	struct egress *exits[EXITS];
	struct egress *tunnel; /* over @mux */
	struct twin twin;
	struct sock_diag *diag; /* of the twin */
	struct gate *gate;
	struct routing routing;
	struct debugger_search debugger;
	struct dns_rules dns_rules;
	struct resolver *resolver; /* NULL, like @dns: this machine answers no names */
	struct dns_local *dns;
	struct dns_streams *dns_streams;
	struct background *background;
	struct tcp *tcp;
	struct datagrams *datagrams;
	struct reconciler *reconciler;
	struct calls *calls; /* NULL: none are reported, as is: */
	struct incoming *incoming;
	struct unix_streams *unix_streams;
	struct agent_check check;
};

extern const struct agent_link_events session_link_events;

/* What the session has is lost: session.c says what follows. */
void session_fail(struct session *s, const struct error *why);
/* Tells the agent, INFO_ENDING. */
void session_say_ending(struct session *s, uint8_t what);
/* The configuration's part in what a target is like. */
int session_adapt(const struct session *s, struct target_info *info, struct error *err);
/* How an agent is brought for this session to its target; the result points into @o. */
struct kube_tunnel_options session_tunnel_options(const struct session_options *o, int log_fd);
/* Has an agent brought to the target, or with @search to the pod that takes the place of another. */
int session_start_in_cluster(struct session *s, struct agent_link *link, const struct search *search, struct error *err);

/* flows.c. Opens what carries traffic to and from the target as @info tells it; the calls are the program's, reported from when it starts. */
int session_open_flows(struct session *s, const struct target_info *info, struct error *err);
int session_start_calls(struct session *s, struct error *err);
/* No process is left in the twin: what was sent goes out, and nothing else is begun. */
void session_drain_flows(struct session *s);
/* Every connection is reset; those that wait for an answer get @error, unless it is 0. */
void session_close_flows(struct session *s, int error);
/* Something is still on its way. */
bool session_is_busy(const struct session *s);
/* The agent has what is ours, and ends when that is over. */
bool session_agent_ends(const struct session *s);

/* closing.c. The program has ended; as often as it is noticed. */
void closing_begin(struct session *s);
/* The last moment to say something of it. */
void closing_end(struct session *s);

/* follow.c. For agent_link_events: the target's pod is going away. */
void follow_on_going(void *arg, struct agent_link *link);
/* The link is lost: true when another one is on its way, and there is no network until then. */
bool follow_lost(struct session *s, const struct error *why);
/* The next link is up; what its agent says; its failure. */
void follow_on_up(struct session *s);
void follow_on_info(struct session *s, uint16_t topic, const uint8_t *data, size_t len);
void follow_failed(struct session *s, const struct error *why);
/* Nobody needs another pod any more. */
void follow_stop(struct session *s);
