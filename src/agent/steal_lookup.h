// SPDX-License-Identifier: MIT
/* Connections that tproxy can't take: those of a bridge that netfilter looks into. A BPF program at the kernel's look-up of listeners does. */
#pragma once

#include "agent/steal_rules.h"

struct steal_lookup;

/* In the target's network, while the right to load it is there (CAP_SYS_ADMIN; it isn't needed any more then). NULL where there is no such
 * bridge, and where it can't be had, which is logged. Nothing is attached yet. */
struct steal_lookup *steal_lookup_new(void);
void steal_lookup_free(struct steal_lookup *l);
/* From now on, for no port yet. @listeners: TCP, by enum steal_family; -1 where there is none. They stay the caller's. 0, or -1 with @err. */
int steal_lookup_start(struct steal_lookup *l, const int listeners[2], struct error *err);
/* Nothing of it is left in the target. */
void steal_lookup_stop(struct steal_lookup *l);
/* Whether @port is taken, for a family; and whether it isn't at @ip, though it is. */
void steal_lookup_set(struct steal_lookup *l, enum steal_family family, uint16_t port, bool taken);
void steal_lookup_leave(struct steal_lookup *l, const struct endpoint *at, bool left);
/* Connections from @from are the agent's own. */
void steal_lookup_pass(struct steal_lookup *l, const struct endpoint *from, bool on);
