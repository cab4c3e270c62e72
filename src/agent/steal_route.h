// SPDX-License-Identifier: MIT
/* The routing rule and the route that bring packets with AGENT_MARK back to the agent. They have no owner in the kernel. */
#pragma once

#include "net/loop.h"

/* Removes what an agent that died left. A process without the right to do it leaves it. */
void steal_route_clear(void);

/* Makes both for IPv4 and, with @ipv6, IPv6, and makes them again when somebody removes them, until it is freed. NULL with @err. */
struct steal_route;
struct steal_route *steal_route_new(struct loop *loop, bool ipv6, struct error *err);
void steal_route_free(struct steal_route *r);
