// SPDX-License-Identifier: MIT
/* /proc/PID/environ. */
#include "agent/variables.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

/* The contents of an environ file: NAME=value, each with a 0 byte behind it. What is no variable, and what is too much, is left out. */
static void split(const char *text, size_t len, struct target_info *info)
{
	size_t total = 0;

	info->variables = calloc(INFO_VARIABLES, sizeof(char *));
	for (const char *p = text; info->variables && p < text + len && info->n_variables < INFO_VARIABLES;) {
		size_t left = (size_t)(text + len - p), n = strnlen(p, left);
		const char *equals = memchr(p, '=', n);

		total += n + 1;
		if (equals && equals > p && n < left && total <= INFO_VARIABLES_MAX) {
			char *copy = strndup(p, n);

			if (copy)
				info->variables[info->n_variables++] = copy;
		}
		p += n + 1;
	}
}

/* The file is its owner's alone. Root in a container often lacks the right to pass that over (CAP_DAC_READ_SEARCH), but may act as the
 * owner; the right to look into the process (CAP_SYS_PTRACE) stays with us meanwhile. */
static int open_environ(int process)
{
	struct stat st;
	int fd;

	if (process < 0 || fstat(process, &st) < 0)
		return -1;
	fd = openat(process, "environ", O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == EACCES) {
		setfsuid(st.st_uid);
		fd = openat(process, "environ", O_RDONLY | O_CLOEXEC);
		setfsuid(geteuid());
	}
	return fd;
}

void variables_read(const struct entry *e, struct target_info *info)
{
	_cleanup_fd_ int fd = open_environ(e->process);
	char *text = NULL;
	size_t len = 0;

	if (fd >= 0)
		text = fd_read_all(fd, (size_t)2 * INFO_VARIABLES_MAX, &len);
	if (e->process >= 0 && !text)
		log_warn("inspect: the environment of the target's process: %s", strerror(errno));
	if (text)
		split(text, len, info);
	free(text);
}
