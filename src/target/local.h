// SPDX-License-Identifier: MIT
/* Processes and named network namespaces of this machine. Internal to the target library. */
#pragma once

#include "target/target.h"

/* @text names the target in messages. Checks that process @pid exists, has a network, and lets us see it; sets @ret's
 * pid. */
int local_resolve_process(const char *text, int pid, struct target *ret, struct error *err);
/* "4711" of pid/4711. */
int local_resolve_pid(const char *name, struct target *ret, struct error *err);
/* "shop" of netns/shop; sets @ret's netns and etc. */
int local_resolve_netns(const char *name, struct target *ret, struct error *err);
