// SPDX-License-Identifier: MIT
/* Entering a local target: its network, and nothing of its file system. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "target/target.h"

/* What is held of the target once we are in. Descriptors of -1 are not there. */
struct entry {
	int process; /* the target's directory in /proc */
	int root; /* the root directory that resolv.conf and hosts are read below: the target's, or the machine's for
		     netns/NAME */
	bool own_files; /* … of our own container, since the target's is out of reach */
	char etc[256]; /* for netns/NAME: the directory whose files come before those of /etc, or "" */
};

/* Moves the calling process, which has one thread, into the target's network and UTS namespaces, and into the user
 * namespace that owns that network when it isn't ours. The mount namespace stays. Returns 0, or -1 with @err: gone, or
 * only root may (then with the sudo command); the process may have moved in part then, and should end. */
int agent_enter(const struct target *t, struct entry *ret, struct error *err);

/* After the last look at the target's files: becomes the user that the target's process runs as, so that what the
 * target's rules say about users (iptables' owner match, "ip rule … uidrange") goes for our sockets as for its own;
 * keeps CAP_NET_RAW (echo, mirroring), CAP_NET_BIND_SERVICE (low source ports) and CAP_NET_ADMIN (stealing), and CAP_DAC_OVERRIDE
 * when that process has it (Unix sockets of other users), where we have them, and drops all other rights for good. Clears the parent death
 * signal. Closes @e. Returns 0, or -1 with @err. */
int agent_settle(struct entry *e, struct error *err);
