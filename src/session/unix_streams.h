// SPDX-License-Identifier: MIT
/* feature.network.outgoing.unix_streams: the program's connections to Unix sockets whose names match are the target's. */
#pragma once

#include <stdbool.h>

#include "config/config.h"
#include "net/loop.h"
#include "relay/egress.h"
#include "session/calls.h"

struct unix_streams;

/* What it works with; all outlives it. @tunnel is the egress over the tunnel, and points to NULL while there is no agent; what was dialed over
 * one may be joined as long as that is there. @calls points to NULL until the program starts. */
struct unix_streams_context {
	struct loop *loop;
	struct egress **tunnel;
	struct calls **calls;
	const struct config_strings *patterns;
};

/* NULL with @err. */
struct unix_streams *unix_streams_new(const struct unix_streams_context *c, struct error *err);
void unix_streams_free(struct unix_streams *u);
/* For calls_events: NOTIFY_CONNECTS and what follows from it. */
void unix_streams_on_event(struct unix_streams *u, const struct notify_event *e, int fd);
/* Calls that wait return with @error, later ones do, too. Before the egress is freed. */
void unix_streams_end(struct unix_streams *u, int error);
/* The keeper is gone: calls that wait fail. */
void unix_streams_answer_all(struct unix_streams *u);
/* The agent may have connections of ours that are not over. */
bool unix_streams_used(const struct unix_streams *u);
