// SPDX-License-Identifier: MIT
/* A connected Unix socket and a stream of the tunnel become one, on either side: STREAM_UNIX by a bridge, STREAM_RECORDS with records.c before it. */
#pragma once

#include "base/list.h"
#include "net/loop.h"
#include "relay/backlog.h"
#include "tunnel/mux.h"

struct unix_bridges {
	struct list bridges, records;
};

static inline bool stream_is_unix(enum stream_kind kind)
{
	return kind == STREAM_UNIX || kind == STREAM_RECORDS;
}

void unix_bridges_init(struct unix_bridges *all);
/* As bridge_start(); @kind is the stream's. */
void unix_bridge_start(struct loop *loop, struct stream *s, enum stream_kind kind, int fd, struct backlog *early, bool ended,
		       struct unix_bridges *all);
void unix_bridges_reset(struct unix_bridges *all);
