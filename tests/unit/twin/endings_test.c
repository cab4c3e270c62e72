// SPDX-License-Identifier: MIT
/* The last close is heard of, whoever does it, and no other. */
#include "twin/endings.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "tap.h"

static int socket_of(int type)
{
	struct sockaddr_in any = { .sin_family = AF_INET };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 || (type == SOCK_STREAM && listen(fd, 1) < 0))
		abort();
	return fd;
}

/* A process that has copies of all descriptors until it is told to end. */
static pid_t keep_copies(int *ret_end)
{
	int pair[2];
	pid_t child;
	char byte;

	if (pipe(pair) < 0 || (child = fork()) < 0)
		abort();
	if (child == 0) {
		close(pair[1]);
		_exit(read(pair[0], &byte, 1) == 0 ? 0 : 1);
	}
	close(pair[0]);
	*ret_end = pair[1];
	return child;
}

static void test_close(int endings, int type)
{
	int fd = socket_of(type), other = dup(fd), end;
	pid_t child = keep_copies(&end);

	endings_await(endings, fd);
	endings_await(endings, other);
	close(fd);
	tap_ok(!endings_read(endings), "type %d: a copy of it is open", type);
	close(other);
	tap_ok(!endings_read(endings), "type %d: another process has one", type);
	close(end);
	if (waitpid(child, NULL, 0) < 0)
		abort();
	tap_ok(endings_read(endings), "type %d: the last one is closed", type);
	tap_ok(!endings_read(endings), "type %d: and that is told once", type);
}

/* In a message that nobody reads. */
static void test_sent(int endings)
{
	int fd = socket_of(SOCK_STREAM), pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	endings_await(endings, fd);
	tap_int(fd_send(pair[0], "x", 1, &fd, 1), 0, "sent");
	close(fd);
	tap_ok(!endings_read(endings), "it is on its way");
	close(pair[0]);
	close(pair[1]);
	tap_ok(endings_read(endings), "it is lost");
}

static void test_others(int endings)
{
	int fd = socket_of(SOCK_STREAM), watched = socket_of(SOCK_STREAM);

	endings_await(endings, watched);
	close(fd);
	tap_ok(!endings_read(endings), "another socket's end");
	close(watched);
	tap_ok(endings_read(endings), "its own");
	endings_await(endings, watched);
	endings_await(-1, STDERR_FILENO);
	tap_ok(!endings_read(endings) && !endings_read(-1), "what isn't there has no end");
}

int main(void)
{
	int endings = endings_open();

	tap_ok(endings >= 0, "open");
	test_close(endings, SOCK_STREAM);
	test_close(endings, SOCK_DGRAM);
	test_sent(endings);
	test_others(endings);
	close(endings);
	return tap_done();
}
