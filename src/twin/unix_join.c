// SPDX-License-Identifier: MIT
/* A socket that exists can't become one of a socketpair(2); it has to connect to a listener. Ours is there for that moment only: nothing but the
 * program lives in that network namespace, and its connect calls wait for us. */
#include "twin/unix_join.h"

#include <errno.h>
#include <sched.h>
#include <unistd.h>

#include "base/fd.h"

enum { BACKLOG = 16 };

static int make_there(int type, int there, int here)
{
	int fd = -1, saved;

	if (setns(there, CLONE_NEWNET) == 0)
		fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	saved = errno;
	setns(here, CLONE_NEWNET);
	errno = saved;
	return fd;
}

/* An address without a name has the kernel choose one. */
static int bind_as(int fd, const struct unix_name *name)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	if (unix_name_is_abstract(name)) {
		socklen_t len = unix_name_to_sockaddr(name, &sa);

		if (bind(fd, (struct sockaddr *)&sa, len) == 0)
			return 0;
	}
	return bind(fd, (struct sockaddr *)&sa, sizeof(sa.sun_family));
}

int unix_join(int socket, int type, const struct unix_name *name, int there, int here)
{
	_cleanup_fd_ int listener = make_there(type, there, here);
	struct sockaddr_un sa;
	socklen_t len = sizeof(sa);
	int end;

	if (listener < 0 || bind_as(listener, name) < 0 || listen(listener, BACKLOG) < 0 ||
	    getsockname(listener, (struct sockaddr *)&sa, &len) < 0 || connect(socket, (struct sockaddr *)&sa, len) < 0)
		return -errno;
	end = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	return end < 0 ? -errno : end;
}
