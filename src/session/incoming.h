// SPDX-License-Identifier: MIT
/* Incoming traffic: what the program listens on gets the target's traffic, and is published on this machine. */
#pragma once

#include "kube/probes.h"
#include "net/loop.h"
#include "relay/lender.h"
#include "session/calls.h"
#include "session/gate.h"
#include "session/incoming_options.h"
#include "tunnel/info.h"
#include "tunnel/mux.h"

struct incoming;
struct source;

/* What it works with; all outlives it. @mux points to NULL when the agent is lost, @calls until the program starts. @diag asks the
 * twin's kernel. */
struct incoming_context {
	struct loop *loop;
	struct gate **gate;
	struct mux **mux;
	struct calls **calls;
	const struct incoming_options *options;
	const struct kube_probes *probes; /* of the target */
	struct sock_diag *diag;
	bool replicas; /* of the target: all that comes in comes from sources that are added */
	size_t descriptors; /* that we may have */
	struct borrower *agent; /* where the agent is on this machine: the way to offer it sockets; else NULL */
	int agent_diag;		/* and one of sock_diag(7), the caller's */
};

struct incoming *incoming_new(const struct incoming_context *c, const struct target_info *info, struct error *err);
/* The program starts; the keeper behind @keeper lends sockets from here on. */
int incoming_start(struct incoming *in, int keeper, struct error *err);
void incoming_free(struct incoming *in);

/* For calls_events: a call that makes a listener, or the end of one. */
void incoming_on_event(struct incoming *in, const struct notify_event *e);
/* The keeper is gone: calls that it reported return. */
void incoming_answer_all(struct incoming *in);

/* With replicas: one more agent that is asked for what the program listens on; the arguments outlive it. NULL without memory. */
struct source *incoming_add(struct incoming *in, struct mux **mux, const struct kube_probes *probes);
void incoming_drop(struct incoming *in, struct source *source);

/* For mux_events: a connection or a client's datagrams for the program; and true when the message was one for here. @from: NULL is the target's
 * agent. */
void incoming_on_open(struct incoming *in, struct stream *s, const struct stream_request *request);
bool incoming_on_info(struct incoming *in, struct source *from, uint16_t topic, const uint8_t *data, size_t len);
/* A packet from the twin: true when it was an answer to a client. */
bool incoming_on_packet(struct incoming *in, const struct packet *p);

/* The agent is lost: every connection is reset, and no call of the program's waits any more. */
void incoming_end(struct incoming *in);
/* The target is another one, with another agent behind the mux. The agent before, which is behind @old (NULL: it is gone), counts still: what is
 * returned says so to incoming_on_info(), until it is dropped; NULL: there is nothing to count. */
struct source *incoming_move(struct incoming *in, struct mux **old);
/* The last process of the twin is gone: what is on its way may go on. */
void incoming_drain(struct incoming *in);
/* Asks for what the agents have counted. False: none can be asked, or all have answered; else @on_told follows, unless one is lost meanwhile. */
bool incoming_ask_counters(struct incoming *in, void (*on_told)(void *arg), void *arg);
/* Says what is known of it. */
void incoming_say_counters(const struct incoming *in);
/* Connections that are open here. */
size_t incoming_busy(const struct incoming *in);
/* The agent may have connections of ours that are not over. */
bool incoming_used(const struct incoming *in);
