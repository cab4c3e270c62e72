// SPDX-License-Identifier: MIT
/* The keeper: a process of its own that makes twin and relay namespace, owns their user namespace, and cuts the twin off when the
 * session is gone, however it went. */
#pragma once

#include <sys/types.h>

#include "base/error.h"
#include "tunnel/info.h"
#include "twin/build.h"

/* Starts the keeper; it unshares at once, while the caller is busy with the target. *ret_sock is the way to talk to it (also as to a post, see
 * twin/post.h), and its end is the keeper's death. @owner stays the caller's. Returns the pid (a child; never waits for anything), or
 * -1 with @err. */
pid_t keeper_start(const struct twin_owner *owner, int *ret_sock, struct error *err);
/* Has it build everything, and waits for that. The namespaces and sockets are the caller's. */
int keeper_build(int sock, const struct target_info *info, const char *target, struct twin *ret, struct error *err);
/* Has it give the twin another target's addresses (twin_readdress()), and waits for that. */
int keeper_readdress(int sock, const struct target_info *info, const struct target_info *before, struct error *err);
/* Has it work on the program's listen and bind calls (twin/notifier.h): it asks over @channel. @net_cookie is the twin's. Both descriptors stay
 * the caller's. */
int keeper_notify(int sock, int anchor, int channel, uint64_t net_cookie, struct error *err);
/* Has it lend sockets of the relay namespace that may have any address, to the other end of @lender (which stays the caller's). */
int keeper_lend(int sock, int lender, struct error *err);
