// SPDX-License-Identifier: MIT
/* What a resolver makes of a name before it asks anybody: the hosts file, and the search list. Pure functions. */
#pragma once

#include <stddef.h>

#include "net/addr.h"
#include "net/dns.h"

enum { SEARCH_FORMS = 8 };

/* @name with each suffix of @search (words with blanks between, may be NULL), then as it is: the order for short names. Returns how many. */
size_t search_forms(const char *search, const struct dns_name *name, struct dns_name ret[SEARCH_FORMS]);
/* The addresses that the text of a hosts file (hosts(5), may be NULL) gives @name, at most @max. Returns how many. */
size_t hosts_find(const char *hosts, const char *name, struct ip *ret, size_t max);
