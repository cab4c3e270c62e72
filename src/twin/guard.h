// SPDX-License-Identifier: MIT
/* The guard: a small process in the twin, in the program's own mount namespace. It keeps the target's files in place, and is there
 * when keeper or session or both are gone. */
#pragma once

#include "base/error.h"
#include "twin/files.h"

/* Starts it, nobody's child, in the namespaces that the caller has entered. @session is a pidfd. *ret_sock is the way to talk to it (twin/post.h);
 * when no process has that any more, the session is gone. @files' descriptors stay the caller's. */
int guard_start(int session, struct twin_files *files, int *ret_sock, struct error *err);
