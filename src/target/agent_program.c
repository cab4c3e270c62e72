// SPDX-License-Identifier: MIT
#include "target/agent_program.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#ifndef LIBEXECDIR
#define LIBEXECDIR "/usr/libexec"
#endif

int agent_program_find(char path[PATH_MAX], struct error *err)
{
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 32);
	char *slash;

	if (n > 0) {
		path[n] = '\0';
		slash = strrchr(path, '/');
		strcpy(slash + 1, "mirrord-agent");
		if (access(path, X_OK) == 0)
			return 0;
	}
	strcpy(path, LIBEXECDIR "/mirrord/mirrord-agent");
	if (access(path, X_OK) == 0)
		return 0;
	error_set(err, errno, "find mirrord-agent beside mirrord or at %s", path);
	if (n < 0)
		return error_hint(err, "/proc is not there, or not that of this system: `mount -t proc proc /proc` mounts it");
	return error_hint(err, "the installation is not complete: install the package again, or run ./dev build");
}
