// SPDX-License-Identifier: MIT
/* A pump moves bytes, half-closes and resets between two connected sockets until both directions are done. */
#pragma once

#include "base/list.h"
#include "net/loop.h"

struct pump;

enum { PUMP_KEPT = 64 << 20 };
/* What slow readers have all pumps of this process keep, in bytes. From @limit of it on (PUMP_KEPT, unless it is set) each keeps little. */
size_t pump_kept(void);
void pump_limit(size_t limit);

/* Takes both non-blocking stream sockets over, which must have SO_LINGER set to 0 (the death of this process then resets both).
 * It is listed in @all until it ends and frees itself. @on_end (may be NULL) is called then.
 * Returns 0, or -errno and both are reset and closed. */
int pump_start(struct loop *loop, int a, int b, struct list *all, void (*on_end)(void *arg), void *arg);
/* Resets both sides and frees every pump in @all. */
void pump_reset_all(struct list *all);
