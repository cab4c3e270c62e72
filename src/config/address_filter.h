// SPDX-License-Identifier: MIT
/* Many rules, and whether one of them speaks of a destination or a name: in a time that doesn't depend on how many they are. */
#pragma once

#include <stddef.h>

#include "config/address_rule.h"

struct address_filter;

/* Of rules that address_rule_parse() understands (others are left out). NULL without memory. */
struct address_filter *address_filter_new(char *const *texts, size_t n);
void address_filter_free(struct address_filter *f);

/* The first rule, in the order of the list, that has an address or no host and speaks of @ip, @protocol and @port; -1: none. */
int address_filter_match_ip(const struct address_filter *f, int protocol, const struct ip *ip, uint16_t port);
/* The first rule without a host that speaks of @protocol and @port, whatever the address is. */
int address_filter_match_any(const struct address_filter *f, int protocol, uint16_t port);
/* The first rule with a name that speaks of @name. */
int address_filter_match_name(const struct address_filter *f, int protocol, const struct dns_name *name, uint16_t port);
/* The same, whatever the rule's protocol and port: for DNS, which knows neither. */
int address_filter_match_query(const struct address_filter *f, const struct dns_name *name);
size_t address_filter_count(const struct address_filter *f);
const struct address_rule *address_filter_rule(const struct address_filter *f, size_t i);
/* As it was written. */
const char *address_filter_text(const struct address_filter *f, size_t i);
