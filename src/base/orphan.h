// SPDX-License-Identifier: MIT
/* Processes of ours that live beside the program: nobody's children, and without anything of the terminal's. */
#pragma once

#include <stddef.h>

/* Runs @run, which never returns, in a process that is nobody's child and in a session id of its own. The caller gets no SIGCHLD; where
 * orphans come to it (a subreaper, prctl(2)), this one doesn't. Returns 0, or -1 with errno. */
int orphan_start(void (*run)(void *arg), void *arg);

/* The first step in there: of what the caller had nothing is kept but stderr: no descriptor but @kept (they move to 3, 4, …; those of -1 stay
 * so), no signal's fate, no working directory, and none of the limits that only the program is to feel. Returns 0, or -1 with errno. */
int orphan_settle(const char *name, int *kept, size_t n);
