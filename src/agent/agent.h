// SPDX-License-Identifier: MIT
/* The agent while it serves: its sessions, and what they share. */
#pragma once

#include "agent/attach.h"

struct agent;
struct steal_lookup;

struct agent_place {
	bool have_target; /* there is one, and we are in it */
	bool alone;	  /* another agent is at work in it, so nothing is changed there */
	int root;	  /* the target's root directory, the caller's, or -1 */
	struct steal_lookup *lookup; /* the agent's from then on; or NULL */
};
/* NULL with @err. */
struct agent *agent_new(struct loop *loop, const struct agent_place *place, struct error *err);
void agent_free(struct agent *a);
/* Serves a session; owns what it brings, but for its standard error when that is ours. @sock as in attach.h, or -1. The client is the
 * agent's; NULL with @err. */
struct client *agent_serve(struct agent *a, const struct attach_session *session, int sock, struct error *err);
/* A byte stream that goes on with a session that is here, or is refused; owned. */
void agent_take_stream(struct agent *a, int in, int out);
/* Ends when the connections in flight are over, and soon in any case: from now on the target's traffic is its own. @why is for users. */
void agent_drain(struct agent *a, const char *why);
/* The session that came first-hand won't come back: it is over if its byte stream broke. */
void agent_drop_own(struct agent *a);
/* Other sessions may come; owns @sock. Returns 0, or -1 with @err. */
int agent_listen(struct agent *a, int sock, struct error *err);
