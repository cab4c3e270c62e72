// SPDX-License-Identifier: MIT
/* Stolen datagrams: to the session's program from the client's address, and its answers back from the target's address and port. */
#pragma once

#include <stdint.h>

#include "agent/steal_rules.h"
#include "agent/subscriptions.h"
#include "net/loop.h"

struct steal_udp;

enum { STEAL_UDP_FLOWS = 4096 }; /* the one that was silent longest gives way */

/* NULL with @err. */
struct steal_udp *steal_udp_new(struct loop *loop, const struct subscriptions *subscriptions, struct error *err);
void steal_udp_free(struct steal_udp *u);
/* The port that the rules lead to, 0 when there is none (a host without IPv6). */
uint16_t steal_udp_port(const struct steal_udp *u, enum steal_family family);
/* Nothing more goes to the subscriber. What its program has sent still leaves. */
void steal_udp_drop(struct steal_udp *u, const struct subscriber *s);
/* Its programs have ended, and its egress does: closes what is left of its flows. */
void steal_udp_end_client(struct steal_udp *u, const struct client *client);
