// SPDX-License-Identifier: MIT
/* The program to be run: found before anything is set up. */
#pragma once

#include <limits.h>

#include "base/error.h"

/* Finds @name as execvp(3) would and checks that it can be executed. Returns 0, or -1 with @err whose status is 127 (not found)
 * or 126 (not executable), as a shell's. */
int command_find(const char *name, char ret_path[PATH_MAX], struct error *err);
/* Replaces this process; comes back only on failure, with @err. A script without "#!" is run by /bin/sh, as execvp(3) does. */
int command_exec(const char *path, char *const argv[], struct error *err);
