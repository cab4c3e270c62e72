// SPDX-License-Identifier: MIT
/* Connecting to a Unix socket of the target's.
 *
 * An abstract name belongs to the network namespace that the socket was made in, which is the target's. A path is looked up below the
 * target's root directory, symbolic links included (openat2(2), RESOLVE_IN_ROOT), and the socket connected to by /proc/self/fd, so a prefix can't
 * make it too long. The agent is the target's user by then: rights count as for the target's own processes.
 *
 * A connect to a Unix socket never takes long: with a full queue it says EAGAIN, and the session asks again. */
#include "agent/unix_target.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "relay/unix_bridge.h"

struct unix_target {
	struct loop *loop;
	struct unix_bridges bridges;
	int root;
};

/* Returns 0, or -1 with errno. */
static int connect_to(int fd, const struct unix_name *name)
{
	struct sockaddr_un sa;
	socklen_t len = unix_name_to_sockaddr(name, &sa);

	return connect(fd, (struct sockaddr *)&sa, len);
}

static int connect_path(int root, int fd, const struct unix_name *name)
{
	const struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	char path[UNIX_NAME_MAX + 1], link[32];
	struct unix_name there;
	_cleanup_fd_ int inode = -1;

	snprintf(path, sizeof(path), "%.*s", name->len, name->bytes);
	inode = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	if (inode < 0)
		return -1;
	unix_name_set(&there, link, (size_t)snprintf(link, sizeof(link), "/proc/self/fd/%d", inode));
	return connect_to(fd, &there);
}

/* The connected socket, or -errno. */
static int dial(const struct unix_target *u, const struct stream_request *r)
{
	int type = r->kind == STREAM_UNIX ? SOCK_STREAM : SOCK_SEQPACKET;
	_cleanup_fd_ int fd = -1;

	if (!r->name.len)
		return -EINVAL;
	if (!unix_name_is_abstract(&r->name) && u->root < 0)
		return -EACCES;
	fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || (unix_name_is_abstract(&r->name) ? connect_to(fd, &r->name) : connect_path(u->root, fd, &r->name)) < 0)
		return -errno;
	return fd_steal(&fd);
}

void unix_target_open(struct unix_target *u, struct stream *s, const struct stream_request *request)
{
	static const struct stream_events none = { 0 };
	int fd = dial(u, request);

	if (fd < 0) {
		stream_reset(s, -fd);
		return;
	}
	stream_accept(s, &none, NULL);
	unix_bridge_start(u->loop, s, request->kind, fd, NULL, false, &u->bridges);
}

struct unix_target *unix_target_new(struct loop *loop, int root)
{
	struct unix_target *u = calloc(1, sizeof(*u));

	if (!u) {
		fd_closep(&root);
		return NULL;
	}
	*u = (struct unix_target){ .loop = loop, .root = root };
	unix_bridges_init(&u->bridges);
	return u;
}

void unix_target_free(struct unix_target *u)
{
	if (!u)
		return;
	unix_bridges_reset(&u->bridges);
	fd_closep(&u->root);
	free(u);
}
