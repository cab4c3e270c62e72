// SPDX-License-Identifier: MIT
/* The egress over a tunnel, on the session's side: what leaves here leaves from the agent (relay/tunnel_server.h). */
#pragma once

#include "net/loop.h"
#include "net/unix_name.h"
#include "relay/egress.h"

struct mux;

/* @m stays the caller's. NULL without memory. */
struct egress *tunnel_egress_new(struct loop *loop, struct mux *m);
/* As egress_ops.dial, to a Unix socket of the target's; @type is SOCK_STREAM or SOCK_SEQPACKET, and so is the socket that it is joined with. */
int tunnel_egress_dial_unix(struct egress *e, int type, const struct unix_name *name, dial_done_fn done, void *arg, struct dial **ret_dial);
/* Resets every connection, closes every port (without events) and frees it. Before the mux is freed. */
void tunnel_egress_free(struct egress *e);
/* Connections that are made or joined. */
size_t tunnel_egress_count(const struct egress *e);
