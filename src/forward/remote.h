// SPDX-License-Identifier: MIT
/* -R: what comes to a port of the target's goes on from this machine. For relay/tunnel_server.h: an egress that leads each port to its rule's
 * place, whatever address is asked for. */
#pragma once

#include "base/error.h"
#include "forward/rule.h"
#include "net/loop.h"
#include "relay/egress.h"

/* With NULL, or why it can't be: a name that this machine doesn't know. The egress may be freed in it. */
typedef void (*remote_ready_fn)(void *arg, const struct error *why);
/* The egress reads @rules, which are the caller's and outlive it; those of -L are passed over. Names are looked up meanwhile, by a process
 * (session/resolver.h): @ready is called once, later, and before that nothing may be led anywhere. NULL with @err. */
struct egress *remote_egress_new(struct loop *loop, const struct forward_rule *rules, size_t n, remote_ready_fn ready, void *arg,
				 struct error *err);
/* After the server that uses it. */
void remote_egress_free(struct egress *e);
