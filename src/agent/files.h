// SPDX-License-Identifier: MIT
/* The target's files, read with its own eyes. */
#pragma once

#include "agent/enter.h"

/* The contents of "resolv.conf" or "hosts" as the target's programs find it in /etc; the caller's, NUL-terminated. NULL
 * when there is none (a reason other than that is logged). */
char *target_file(const struct entry *e, const char *name);
/* A file below @root, a directory: links are followed as in a chroot there. At most a megabyte; the caller's. NULL with errno. */
char *root_file(int root, const char *path);
