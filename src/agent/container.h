// SPDX-License-Identifier: MIT
/* A container's process, found by the container's id. */
#pragma once

#include "base/error.h"

/* The first process (the one that started first) whose control group is named after container @id; seen are the processes below @proc
 * ("/proc"). Works for containerd, CRI-O, docker and podman, with cgroups of version 1 and 2. Returns its number, or -1 with @err. */
int container_find(const char *proc, const char *id, struct error *err);
