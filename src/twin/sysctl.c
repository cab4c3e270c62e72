// SPDX-License-Identifier: MIT
/* sysctls of a network namespace: /proc/sys/net shows that of the process which looks. */
#include "twin/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

int sysctl_set(const char *name, const char *value, struct error *err)
{
	char path[256];
	_cleanup_fd_ int fd = -1;

	snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0) {
		int saved = errno;

		error_set(err, saved, "set %s to %s", path, value);
		if (saved == EROFS)
			error_hint(err, "/proc/sys is read-only here, as in a container: run the container with "
					"--security-opt systempaths=unconfined (docker, podman) or --privileged");
		errno = saved;
		return -1;
	}
	return 0;
}
