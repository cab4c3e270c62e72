// SPDX-License-Identifier: MIT
/* Whose resolver answers a question: feature.network.dns.filter, and the names that the outgoing filter adds to it. */
#pragma once

#include <stdbool.h>

#include "config/address_filter.h"
#include "config/config.h"
#include "net/dns.h"

struct dns_rules {
	enum filter_side side; /* FILTER_NONE: the target's answers all */
	struct address_filter *filter;
	const char *search; /* the search list of the twin's resolv.conf, as session/route.h has it; NULL: none */
};

/* 0, or -1 without memory. @search stays the caller's. */
int dns_rules_init(struct dns_rules *r, const struct config *c, const char *search);
void dns_rules_fini(struct dns_rules *r);
/* Whether this machine's resolver is to answer. *ret_ask: the name to ask it for. It is another than the question's when the program asked for
 * a short one (`db`) and its resolver put a suffix of the search list behind it. *ret_rule: which rule decided, -1: none. */
bool dns_rules_local(const struct dns_rules *r, const struct dns_question *q, struct dns_name *ret_ask, int *ret_rule);
/* The address of a reverse name (4.3.2.1.in-addr.arpa, ip6.arpa); false for any other. */
bool dns_reverse_name(const struct dns_name *name, struct ip *ret);
