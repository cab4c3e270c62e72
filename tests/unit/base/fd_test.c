// SPDX-License-Identifier: MIT
/* fd_keep_only(): in a child each, since it closes everything. What a descriptor is shows by its file's inode. */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

enum { HIGHEST = 200, FILES = 3 };

static const struct {
	const char *name;
	int at[FILES]; /* where three files stand before; -1: not there */
	int want[FILES];
	rlim_t limit;
} rows[] = {
	{ "in order", { 3, 4, 5 }, { 3, 4, 5 }, 1024 },
	{ "turned round", { 5, 4, 3 }, { 3, 4, 5 }, 1024 },
	{ "each where another goes", { 4, 5, 3 }, { 3, 4, 5 }, 1024 },
	{ "far apart", { 150, 7, 64 }, { 3, 4, 5 }, 1024 },
	{ "one is not there", { 64, -1, 3 }, { 3, -1, 4 }, 1024 },
	{ "none is there", { -1, -1, -1 }, { -1, -1, -1 }, 1024 },
	{ "few descriptors allowed", { 5, 4, 3 }, { 3, 4, 5 }, 10 },
};

static ino_t inode(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? 0 : st.st_ino;
}

static int count_open(void)
{
	int n = 0;

	for (int fd = STDERR_FILENO + 1; fd <= HIGHEST; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* The exit status: 0, or which check failed. */
static int try_row(size_t row)
{
	int fds[FILES], files[FILES], n = 0;
	struct rlimit limit = { rows[row].limit, rows[row].limit };

	for (int i = 0; i < FILES; i++)
		files[i] = fcntl(fileno(tmpfile()), F_DUPFD, HIGHEST + 1);
	close_range(STDERR_FILENO + 1, HIGHEST, 0);
	for (int i = 0; i < FILES; i++)
		fds[i] = rows[row].at[i] < 0 ? -1 : dup2(files[i], rows[row].at[i]);
	dup2(STDERR_FILENO, rows[row].limit > 100 ? 100 : 8); /* somebody else's */
	setrlimit(RLIMIT_NOFILE, &limit);
	if (fd_keep_only(fds, FILES) < 0)
		return 1;
	for (int i = 0; i < FILES; i++) {
		n += fds[i] >= 0;
		if (fds[i] != rows[row].want[i])
			return 2;
		if (fds[i] >= 0 && !(fcntl(fds[i], F_GETFD) & FD_CLOEXEC))
			return 3;
	}
	return count_open() == n ? 0 : 4;
}

/* Which file stands where. */
static int try_identity(void)
{
	FILE *a = tmpfile(), *b = tmpfile();
	ino_t first = inode(fileno(a)), second = inode(fileno(b));
	int fds[2] = { fileno(b), fileno(a) };

	return fd_keep_only(fds, 2) == 0 && inode(3) == second && inode(4) == first ? 0 : 1;
}

static int status_of(int (*test)(void), size_t row)
{
	pid_t child = fork();
	int status = -1;

	if (child == 0)
		_exit(test ? test() : try_row(row));
	waitpid(child, &status, 0);
	return status;
}

static bool is_called(pid_t pid, const char *name)
{
	char path[64], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		abort();
	close(fd);
	return strcmp(text, name) == 0;
}

/* What the parent closes after it is closed, the child has its name, and what it was given. */
static void test_fork(void)
{
	int closed = 0, named = 0, given = 0, ended = 0, status;

	for (int i = 0; i < 50; i++) {
		int own = -1, other[2], also[2], kept[2];
		char byte = 0;
		pid_t child;

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, other) < 0 || pipe2(also, O_CLOEXEC) < 0)
			abort();
		kept[1] = also[1];
		child = fd_fork_connected("a-child", SOCK_STREAM, kept, 2, &own);
		if (child == 0)
			_exit(kept[0] != 3 || kept[1] != 4 || read(3, &byte, 1) != 1 || write(4, &byte, 1) != 1 || read(3, &byte, 1) != 0);
		close(other[1]);
		closed += recv(other[0], &byte, 1, MSG_DONTWAIT) == 0;
		named += is_called(child, "a-child\n");
		given += write(own, "x", 1) == 1 && read(also[0], &byte, 1) == 1 && byte == 'x';
		close(own);
		close(also[0]);
		close(also[1]);
		close(other[0]);
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
		ended += status == 0;
	}
	tap_int(closed, 50, "what the parent closes is closed");
	tap_int(named, 50, "the child is called what it is to be");
	tap_int(given, 50, "the child has what it was given");
	tap_int(ended, 50, "and reads the end when the parent closes its socket");
}

static int size_of(int fd)
{
	int size = 0;

	getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, &(socklen_t){ sizeof(size) });
	return size;
}

/* Linux lets everybody have twice net.core.wmem_max, whose default is that of the sockets' buffers. */
static void test_bulk_pair(void)
{
	int bulk[2] = { -1, -1 }, plain[2] = { -1, -1 };

	tap_int(fd_bulk_pair(bulk), 0, "a pair for bulk");
	tap_int(socketpair(AF_UNIX, SOCK_STREAM, 0, plain), 0, "and a plain one");
	for (int i = 0; i < 2; i++) {
		tap_ok(size_of(bulk[i]) > size_of(plain[i]), "a larger buffer (%d bytes instead of %d)", size_of(bulk[i]), size_of(plain[i]));
		tap_int(fcntl(bulk[i], F_GETFD), FD_CLOEXEC, "which no other program gets");
	}
	for (int i = 0; i < 2; i++) {
		close(bulk[i]);
		close(plain[i]);
	}
}

int main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		tap_int(status_of(NULL, i), 0, "%s", rows[i].name);
	tap_int(status_of(try_identity, 0), 0, "each number has its own file");
	test_fork();
	test_bulk_pair();
	return tap_done();
}
