// SPDX-License-Identifier: MIT
/* What the program's mount namespace shows in place of the host's. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "tunnel/info.h"

/* In a private mount namespace of the caller's: /sys shows the twin's links. With @resolver, /etc/resolv.conf, /etc/hosts and
 * /etc/hostname become the target's, nsswitch.conf asks files and DNS alone for host names, and the sockets of local resolvers that
 * would answer past the target are masked. */
int twin_files_mount(const struct target_info *info, bool resolver, struct error *err);
