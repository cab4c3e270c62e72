// SPDX-License-Identifier: MIT
/* Keeps the target's files in place while the host's are replaced below them. */
#pragma once

#include "twin/files.h"

/* A copy of what is mounted at @path, in no mount namespace; -1 where the kernel gives none. */
int detached_mount(const char *path);

/* For a process in the mount namespace that @files are in, whose descriptors are its own. A descriptor that gets readable when one of the
 * files may have been replaced; -1 without one (inotify(7) has limits), then it is to be looked at from time to time. */
int restore_watch(const struct twin_files *files);
/* Reads what @watch says, and puts back what is not there any more. */
void restore_all(struct twin_files *files, int watch);
