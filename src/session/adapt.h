// SPDX-License-Identifier: MIT
/* The target's description as the configuration wants the twin to be. */
#pragma once

#include "config/config.h"
#include "tunnel/info.h"

/* Without feature.hostname the target's name is left out, without feature.network.ipv6 its IPv6 addresses and routes are. Where some traffic
 * leaves from this machine, each family of the target's has a default route: what the target can't reach this machine may. Returns 0 or -ENOMEM. */
int target_info_adapt(struct target_info *info, const struct config *c);
