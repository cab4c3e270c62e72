// SPDX-License-Identifier: MIT
/* Capture streams: a session asks for the packets of some ports (docs/protocol.md, streams of kind 3). A process for each, beside the target
 * as the mirroring one, writes them. */
#pragma once

#include "net/loop.h"
#include "tunnel/mux.h"

struct capture_streams;

enum { CAPTURE_STREAMS = 8 }; /* at a time */

/* NULL without memory. */
struct capture_streams *capture_streams_new(struct loop *loop);
/* Resets those that there are. */
void capture_streams_free(struct capture_streams *all);
/* For mux_events.on_open: takes the stream, or resets it. */
void capture_streams_open(struct capture_streams *all, struct stream *s);
