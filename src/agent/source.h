// SPDX-License-Identifier: MIT
/* Source addresses: which one the kernel gives to a connection that takes a route. A pure function. */
#pragma once

#include <stddef.h>

#include "net/rtnl_dump.h"

/* The preferred source of @r, else what Linux chooses for it from the namespace's @n addresses. "Any" of the family
 * when there is none, or when it depends on the destination (IPv6) and the kernel of a twin with the same addresses
 * will choose alike. */
struct ip route_source(const struct dumped_route *r, const struct dumped_address *addresses, size_t n);
