// SPDX-License-Identifier: MIT
/* feature.network.detect_debugger. What a debugger drives is seldom the command itself but a child of it (of npm, gradle, a shell), which comes and
 * goes: so all processes of the twin are read when a port is asked for which isn't known to be a debugger's.
 *
 * That takes milliseconds where there are many processes. So it is done once a second for a port that is asked for time and again, as a sidecar's
 * is: a debugger's port isn't asked for before a process with its number in its words is there. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "config/config.h"

struct debugger_search {
	struct config *config; /* what is found is added to its debugger_ports, and stays there */
	dev_t dev;	       /* the twin's network namespace */
	ino_t ino;
	uint64_t forget_at;    /* then @asked is emptied */
	uint8_t asked[8192];   /* a bit for each port */
};

/* @net_ns: the twin's; it isn't kept. */
void debugger_search_init(struct debugger_search *d, struct config *config, int net_ns);
/* The program listens on @port, or connects to it on localhost. 0: which one isn't known. @now as loop_now(). */
void debugger_search_for(struct debugger_search *d, uint16_t port, uint64_t now);
