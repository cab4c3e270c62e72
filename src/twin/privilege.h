// SPDX-License-Identifier: MIT
/* Capabilities of the calling process. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/* CAP_SYS_ADMIN and CAP_NET_ADMIN are in force: namespaces can be made without a user namespace. */
bool privilege_may_make_namespaces(void);
/* The user who called sudo, and becomes the program's; 0 and the ids, or -1 when we don't run under sudo as root. They are looked up here and
 * now, for privilege_become(). */
int privilege_sudo_user(uid_t *ret_uid, gid_t *ret_gid);
/* Becomes that user for good: groups, ids, HOME, USER, LOGNAME, SHELL. */
int privilege_become(uid_t uid, gid_t gid, struct error *err);
/* Gives up every capability of this process; for an ordinary user whose mirrord has file capabilities. Root keeps its own. */
void privilege_drop(void);
