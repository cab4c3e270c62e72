// SPDX-License-Identifier: MIT
/* Questions of the program's that this machine's resolver answers: addresses by getaddrinfo(3), all else by its name servers. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/addr.h"
#include "net/loop.h"
#include "relay/egress.h"
#include "session/dns_rules.h"
#include "session/resolver.h"

struct dns_local;

/* Who asked: a socket of the program's (as its address stands in the packet) by UDP, or a connection. */
struct dns_asker {
	struct endpoint program, server;
	void *connection; /* NULL: UDP */
};

struct dns_local_context {
	struct loop *loop;
	const struct dns_rules *rules;
	struct resolver *resolver; /* may be NULL when the rules have no side */
	struct egress **host;	   /* the egress of this machine; may become NULL when the session fails */
	/* Called later, once for each question that was taken: @len is 0 when there is no answer. */
	void (*on_answer)(void *arg, const struct dns_asker *who, const uint8_t *message, size_t len);
	void *arg;
};

/* NULL without memory. */
struct dns_local *dns_local_new(const struct dns_local_context *context);
/* No answer comes any more. */
void dns_local_free(struct dns_local *d);
/* Takes the question in @message when this machine is to answer it. False: it isn't, or is no question. */
bool dns_local_take(struct dns_local *d, const struct dns_asker *who, const uint8_t *message, size_t len);
