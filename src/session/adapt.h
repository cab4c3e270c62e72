// SPDX-License-Identifier: MIT
/* The target's description as the configuration wants the twin to be. */
#pragma once

#include <stdbool.h>

#include "config/config.h"
#include "session/routing.h"
#include "tunnel/info.h"

/* What this machine reaches. */
struct host_network {
	bool v4, v6; /* it has an address of the family that leads beyond it (neither loopback nor link-local) */
	struct ip name_servers[MAX_NAME_SERVERS];
	size_t n_name_servers;
};
/* Of the network namespace that the process is in. What can't be told (ENFILE, say) is not there. */
struct host_network host_network(void);

/* Without feature.hostname the target's name is left out, without feature.network.ipv6 its IPv6 addresses and routes are.
 *
 * What may leave from this machine this machine reaches, whatever the target has: what an outgoing filter says; without feature.network.dns this
 * machine's name servers; where some names are local the target's, since those questions are answered on their way. A rule for addresses is
 * for these alone, one for a name or a port can be for any. For such destinations:
 * - there is a route, and none that forbids (what is forbidden in the target, the agent's connect() tells);
 * - a family of @host's that the target lacks has an address of ours in the twin: 192.0.0.2 (RFC 7335: the IPv4 address of a host that has no
 *   IPv4), fd00:6d::3 (RFC 4193: where a name has addresses of both families, RFC 6724 §5, rule 5 prefers the target's own).
 * All else is as in the target.
 *
 * Returns 0 or -ENOMEM. */
int target_info_adapt(struct target_info *info, const struct config *c, const struct host_network *host);
