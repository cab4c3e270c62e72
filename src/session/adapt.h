// SPDX-License-Identifier: MIT
/* The target's description as the configuration wants the twin to be. */
#pragma once

#include <stdbool.h>

#include "config/config.h"
#include "tunnel/info.h"

/* The families in which this machine has an address that leads beyond it (neither loopback nor link-local). */
struct host_families {
	bool v4, v6;
};
/* Of the network namespace that the process is in. What can't be told (ENFILE, say) is not there. */
struct host_families host_families(void);

/* Without feature.hostname the target's name is left out, without feature.network.ipv6 its IPv6 addresses and routes are.
 *
 * Where some traffic leaves from this machine, what the target can't reach this machine may:
 * - each family of the target's has a default route, and no route that forbids (what is forbidden there, the agent's connect() tells);
 * - a family of @host's that the target lacks has an address of ours in the twin: 192.0.0.2 (RFC 7335: the IPv4 address of a host that has no
 *   IPv4), fd00:6d::3 (RFC 4193: where a name has addresses of both families, RFC 6724 §5, rule 5 prefers the target's own).
 *
 * Returns 0 or -ENOMEM. */
int target_info_adapt(struct target_info *info, const struct config *c, struct host_families host);
