// SPDX-License-Identifier: MIT
/* The last steps of the process that becomes the program: into the twin, with the target's files in place. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "tunnel/info.h"
#include "twin/files.h"

struct twin_entry {
	int user_ns, net_ns, uts_ns; /* user_ns may be -1 */
	const struct target_info *info;
	bool remote_dns; /* false: resolver files stay the host's */
};

/* Enters the twin and a mount namespace of its own. The working directory, a deleted one too, stays. *ret_files is for the guard. */
int twin_enter(const struct twin_entry *entry, struct twin_files *ret_files, struct error *err);
