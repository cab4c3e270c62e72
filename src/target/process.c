// SPDX-License-Identifier: MIT
/* /proc/PID/stat and /proc/PID/status, read. */
#include "target/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

/* The kernel's flag in stat's ninth field (include/linux/sched.h): the same since 2.6.27. */
enum { KERNEL_THREAD = 0x00200000 };

static char *read_proc(int pid, const char *what, int *ret_error)
{
	char path[64];
	_cleanup_fd_ int fd = -1;
	char *text;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, what);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	text = fd < 0 ? NULL : fd_read_all(fd, 65536, NULL);
	if (!text)
		*ret_error = errno;
	return text;
}

/* "4711 (a (name)) S 1 4711 4711 0 -1 4194560 …": the name may hold anything, so the last ')' ends it. */
static bool parse_stat(const char *text, struct process *p)
{
	const char *open = strchr(text, '('), *close = strrchr(text, ')');
	unsigned int flags;

	if (!open || !close || close < open)
		return false;
	snprintf(p->name, sizeof(p->name), "%.*s", (int)(close - open - 1), open + 1);
	if (sscanf(close + 1, " %c %*d %*d %*d %*d %*d %u", &p->state, &flags) != 2)
		return false;
	p->kernel = flags & KERNEL_THREAD;
	return true;
}

static bool parse_status(const char *text, struct process *p)
{
	const char *tgid = strstr(text, "\nTgid:"), *uid = strstr(text, "\nUid:");

	return tgid && uid && sscanf(tgid, "\nTgid: %d", &p->leader) == 1 && sscanf(uid, "\nUid: %u", &p->uid) == 1;
}

int process_read(int pid, struct process *ret)
{
	struct process p = { 0 };
	int error = EPROTO;
	char *stat = read_proc(pid, "stat", &error), *status = stat ? read_proc(pid, "status", &error) : NULL;
	bool good = stat && status && parse_stat(stat, &p) && parse_status(status, &p);

	free(stat);
	free(status);
	if (good) {
		*ret = p;
		return 0;
	}
	/* ENOENT is also what a hidden process looks like; kill() tells the two apart. */
	if (error == ENOENT || error == ESRCH)
		return kill(pid, 0) < 0 && errno == ESRCH ? ESRCH : EPERM;
	return error;
}
