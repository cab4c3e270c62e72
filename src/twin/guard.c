// SPDX-License-Identifier: MIT
/* The guard's life: it is started by the launcher just before the anchor, so the anchor doesn't count it. It has the rights that the launcher
 * had: over the twin's network and the program's mounts. Session and keeper both hold the other end of its socket. So an end without QUIT says that
 * both were killed, and there is nobody else to end the program. */
#include "twin/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/orphan.h"
#include "twin/post.h"
#include "twin/restore.h"

enum { LOOK_EVERY = 1000 }; /* milliseconds, where nothing tells of changes */

struct guard {
	struct post post;
	struct twin_files *files;
	int other_end;
};

static bool obey(struct guard *g)
{
	char what;
	int fds[2] = { -1, -1 };
	size_t n = 0;
	bool goes_on;

	if (fd_receive(g->post.sock, &what, 1, fds, 2, &n, 0) <= 0) {
		post_end_program(&g->post);
		return false;
	}
	goes_on = post_obey(&g->post, what, fds);
	fd_closep(&fds[0]);
	fd_closep(&fds[1]);
	return goes_on;
}

static void run(void *arg)
{
	struct guard *g = arg;
	int kept[2 + TWIN_FILES_MAX] = { g->post.sock, g->post.session }, watch, wait;
	struct pollfd fds[2] = { { .events = POLLIN }, { .events = POLLIN } };

	for (size_t i = 0; i < TWIN_FILES_MAX; i++)
		kept[2 + i] = i < g->files->n ? g->files->files[i].spare : -1;
	if (orphan_settle("mirrord-guard", kept, 2 + TWIN_FILES_MAX) < 0)
		_exit(1);
	fds[0].fd = g->post.sock = kept[0];
	g->post.session = kept[1];
	for (size_t i = 0; i < g->files->n; i++)
		g->files->files[i].spare = kept[2 + i];
	g->post.net_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	fds[1].fd = watch = restore_watch(g->files);
	wait = watch < 0 && g->files->n ? LOOK_EVERY : -1;
	restore_all(g->files, watch); /* what happened before the watch */
	do {
		if (poll(fds, 2, wait) == 0 || fds[1].revents)
			restore_all(g->files, watch);
	} while (!fds[0].revents || obey(g));
	_exit(0);
}

int guard_start(int session, struct twin_files *files, int *ret_sock, struct error *err)
{
	struct guard g = { .post = { .session = session, .program = -1, .guard = -1 }, .files = files };
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set(err, errno, "start the guard");
	g.post.sock = pair[1];
	*ret_sock = pair[0];
	if (orphan_start(run, &g) < 0) {
		error_set(err, errno, "start the guard");
		fd_closep(ret_sock);
	}
	close(pair[1]);
	return *ret_sock < 0 ? -1 : 0;
}
