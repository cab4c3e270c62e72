// SPDX-License-Identifier: MIT
/* The agent's side of a tunnel egress: does with real sockets what the session asks for by streams. */
#pragma once

#include "net/loop.h"
#include "relay/egress.h"
#include "tunnel/mux.h"

struct tunnel_server;

/* @egress is one over sockets (relay/sockets.h); it stays the caller's and outlives the server. NULL without memory. */
struct tunnel_server *tunnel_server_new(struct loop *loop, struct egress *egress);
/* Resets every stream and connection, closes every port. Before the mux is freed. */
void tunnel_server_free(struct tunnel_server *t);
/* For mux_events.on_open, of TCP, UDP and echo: answers the request, now or when it is known what comes of it. */
void tunnel_server_open(struct tunnel_server *t, struct stream *s, const struct stream_request *request);
