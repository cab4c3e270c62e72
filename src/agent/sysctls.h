// SPDX-License-Identifier: MIT
/* The settings of a network namespace that show in a program's sockets. */
#pragma once

#include "tunnel/info.h"

/* Fills @ret (INFO_SYSCTLS entries) with those of the calling process's network namespace; a kernel that lacks one has
 * its default behaviour. Returns how many. */
size_t sysctls_read(struct info_sysctl *ret);
