// SPDX-License-Identifier: MIT
/* A socket is a file to inotify(7), too, by its name below /proc/self/fd. The file is closed when the last copy of the descriptor is, whether by
 * close(2), by an end of a process, or with the message that it was in; a moment later the socket is.
 *
 * sock_diag(7) tells the same by its groups of destroyed sockets. But as long as anybody on the machine hears of those, in whichever network
 * namespace, the kernel starts a task for each TCP socket that ends in any of them: a stolen connection has four. */
#include "twin/endings.h"

#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

int endings_open(void)
{
	return inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
}

void endings_await(int endings, int fd)
{
	char path[sizeof("/proc/self/fd/") + 11];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	inotify_add_watch(endings, path, IN_CLOSE | IN_ONESHOT);
}

bool endings_read(int endings)
{
	_Alignas(struct inotify_event) char events[4096];
	bool any = false;

	while (read(endings, events, sizeof(events)) > 0)
		any = true;
	return any;
}
