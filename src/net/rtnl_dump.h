// SPDX-License-Identifier: MIT
/* rtnetlink(7), the reading side: what the calling process's network namespace holds. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "net/addr.h"

/* @flags are IFA_F_*, @scope RT_SCOPE_*. */
struct dumped_address {
	unsigned int link;
	struct ip ip;
	uint8_t prefix_len, scope;
	uint32_t flags;
};

/* Of one with several next hops, the first counts. */
struct dumped_route {
	struct ip prefix;
	uint8_t prefix_len, type, scope; /* RTN_*, RT_SCOPE_* */
	uint32_t table, metric;
	unsigned int link; /* 0: none */
	uint32_t mtu;	   /* a metric of its own; 0: none */
	bool has_gateway, has_source;
	struct ip gateway, source;
};

/* A routing policy rule. @plain: it applies to every packet, and looks in @table. */
struct dumped_rule {
	int family;
	uint32_t priority, table;
	bool plain;
};

/* Each gives all that there is of both families, in the kernel's order. Without IPv6 in the kernel there is none of it.
 * Returns 0, or -1 with @err (then some may have been given). */
int rtnl_dump_addresses(void (*each)(void *arg, const struct dumped_address *a), void *arg, struct error *err);
/* Of @table alone (RT_TABLE_MAIN), without cached ones. */
int rtnl_dump_routes(uint32_t table, void (*each)(void *arg, const struct dumped_route *r), void *arg,
		     struct error *err);
int rtnl_dump_rules(void (*each)(void *arg, const struct dumped_rule *r), void *arg, struct error *err);
