// SPDX-License-Identifier: MIT
/* All replicas of a target: an agent in each pod, whose clients come to the program. What the program sends, names and files are of one pod
 * alone, that of the session's own link. */
#pragma once

#include "session/incoming.h"
#include "session/routing.h"
#include "session/session.h"

struct replicas;

/* @incoming and @routing are the session's, which outlive it. NULL with @err. */
struct replicas *replicas_new(struct loop *loop, const struct session_options *options, int log_fd, struct incoming *incoming,
			      const struct routing *routing, struct error *err);
void replicas_quiet(struct replicas *all);
/* Nothing more comes in; the agents end when what they have is over. */
void replicas_drain(struct replicas *all);
/* Agents that are still there. Those whose streams are over are told that it was the last one. */
size_t replicas_busy(struct replicas *all);
/* Everything that is open is reset. */
void replicas_free(struct replicas *all);
