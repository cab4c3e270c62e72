// SPDX-License-Identifier: MIT
/* Which names an address goes by, as far as the session knows.
 *
 * The program's own questions decide: an address has the name that the program asked for when it last got that address in an answer, and
 * the aliases between the two (CNAME). An address of which no answer told may have names that the session looked up itself. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/addr.h"
#include "net/dns.h"

struct names;

enum { NAMES_PER_ADDRESS = DNS_ALIASES_MAX + 1 };

/* NULL without memory. */
struct names *names_new(void);
void names_free(struct names *n);
/* An answer on its way to the program. @now: nanoseconds. */
void names_learn(struct names *n, const struct dns_message *answer, uint64_t now);
/* The session itself found that @name has exactly these addresses (of both families). Replaces what it found before. */
void names_set_found(struct names *n, const struct dns_name *name, const struct ip *ips, size_t n_ips);
/* The names of @ip, the one asked for first, then its aliases; returns how many, 0 when nothing is known. */
size_t names_of(const struct names *n, const struct ip *ip, uint64_t now, struct dns_name ret[NAMES_PER_ADDRESS]);
/* Addresses that answers told of; for tests and the log. */
size_t names_count(const struct names *n);
