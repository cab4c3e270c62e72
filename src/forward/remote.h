// SPDX-License-Identifier: MIT
/* -R: what comes to a port of the target's goes on from this machine. For relay/tunnel_server.h: an egress that leads each port to its rule's
 * place, whatever address is asked for. */
#pragma once

#include "forward/rule.h"
#include "net/loop.h"
#include "relay/egress.h"

/* The egress reads @rules, which are the caller's and outlive it; those of -L are passed over. Names are looked up now, and that may take its
 * time. NULL with @err: a name that this machine doesn't know. */
struct egress *remote_egress_new(struct loop *loop, const struct forward_rule *rules, size_t n, struct error *err);
/* After the server that uses it. */
void remote_egress_free(struct egress *e);
