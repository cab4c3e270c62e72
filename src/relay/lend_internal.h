// SPDX-License-Identifier: MIT
/* The two messages between borrower and lender; both run on one machine and come from one build. */
#pragma once

#include <stdint.h>

struct lend_request {
	uint8_t kind, count;
};
enum { LEND_OFFER = 255 }; /* a kind: a descriptor comes with it, and no answer is awaited */

/* With the sockets beside it. @error says why they are fewer than asked for; 0 when they aren't. */
struct lend_answer {
	uint8_t kind, raw;
	uint16_t error;
};
