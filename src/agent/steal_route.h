// SPDX-License-Identifier: MIT
/* The routing rule and the route that bring packets with AGENT_MARK back to the agent. They have no owner in the kernel. */
#pragma once

#include <stdbool.h>

#include "net/loop.h"

/* False where IPv6 is unknown or switched off: there would be no route for it, so nothing of it can be stolen. */
bool steal_route_has_ipv6(void);
/* -1 with @err where there can be no route: lo is down. */
int steal_route_check(struct error *err);
/* Removes what an agent that died left. A process without the right to do it leaves it. */
void steal_route_clear(void);

/* Makes both for IPv4 and, with @ipv6, IPv6, and makes them again when somebody removes them, until it is freed. NULL with @err. */
struct steal_route;
struct steal_route *steal_route_new(struct loop *loop, bool ipv6, struct error *err);
void steal_route_free(struct steal_route *r);
