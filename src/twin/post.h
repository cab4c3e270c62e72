// SPDX-License-Identifier: MIT
/* A post: a process that outlives a session which is killed. Keeper and guard are posts; what the session says to both, and what both do
 * at its end. */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/* The session's side, over the post's socket. */

/* Tells it which process to end (SIGTERM) when the session dies. @guard is the guard's own socket for a keeper, which then speaks for both;
 * -1 for others. Both stay the caller's. */
int post_arm(int sock, int pidfd, int guard, struct error *err);
/* Has it cut the twin off: every new connection and datagram fails with ENETUNREACH at once, in the twin's own kernel.
 * It is so when this returns 0. */
int post_cut(int sock);
/* The program has ended: nobody reads stderr any more. */
void post_quiet(int sock);
/* The session is over: the process goes quietly. Closes @sock. */
void post_quit(int sock);

/* The process's side. */

enum { POST_ARM = 'a', POST_CUT = 'c', POST_QUIET = 's', POST_QUIT = 'q' };

struct post {
	int sock;
	int session; /* pidfd */
	int net_ns;  /* the twin's */
	int program; /* pidfd; -1: there is none to end */
	int guard;   /* see post_arm() */
};

/* Does what @what asks for; descriptors that came with it are taken over and set to -1. False: QUIT. */
bool post_obey(struct post *p, char what, int fds[2]);
/* The session is gone, without QUIT: cuts the twin off, says why on stderr, and ends the program. */
void post_end_program(struct post *p);
