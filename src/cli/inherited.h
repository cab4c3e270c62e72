// SPDX-License-Identifier: MIT
/* What this process was started with and the launch would spoil: set aside before it, given back to the program behind it. */
#pragma once

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

enum { INHERITED_FILES, INHERITED_STACK, INHERITED_LIMITS };

struct inherited {
	struct rlimit limits[INHERITED_LIMITS];
	bool raised[INHERITED_LIMITS];
	int death_signal;
	pid_t parent;
};

/* Standard descriptors that are closed are open on nothing until the exec, so that none of ours comes to stand there. The limit of open
 * descriptors is raised to the hard one, that of the stack to what our processes and their libraries may need. */
void inherited_set_aside(struct inherited *ret);
/* Right before the exec. */
void inherited_give_back(const struct inherited *i);
