// SPDX-License-Identifier: MIT
/* The advice for a target that is root's. A file of its own, since session and agent both give it. */
#include <unistd.h>

#include "target/target.h"

int target_hint_root(const char *text, struct error *err)
{
	if (geteuid() != 0)
		return error_hint(err, "this target needs root: sudo mirrord exec -t %s -- …", text);
	return error_hint(
	    err,
	    "root here is root of a container or user namespace only; run mirrord as root of the machine, outside of "
	    "it (in a container: with CAP_SYS_ADMIN, CAP_SYS_PTRACE and the host's pid namespace)");
}
