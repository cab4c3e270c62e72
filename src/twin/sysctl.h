// SPDX-License-Identifier: MIT
/* sysctls of the calling process's network namespace. */
#pragma once

#include "base/error.h"

/* Writes @value to /proc/sys/net/@name. Returns 0, or -1 with errno and @err. */
int sysctl_set(const char *name, const char *value, struct error *err);
