// SPDX-License-Identifier: MIT
/* Processes of the agent's until they are reaped. One that was killed may have little of the CPU, and takes its time. */
#pragma once

#include <sys/types.h>

#include "base/list.h"
#include "net/loop.h"

/* Embedded. */
struct children {
	struct loop *loop;
	struct list all;
	size_t n;
};

void children_init(struct children *all, struct loop *loop);
/* Returns 0 or -errno: then nobody waits for @pid. */
int children_add(struct children *all, pid_t pid);
/* Kills those that are left. */
void children_fini(struct children *all);
