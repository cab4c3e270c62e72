// SPDX-License-Identifier: MIT
/* Looking into a process of the twin. It needs what ptrace(2) needs: the keeper has CAP_SYS_PTRACE over the twin. */
#include "twin/caller.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"
#include "twin/anchor.h"

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL /* Linux 6.9 */
#endif

/* The process that a thread belongs to, from "Tgid:" in its status. */
static pid_t process_of(pid_t tid)
{
	char path[64], line[128];
	pid_t found = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	f = fopen(path, "re");
	while (f && found < 0 && fgets(line, sizeof(line), f))
		if (strncmp(line, "Tgid:", 5) == 0)
			found = (pid_t)strtol(line + 5, NULL, 10);
	if (f)
		fclose(f);
	return found;
}

int caller_open(struct caller *c, pid_t tid)
{
	*c = (struct caller){ .tid = tid, .pidfd = (int)syscall(SYS_pidfd_open, tid, PIDFD_THREAD) };
	if (c->pidfd < 0 && errno == EINVAL)
		c->pidfd = (int)syscall(SYS_pidfd_open, process_of(tid), 0);
	return c->pidfd < 0 ? -1 : 0;
}

void caller_close(struct caller *c)
{
	fd_closep(&c->pidfd);
}

int caller_take(const struct caller *c, int fd)
{
	return (int)syscall(SYS_pidfd_getfd, c->pidfd, fd, 0);
}

int caller_read(const struct caller *c, uint64_t at, void *ret, size_t len)
{
	struct iovec here = { .iov_base = ret, .iov_len = len },
		     there = { .iov_base = (void *)(uintptr_t)at, .iov_len = len };
	ssize_t n = process_vm_readv(c->tid, &here, 1, &there, 1, 0);

	if (n >= 0 && (size_t)n != len)
		errno = EFAULT;
	return n == (ssize_t)len ? 0 : -1;
}

int caller_arguments(const struct caller *c, const struct seccomp_data *data, struct socket_call *ret)
{
	uint64_t args[3] = { data->args[0], data->args[1], data->args[2] };
	bool by_socketcall;
	enum anchor_call call = anchor_call_of(data, &by_socketcall);
	uint32_t in_memory[3] = { 0 };

	if (by_socketcall) {
		size_t n = call == ANCHOR_LISTEN ? 2 : 3;

		if (caller_read(c, (uint32_t)data->args[1], in_memory, n * sizeof(in_memory[0])) < 0)
			return -1;
		for (size_t i = 0; i < 3; i++)
			args[i] = in_memory[i];
	}
	*ret = (struct socket_call){ .call = call,
				     .fd = (int)args[0],
				     .backlog = (int)args[1],
				     .address = args[1],
				     .address_len = (uint32_t)args[2] };
	return 0;
}
