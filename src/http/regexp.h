// SPDX-License-Identifier: MIT
/* Regular expressions: PCRE2 with JIT, in the flavour that the original's are written in, and with an end to every search. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "http/request.h"

struct regex;

enum regex_flags {
	REGEX_CASELESS = 1,
	REGEX_WHOLE = 2,     /* the match is the whole subject */
	REGEX_NO_BREAKS = 4, /* `.` matches no \r either (RFC 9485) */
};

/* Patterns are UTF-8; `.` and \w mean characters, $ is the very end. NULL with @err: "offset 3: missing closing parenthesis". */
struct regex *regex_compile(struct span pattern, unsigned int flags, struct error *err);
void regex_free(struct regex *r);

enum { REGEX_TOO_LONG = -1 };
/* 1 when @subject has a match, 0 when not, or REGEX_TOO_LONG: it was given up after REGEX_LIMIT_US. Bytes that are not UTF-8
 * match nothing. */
int regex_search(const struct regex *r, struct span subject);
enum { REGEX_LIMIT_US = 700 };

/* What the searches about one request may take in all. Zero-initialise. */
struct regex_budget {
	uint64_t end, cpu_end; /* by two clocks */
	unsigned int searches;
	bool spent;
};
enum { REGEX_BUDGET_US = 50000 };
/* To be asked before each search: true when those before it took more than REGEX_BUDGET_US of processor time, or soon after. */
bool regex_budget_is_spent(struct regex_budget *b);
