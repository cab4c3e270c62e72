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
/* Kills those that are left, and waits a fifth of a second at most until they are reaped. Who isn't would be a zombie for good where the first
 * process is a target's that reaps nobody: an ephemeral container is in the PID namespace of the container it looks at. */
void children_fini(struct children *all);
