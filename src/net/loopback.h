// SPDX-License-Identifier: MIT
/* Aliases of loopback addresses. Those can't leave a namespace, so on their way between twin and relay they have aliases: a source
 * 127.a.b.c is 244.a.b.c, a destination 127.a.b.c is 243.a.b.c; ::1 is fd00:6d::1 as a source and fd00:6d::2 as a destination. Towards the
 * twin it is the other way round: from 243.a.b.c to 244.a.b.c. (240.0.0.0/4 is reserved, RFC 1112 §4; fd00::/8 is local, RFC 4193.) */
#pragma once

#include "net/addr.h"

enum { LOOPBACK_SOURCE_NET = 244, LOOPBACK_DESTINATION_NET = 243 }; /* first byte of an alias */

/* The address as the program's socket knows it, from either kind of alias; any other address stays. */
struct ip loopback_from_alias(const struct ip *ip);
bool ip_is_loopback_alias(const struct ip *ip);
/* The alias under which a loopback address stands in a packet towards the twin as its source or its destination; other addresses stay. */
struct ip loopback_to_source_alias(const struct ip *ip);
struct ip loopback_to_destination_alias(const struct ip *ip);
