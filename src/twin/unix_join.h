// SPDX-License-Identifier: MIT
/* The program's own Unix socket becomes one end of a connection whose other end is ours. */
#pragma once

#include "net/unix_name.h"

/* Connects @socket, of the network namespace @there and of @type, as if to @name: its peer shows that name where it is an abstract one that nobody
 * there has, else an abstract name that the kernel chose. The caller ends up in the network namespace @here. Returns our end, or -errno. */
int unix_join(int socket, int type, const struct unix_name *name, int there, int here);
