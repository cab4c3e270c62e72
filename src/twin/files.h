// SPDX-License-Identifier: MIT
/* The target's resolver files in the program's mount namespace. */
#pragma once

#include "base/error.h"
#include "tunnel/info.h"

/* In a private mount namespace of the caller's: /etc/resolv.conf, /etc/hosts and /etc/hostname become the target's, nsswitch.conf asks
 * files and DNS alone for host names, and the sockets of local resolvers that would answer past the target are masked. */
int twin_files_mount(const struct target_info *info, struct error *err);
