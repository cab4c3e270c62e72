// SPDX-License-Identifier: MIT
/* A bridge moves bytes, half-closes and resets between a stream of the tunnel and a connected socket until both directions are done.
 * It stands on both sides: in the session before the program's connection, in the agent before the remote's. */
#pragma once

#include "base/list.h"
#include "net/loop.h"
#include "relay/backlog.h"
#include "tunnel/mux.h"

/* Takes over the open TCP stream @s and the non-blocking stream socket @fd, which must have SO_LINGER set to 0 (see pump.h). @early is what
 * came from the stream so far, not yet consumed (emptied; may be NULL), @ended says that its end came behind it.
 * The bridge is listed in @all until it ends and frees itself. When it can't start, both are reset. */
void bridge_start(struct loop *loop, struct stream *s, int fd, struct backlog *early, bool ended, struct list *all);
/* The same with a Unix socket, whose close comes as a reset: the bytes before it are not lost. */
void bridge_start_unix(struct loop *loop, struct stream *s, int fd, struct backlog *early, bool ended, struct list *all);
/* Resets both ends of every bridge in @all and frees it. */
void bridge_reset_all(struct list *all);
