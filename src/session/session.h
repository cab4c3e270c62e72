// SPDX-License-Identifier: MIT
/* The session process. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/log.h"
#include "config/config.h"
#include "kube/settings.h"
#include "session/incoming_options.h"
#include "target/target.h"

struct session_options {
	struct config *config; /* the caller's; all that stands below is decided from it and more. The ports of debuggers that are found are added */
	struct target target;
	struct kube_settings kube; /* of a target in a cluster */
	bool progress;		   /* lines on stderr while it starts */
	struct incoming_options incoming;
	bool replicas;	   /* all of the target's: what comes to any of them is the program's */
	bool force_tunnel; /* for tests: no lent sockets */
	uid_t uid;	   /* the program's user */
	gid_t gid;
	bool sudo; /* that is not our own user: the session becomes it when all is set up */
	int user_ns; /* the one that the twin is to belong to; -1: one of our own. Owned */
	enum log_level log_level, agent_log_level;
	int log_fd; /* -1: stderr; owned */
};

/* Becomes a session: detached from terminal, process group and working directory, no descriptors but stderr, the log and @launcher (owned;
 * session/handshake.h). Runs until the last process in the twin is gone. */
_Noreturn void session_run(const struct session_options *options, int launcher);
