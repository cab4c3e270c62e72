// SPDX-License-Identifier: MIT
/* A container's process.
 *
 * Every runtime names a container's control group after its id ("…/cri-containerd-ID.scope", "…/crio-ID.scope", "…/docker/ID"), and
 * what a process in it starts is in it, or below. So the process that started first is the container's own; those that `kubectl exec` brought
 * in came later. CRI-O gives the process that watches over a container a group of its own, "…/crio-conmon-ID.scope": that one is older still,
 * and of the node's network. */
#include "agent/container.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

enum { FILE_MAX = 1 << 20, ID_MIN = 12, START_TIME_FIELD = 22 };

static char *read_of(const char *proc, const char *pid, const char *file)
{
	char path[PATH_MAX];
	_cleanup_fd_ int fd = -1;

	snprintf(path, sizeof(path), "%s/%s/%s", proc, pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? NULL : fd_read_all(fd, FILE_MAX, NULL);
}

static bool stands_behind(const char *at, const char *text, const char *word)
{
	size_t len = strlen(word);

	return (size_t)(at - text) >= len && memcmp(at - len, word, len) == 0;
}

/* Whether @id is a whole word in @text: no letter or digit beside it. */
static bool is_in(const char *text, const char *id)
{
	size_t len = strlen(id);

	for (const char *at = text; (at = strstr(at, id)); at++)
		if ((at == text || !isalnum((unsigned char)at[-1])) && !isalnum((unsigned char)at[len]) && !stands_behind(at, text, "conmon-"))
			return true;
	return false;
}

/* In clock ticks since the boot; the command's name, which may hold anything, stands in brackets before. 0 when it can't be told. */
static unsigned long long start_time(const char *proc, const char *pid)
{
	char *text = read_of(proc, pid, "stat"), *at = text ? strrchr(text, ')') : NULL;
	unsigned long long t = 0;

	for (int field = 2; at && field < START_TIME_FIELD; field++)
		at = strchr(at + 1, ' ');
	if (at)
		t = strtoull(at, NULL, 10);
	free(text);
	return t;
}

int container_find(const char *proc, const char *id, struct error *err)
{
	DIR *dir = strlen(id) >= ID_MIN ? opendir(proc) : NULL;
	unsigned long long first = ULLONG_MAX, started;
	const struct dirent *entry;
	int pid = -1;

	if (strlen(id) < ID_MIN)
		return error_set(err, 0, "\"%s\" is not a container's id", id);
	if (!dir)
		return error_set(err, errno, "list the processes in %s", proc);
	while ((entry = readdir(dir))) {
		char *groups = isdigit((unsigned char)entry->d_name[0]) ? read_of(proc, entry->d_name, "cgroup") : NULL;

		if (groups && is_in(groups, id) && (started = start_time(proc, entry->d_name)) && started < first) {
			first = started;
			pid = atoi(entry->d_name);
		}
		free(groups);
	}
	closedir(dir);
	if (pid > 0)
		return pid;
	error_set(err, 0, "no process here belongs to container %.12s…", id);
	return error_hint(err, "it has ended just now, or the agent's pod is not on its node or may not see the node's processes (hostPID)");
}
