// SPDX-License-Identifier: MIT
/* The mirroring process: reads captured packets and writes the clients' bytes to the copies. It has its own memory and descriptors and runs
 * when nobody else wants the CPU (SCHED_IDLE), so that what is too much for the machine costs copies, and not the target. */
#pragma once

#include <sys/types.h>

#include "base/error.h"

/* Forks it. @ring is ring_open()'s and stays the caller's; the process makes the ring. *ret_control is the agent's end of the socket pair
 * (non-blocking), whose end ends the process. Returns its pid, or -1 with @err. To be called while the process has one thread. */
pid_t mirror_process_start(int ring, int *ret_control, struct error *err);

/* For children of fd_fork_connected() that work beside the target: lowest priority, ends with its parent, and nothing at 0 to 2. */
void mirror_process_settle(void);
