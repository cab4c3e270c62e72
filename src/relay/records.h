// SPDX-License-Identifier: MIT
/* Records as bytes: between a SOCK_SEQPACKET socket and a stream socket on which each record stands behind its length (u32, big-endian). */
#pragma once

#include "base/list.h"
#include "net/loop.h"

enum { RECORD_MAX = 1 << 20 }; /* bytes of one; with a longer one the connection ends */

/* Takes both connected Unix sockets over. Half-closes pass both ways. What the owner of the other end of @stream closes before it has read the end
 * is a reset, as with egress_ops.take. It is listed in @all until it ends and frees itself. When it can't start, both are closed. */
void records_start(struct loop *loop, int packets, int stream, struct list *all);
/* Closes and frees all. */
void records_end_all(struct list *all);
