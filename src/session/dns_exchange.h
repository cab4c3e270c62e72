// SPDX-License-Identifier: MIT
/* A question to a name server by TCP (RFC 7766), and its answer. */
#pragma once

#include "net/loop.h"
#include "relay/egress.h"

enum { DNS_EXCHANGE_HEAD = 2 }; /* bytes of a message's length, in front of it */

/* Embedded, zero-initialised; the owner sets @on_answer. */
struct dns_exchange {
	/* Once, perhaps inside of dns_exchange_start(); @len is 0 when there will be no answer. It may end the exchange. */
	void (*on_answer)(struct dns_exchange *x, const uint8_t *answer, size_t len);
	struct loop *loop;
	struct egress **egress;
	struct dial *dial;    /* until it is connected */
	struct watch watch;   /* from then on */
	const uint8_t *message;
	size_t len;
	uint8_t *answer; /* once its length is known */
	size_t at, answer_len; /* @at: of what is sent, then of what is read, lengths included */
	bool asked;
	uint8_t head[DNS_EXCHANGE_HEAD];
};

/* @message has its length before it, and stays until the end, as does *@egress; NULL there: no way out (any more). */
void dns_exchange_start(struct dns_exchange *x, struct loop *loop, struct egress **egress, const struct endpoint *server, const uint8_t *message,
			size_t len);
/* Hangs up; on_answer is not called any more. It may be started again then. */
void dns_exchange_end(struct dns_exchange *x);
