// SPDX-License-Identifier: MIT
/* What the session says to keeper and guard. A message is a letter; ARM has descriptors beside it, CUT is answered. */
#include "twin/post.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "twin/build.h"

enum { SESSION_END = 2000, CUT_TIME = 1000 }; /* milliseconds */

static int say(int sock, char what, const int *fds, size_t n)
{
	return fd_send(sock, &what, sizeof(what), fds, n);
}

int post_arm(int sock, int pidfd, int guard, struct error *err)
{
	const int fds[2] = { pidfd, guard };

	return say(sock, POST_ARM, fds, guard < 0 ? 1 : 2) < 0 ? error_set(err, errno, "talk to keeper and guard") : 0;
}

int post_cut(int sock)
{
	struct pollfd answer = { .fd = sock, .events = POLLIN };
	char done;

	return say(sock, POST_CUT, NULL, 0) == 0 && poll(&answer, 1, CUT_TIME) > 0 && recv(sock, &done, 1, MSG_DONTWAIT) == 1 ? 0 : -1;
}

void post_quiet(int sock)
{
	say(sock, POST_QUIET, NULL, 0);
}

void post_quit(int sock)
{
	say(sock, POST_QUIT, NULL, 0);
	close(sock);
}

bool post_obey(struct post *p, char what, int fds[2])
{
	if (what == POST_ARM) {
		p->program = fd_steal(&fds[0]);
		p->guard = fd_steal(&fds[1]);
	} else if (what == POST_CUT) {
		twin_cut(p->net_ns);
		say(p->sock, POST_CUT, NULL, 0);
	} else if (what == POST_QUIET) {
		fd_drop_stderr();
	}
	return what != POST_QUIT;
}

void post_end_program(struct post *p)
{
	static const char why[] = "mirrord: the session ended unexpectedly (killed?): the program has lost its network and is being terminated\n";
	struct pollfd session = { .fd = p->session, .events = POLLIN };

	if (p->program < 0)
		return;
	/* All sockets of the dying session are closed, and the connections reset, when its process has ended. */
	poll(&session, 1, SESSION_END);
	twin_cut(p->net_ns);
	log_write(STDERR_FILENO, LOG_LAST_WORDS, why, sizeof(why) - 1);
	syscall(SYS_pidfd_send_signal, p->program, SIGTERM, NULL, 0);
	if (p->guard >= 0)
		post_quit(fd_steal(&p->guard));
}
