// SPDX-License-Identifier: MIT
/* What the target is like, seen from inside. */
#pragma once

#include "agent/enter.h"
#include "tunnel/info.h"

/* To be called after agent_enter() and before agent_settle(). What can't be had of lesser things (a file, a sysctl, a
 * host name) is left out. Returns 0 (then target_info_fini() is due), or -1 with @err. */
int agent_inspect(const struct entry *e, struct target_info *ret, struct error *err);
