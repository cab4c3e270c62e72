// SPDX-License-Identifier: MIT
/* Unix sockets of the target's, for a session's program (docs/protocol.md, streams of kinds 4 and 5). */
#pragma once

#include "net/loop.h"
#include "tunnel/mux.h"

struct unix_target;

/* @root is the directory below which paths are: of the session's target. It is owned; -1: paths can't be had. NULL without memory. */
struct unix_target *unix_target_new(struct loop *loop, int root);
/* Resets those that there are. Before the mux is freed. */
void unix_target_free(struct unix_target *u);
/* For mux_events.on_open: connects, and takes the stream or resets it with the errno. */
void unix_target_open(struct unix_target *u, struct stream *s, const struct stream_request *request);
