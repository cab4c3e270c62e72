// SPDX-License-Identifier: MIT
/* The egress over a tunnel, on the session's side: what leaves here leaves from the agent (relay/tunnel_server.h). */
#pragma once

#include "net/loop.h"
#include "relay/egress.h"

struct mux;

/* @m stays the caller's. NULL without memory. */
struct egress *tunnel_egress_new(struct loop *loop, struct mux *m);
/* Resets every connection, closes every port (without events) and frees it. Before the mux is freed. */
void tunnel_egress_free(struct egress *e);
