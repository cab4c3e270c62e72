// SPDX-License-Identifier: MIT
/* Questions that are passed on to this machine's name servers: by UDP those that came by UDP, by TCP those that came by TCP. */
#pragma once

#include "net/dns.h"
#include "session/dns_local.h"

struct dns_forwarder;

/* As in struct dns_local_context. NULL without memory. */
struct dns_forwarder *dns_forwarder_new(struct loop *loop, struct egress **host,
					void (*on_answer)(void *arg, const struct dns_asker *who, const uint8_t *message, size_t len), void *arg);
/* No answer comes any more. */
void dns_forwarder_free(struct dns_forwarder *d);
/* @question is that of @message, a whole one. Its answer comes later, or at once that there is none. */
void dns_forwarder_ask(struct dns_forwarder *d, const struct dns_asker *who, const struct dns_question *question, const uint8_t *message, size_t len);
