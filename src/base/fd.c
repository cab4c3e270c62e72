// SPDX-License-Identifier: MIT
/* File descriptors: ownership, SCM_RIGHTS, limits. */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SEND_TRIES = 2500, SEND_PAUSE_NS = 2000000 }; /* five seconds in all */

void fd_closep(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

int fd_steal(int *fd)
{
	int r = *fd;

	*fd = -1;
	return r;
}

/* Of the descriptors that all processes of a user have on their way at a time, there may be no more than one process may have open. Those of
 * others arrive soon. */
static bool wait_for_others(int sock, int *tries)
{
	static const struct timespec step = { .tv_nsec = SEND_PAUSE_NS };

	if (errno != ETOOMANYREFS || ++*tries > SEND_TRIES || fcntl(sock, F_GETFL) & O_NONBLOCK)
		return false;
	nanosleep(&step, NULL);
	return true;
}

int fd_send(int sock, const void *data, size_t len, const int *fds, size_t n)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * FD_MESSAGE_MAX)];
	} control;
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int tries = 0;
	ssize_t r;

	if (n > FD_MESSAGE_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	if (n) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
	}
	do
		r = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (r < 0 && (errno == EINTR || wait_for_others(sock, &tries)));
	return r < 0 ? -1 : 0;
}

/* Takes the descriptors out of @msg; those beyond @max are closed. Returns how many came. */
static size_t take_fds(struct msghdr *msg, int *fds, size_t max)
{
	size_t n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++, n++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (n < max)
				fds[n] = fd;
			else
				close(fd);
		}
	}
	return n;
}

ssize_t fd_receive(int sock, void *data, size_t len, int *fds, size_t max, size_t *ret_n, int flags)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * FD_MESSAGE_MAX)];
	} control;
	struct iovec iov = { .iov_base = data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	ssize_t r;
	size_t n;

	do
		r = recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -1;
	n = take_fds(&msg, fds, max);
	if (n > max || (msg.msg_flags & MSG_CTRUNC)) {
		for (size_t i = 0; i < n && i < max; i++)
			close(fds[i]);
		errno = EMSGSIZE;
		return -1;
	}
	*ret_n = n;
	return r;
}

/* The number that is closed is the lowest free one then, and there is one however many are open. */
void fd_drop_stderr(void)
{
	close(STDERR_FILENO);
	if (open("/dev/null", O_RDWR) < 0)
		(void)!open("/", O_PATH);
}

/* In two steps, since one may stand where another is to go. */
int fd_keep_only(int *fds, size_t n)
{
	int next = STDERR_FILENO + 1, first_free = next + (int)n;

	for (size_t i = 0; i < n; i++)
		if (fds[i] >= 0 && (fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, first_free)) < 0)
			return -1;
	for (size_t i = 0; i < n; i++) {
		if (fds[i] < 0)
			continue;
		if (dup3(fds[i], next, O_CLOEXEC) < 0)
			return -1;
		fds[i] = next++;
	}
	return close_range((unsigned int)next, ~0U, 0);
}

/* The child's end of a pipe is closed with all the rest. */
static pid_t fork_with(const char *name, int *fds, size_t n)
{
	int done[2], saved;
	char byte;
	pid_t pid;

	if (pipe2(done, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_NAME, name);
		if (fd_keep_only(fds, n) < 0)
			_exit(1);
		return 0;
	}
	saved = errno;
	close(done[1]);
	while (pid > 0 && read(done[0], &byte, 1) < 0 && errno == EINTR)
		;
	close(done[0]);
	errno = saved;
	return pid;
}

pid_t fd_fork_connected(const char *name, int type, int *fds, size_t n, int *ret_sock)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	fds[0] = pair[1];
	pid = fork_with(name, fds, n);
	if (pid == 0)
		return 0;
	fd_closep(&pair[1]);
	if (pid < 0)
		fd_closep(&pair[0]);
	else
		*ret_sock = pair[0];
	return pid;
}

int fd_set_nonblocking(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -1;
	return fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
}

int fd_reset_on_close(int fd, bool on)
{
	const struct linger linger = { .l_onoff = on };

	return setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

/* A unix socket's buffer doesn't grow by itself as TCP's does; one that takes two frames puts one side or the other to sleep for each. */
bool fd_is_unix(int fd)
{
	int domain = 0;

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &(socklen_t){ sizeof(domain) }) == 0 && domain == AF_UNIX;
}

int fd_bulk_pair(int pair[2])
{
	static const int size = 1 << 20;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	for (int i = 0; i < 2; i++)
		setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return 0;
}

size_t fd_raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 1024;
	if (limit.rlim_cur < limit.rlim_max) {
		rlim_t before = limit.rlim_cur;

		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
			limit.rlim_cur = before;
	}
	return (size_t)limit.rlim_cur;
}

char *fd_read_all(int fd, size_t max, size_t *ret_len)
{
	size_t len = 0, room = 4096;
	char *data = malloc(room + 1);

	while (data) {
		ssize_t r = read(fd, data + len, room - len);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 || len + (size_t)r > max) {
			int saved = r < 0 ? errno : EFBIG;

			free(data);
			errno = saved;
			return NULL;
		}
		if (r == 0) {
			data[len] = '\0';
			if (ret_len)
				*ret_len = len;
			return data;
		}
		len += (size_t)r;
		if (len == room) {
			char *more = realloc(data, (room *= 2) + 1);

			if (!more)
				free(data);
			data = more;
		}
	}
	errno = ENOMEM;
	return NULL;
}

int fd_write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t r = write(fd, p, len);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -1;
		p += r;
		len -= (size_t)r;
	}
	return 0;
}
