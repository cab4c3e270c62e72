// SPDX-License-Identifier: MIT
/* The two messages between borrower and lender; both run on one machine and come from one build. */
#pragma once

#include <stdint.h>

struct lend_request {
	uint8_t kind, count;
};
enum { LEND_OFFER = 255 }; /* a kind: one or two descriptors come with it, and no answer is awaited */

/* With the sockets beside it. @error says why they are fewer than asked for; 0 when they aren't. @more: another one follows, without sockets,
 * when the lender has closed its own copies: only then does a close of the borrower's end a connection and take it out of an epoll. */
struct lend_answer {
	uint8_t kind, raw, more;
	uint16_t error;
};
