// SPDX-License-Identifier: MIT
/* Answers to DNS questions (RFC 1035), built from the question. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "net/dns.h"

enum { DNS_NOERROR = 0, DNS_SERVFAIL = 2, DNS_NXDOMAIN = 3 };
enum { DNS_UDP_PLAIN = 512 }; /* what an answer may be long when the question says nothing */

/* What an answer says. */
struct dns_answer {
	uint16_t rcode;
	uint32_t ttl;
	const struct dns_name *name; /* of a question for PTR what it asks for, of any other a CNAME, which has the addresses then; NULL: none */
	const struct ip *ips;
	size_t n;
};

/* The answer to @query, which dns_parse() has read and has one question: those of the addresses that are of the question's family, as many as
 * @max bytes hold; the CNAME is left out before them. With an OPT record when the question had one. Returns the length, 0 when not even the
 * question fits. */
size_t dns_build_answer(const struct dns_message *query, const struct dns_answer *answer, uint8_t *ret, size_t max);
/* A question for @name with EDNS and RD, @max at least 300. Returns its length. */
size_t dns_build_question(uint16_t id, const struct dns_name *name, uint16_t type, uint8_t *ret, size_t max);
/* How long an answer may be, by the question's OPT record: at least DNS_UDP_PLAIN. */
size_t dns_answer_limit(const struct dns_message *query);
