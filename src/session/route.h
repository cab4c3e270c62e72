// SPDX-License-Identifier: MIT
/* The rules by which a destination is the target's or this machine's: feature.network.outgoing, as the user wrote it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "config/address_filter.h"
#include "config/config.h"
#include "net/addr.h"

struct route_rules {
	bool tcp, udp, ignore_localhost;
	enum filter_side side;
	struct address_filter *filter; /* NULL without one */
	const struct config_strings *debugger_ports; /* the config's, which may become more */
	char *search;		       /* the "search" line of the resolv.conf in force; NULL: none */
};

enum route_why {
	ROUTE_DEFAULT,	 /* no filter */
	ROUTE_PROTOCOL,	 /* tcp or udp is false */
	ROUTE_LOCALHOST, /* ignore_localhost */
	ROUTE_DEBUGGER,	 /* a debugger's port of localhost */
	ROUTE_RULE,	 /* @rule matched */
	ROUTE_NO_RULE,	 /* none did */
};

struct route_decision {
	bool target; /* it leaves from the target */
	enum route_why why;
	int rule; /* of the filter */
};

/* As @c says, which outlives it. 0, or -1 without memory. */
int route_rules_init(struct route_rules *r, const struct config *c);
void route_rules_fini(struct route_rules *r);
/* Takes note of the search list: the last "search" or "domain" line of a resolv.conf (resolv.conf(5)). */
void route_rules_set_search(struct route_rules *r, const char *resolv_conf);

/* @protocol: IPPROTO_TCP, _UDP, _ICMP, _ICMPV6; @ip may be NULL (only a name is known); @names: what it goes by. Each name also counts
 * without a suffix of the search list: `db` is what a program asked for when db.default.svc.cluster.local was looked up. */
struct route_decision route_pick(const struct route_rules *r, int protocol, const struct ip *ip, uint16_t port, const struct dns_name *names,
	size_t n_names);
/* "leaves from the target: no rule of feature.network.outgoing.filter.local matches". Returns @buf. */
enum { ROUTE_TEXT = 512 };
const char *route_explain(const struct route_rules *r, const struct route_decision *route, char buf[ROUTE_TEXT]);

/* The name without each suffix of the search list that it has: calls @each until it returns true. @name itself comes first. */
bool route_each_form(const char *search, const struct dns_name *name, bool (*each)(void *arg, const struct dns_name *form), void *arg);
