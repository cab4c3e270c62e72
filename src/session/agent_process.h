// SPDX-License-Identifier: MIT
/* The agent of a local target, as a child process. */
#pragma once

#include <stdbool.h>

#include "base/log.h"
#include "target/target.h"

/* Starts mirrord-agent (it stands beside our own program, or in libexecdir) for @target. *ret_tunnel is the session's end of the
 * tunnel; *ret_lend that of the lender, or -1 when @lend is false. It logs from @level on to @log_fd, or with -1 to our
 * stderr. Returns 0, or -1 with @err. The child is reaped by nobody: SIGCHLD is to be ignored. */
int agent_process_start(const struct target *target, bool lend, enum log_level level, int log_fd, int *ret_tunnel, int *ret_lend,
			struct error *err);
