// SPDX-License-Identifier: MIT
/* Files below the target's root directory. What is in there is the target's to choose: links are followed as in a
 * chroot there (openat2's RESOLVE_IN_ROOT), so that none leads to a file of the machine's; and only a regular file of
 * bounded size is read, so that none makes us wait or grow. */
#include "agent/files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "tunnel/info.h"

char *root_file(int root, const char *path)
{
	const struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
				      .resolve = RESOLVE_IN_ROOT };
	_cleanup_fd_ int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	struct stat st;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		errno = EINVAL;
		return NULL;
	}
	return fd_read_all(fd, INFO_FILE_MAX, NULL);
}

char *target_file(const struct entry *e, const char *name)
{
	const char *const dirs[] = { e->etc, "/etc" };

	for (int i = 0; i < 2; i++) {
		char path[512], *text;

		if (!dirs[i][0])
			continue;
		snprintf(path, sizeof(path), "%s/%s", dirs[i], name);
		text = root_file(e->root, path);
		if (text)
			return text;
		if (errno != ENOENT)
			log_warn("inspect: the target's %s: %s", path, strerror(errno));
	}
	return NULL;
}
