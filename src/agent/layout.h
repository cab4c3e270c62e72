// SPDX-License-Identifier: MIT
/* What stands in the target's network namespace while ports of its are stolen: marks, names, addresses. Nothing of it is there otherwise. */
#pragma once

enum {
	/* On packets of connections that the agent makes to the target's own program in a client's name, both ways. No bit of it is one that
	 * Kubernetes, Calico, Cilium or Istio give a meaning to. */
	AGENT_MARK = 0x306d,
	AGENT_TABLE = 0x306d, /* routing table: everything is local */
	AGENT_RULE = 1,	      /* priority of the routing rule that leads there */
};

/* Where the agent's listeners are bound. No packet is ever sent there and none arrives from there, so no port of the agent's can be
 * reached: tproxy alone leads to them (192.0.0.8 is the IPv4 dummy address, RFC 7600; 100::/64 is discarded, RFC 6666). */
#define AGENT_ADDRESS4 "192.0.0.8"
#define AGENT_ADDRESS6 "100::6d69"
