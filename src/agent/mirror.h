// SPDX-License-Identifier: MIT
/* Mirroring: copies of what reaches subscribed ports of the target's, without touching it. This side belongs to the agent: it keeps the
 * kernel's filter, connects to the sessions' programs, and counts; the bytes are the mirroring process's (mirror_process.h). */
#pragma once

#include "agent/subscriptions.h"
#include "net/loop.h"
#include "relay/egress.h"

struct mirror;

/* Watches @subscriptions for those that mirror. The process and its ring are there while there are some.
 * NULL without memory. */
struct mirror *mirror_new(struct loop *loop, struct subscriptions *subscriptions);
/* Before the subscriptions are freed, behind the last client. */
void mirror_free(struct mirror *m);
