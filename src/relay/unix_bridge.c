// SPDX-License-Identifier: MIT
/* Unix sockets at the ends of the tunnel. */
#include "relay/unix_bridge.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "relay/bridge.h"
#include "relay/records.h"

void unix_bridges_init(struct unix_bridges *all)
{
	list_init(&all->bridges);
	list_init(&all->records);
}

void unix_bridge_start(struct loop *loop, struct stream *s, enum stream_kind kind, int fd, struct backlog *early, bool ended,
		       struct unix_bridges *all)
{
	int pair[2];

	if (kind == STREAM_UNIX && fd_set_nonblocking(fd, true) == 0) {
		bridge_start_unix(loop, s, fd, early, ended, &all->bridges);
	} else if (kind == STREAM_RECORDS && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0) {
		records_start(loop, fd, pair[0], &all->records);
		bridge_start_unix(loop, s, pair[1], early, ended, &all->bridges);
	} else {
		stream_reset(s, errno);
		close(fd);
	}
}

void unix_bridges_reset(struct unix_bridges *all)
{
	bridge_reset_all(&all->bridges);
	records_end_all(&all->records);
}
