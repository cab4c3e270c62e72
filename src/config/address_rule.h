// SPDX-License-Identifier: MIT
/* One entry of a filter: `[tcp://|udp://|any://][host][:port[-port]]`, where host is a name, an address or `address/prefix`.
 *
 * A name may have wildcards: `*` stands for any letters within one label, so `*.example.com` is one label before it, and `**` for one or more
 * whole labels. IPv6 stands in brackets, which may be left out where there is no port. 0.0.0.0 and [::] are any address, as port 0 is
 * any port. Nothing at all is everything. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "net/addr.h"
#include "net/dns.h"

enum { ADDRESS_RULE_TEXT = 300 };

enum rule_host { RULE_ANY, RULE_PREFIX, RULE_NAME };

struct address_rule {
	int protocol; /* IPPROTO_TCP, IPPROTO_UDP, or 0 for both */
	enum rule_host host;
	struct ip prefix; /* bits behind @len are 0 */
	uint8_t len;	  /* of 128: of an IPv4 prefix, 96 more than its own */
	char name[256];	  /* in small letters, without a dot at the end */
	uint16_t low, high; /* 0 and 65535: any port */
};

enum rule_error {
	RULE_OK,
	RULE_BAD_PROTOCOL,
	RULE_BAD_HOST,
	RULE_BAD_NAME,
	RULE_BAD_BRACKET,
	RULE_NAME_WITH_PREFIX,
	RULE_BAD_PREFIX,
	RULE_BAD_PORT,
	RULE_BAD_RANGE,
	RULE_TRAILING,
	RULE_TOO_LONG,
};

/* @ret_at: which byte of the text is wrong. @ret is set with RULE_OK alone. */
enum rule_error address_rule_parse(const char *text, struct address_rule *ret, unsigned int *ret_at);
/* "what is wrong with it", with what was expected. */
const char *address_rule_error(enum rule_error e);
bool address_rule_has_wildcard(const struct address_rule *r);
/* Whether the rule speaks of this port of this protocol. ICMP has no port (0): rules with one don't speak of it. */
bool address_rule_port_matches(const struct address_rule *r, int protocol, uint16_t port);
/* Whether the rule's name, wildcards and all, is @name; both without regard to case. */
bool address_rule_name_matches(const struct address_rule *r, const struct dns_name *name);
bool address_rule_ip_matches(const struct address_rule *r, const struct ip *ip);
/* Whether `*` stands for @label[0..len) in the place of @pattern[0..pattern_len), which has no dot. */
bool address_label_matches(const char *pattern, size_t pattern_len, const uint8_t *label, size_t len);
/* A name's text as it stands in a message; false when it is none ("a..b", a label over 63 bytes). */
bool address_name_to_dns(const char *text, struct dns_name *ret);
