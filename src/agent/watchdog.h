// SPDX-License-Identifier: MIT
/* A child of the agent's that outlives it, for what has no owner in the kernel (steal_route.h). */
#pragma once

#include <sys/types.h>

#include "base/error.h"

struct watchdog {
	pid_t pid;
	int fd; /* what it waits for the end of; -1: there is none */
};

/* Starts it; when this process ends, however, or calls watchdog_stop(), it clears up and ends. Returns 0, or -1 with @err. */
int watchdog_start(struct watchdog *w, struct error *err);
/* Lets it clear up, and waits until that is done. */
void watchdog_stop(struct watchdog *w);
