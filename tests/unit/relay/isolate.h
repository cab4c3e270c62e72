// SPDX-License-Identifier: MIT
/* A network namespace of the test's own with nothing but lo, so that what is unreachable is certain. */
#pragma once

#include <fcntl.h>
#include <linux/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* False where neither root nor a user namespace is to be had. To be called before there are threads. */
static inline bool isolate(void)
{
	struct ifreq up = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd;

	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return false;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (ioctl(fd, SIOCSIFFLAGS, &up) < 0)
		abort();
	close(fd);
	return true;
}

/* False when it may not. */
static inline bool write_sysctl(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);

	if (fd >= 0)
		close(fd);
	return done;
}

/* After isolate(): root of the user namespace, where there is one, so that programs that are started have its rights. @uid: who we were before. */
static inline void become_its_root(uid_t uid)
{
	char map[32];

	if (geteuid() == uid)
		return;
	snprintf(map, sizeof(map), "0 %u 1", uid);
	write_sysctl("/proc/self/uid_map", map);
}
