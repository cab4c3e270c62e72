// SPDX-License-Identifier: MIT
/* Stealing: new connections to the target's subscribed ports go to the sessions' programs, and those that nobody takes to the target's own. */
#pragma once

#include "agent/subscriptions.h"
#include "net/loop.h"

struct steal;
struct steal_lookup;

/* Watches @subscriptions; both stay the caller's and outlive it. Nothing is changed in the target before the first subscription. @alone: another
 * agent is at work in the target, and nothing may be stolen. @root: the target's root directory, the caller's, or -1. @lookup: owned, or NULL.
 * NULL without memory. */
struct steal *steal_new(struct loop *loop, struct subscriptions *subscriptions, bool alone, int root, struct steal_lookup *lookup);
/* Whether a subscription's filter and options could be used, on any port. 0, or -1 with @err. */
int steal_check(const struct steal *s, const struct subscription *want, struct error *err);
/* Takes what it changed away; connections that wait for an answer are reset. */
void steal_free(struct steal *s);
/* True while a connection is on its way to the target's own program, or none has been decided upon. */
bool steal_busy(struct steal *s);
