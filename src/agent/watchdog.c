// SPDX-License-Identifier: MIT
/* The watchdog waits for the end of a socket whose other end the agent has. It is a session of its own, so that what ends the agent's process
 * group does not end it, and it has nothing else of the agent's: a copy of the nftables connection would keep the table alive. */
#include "agent/watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/steal_route.h"
#include "base/fd.h"

static _Noreturn void watch(int fd)
{
	char byte;

	close(STDIN_FILENO);
	close(STDOUT_FILENO);
	fd_drop_stderr();
	setsid();
	signal(SIGTERM, SIG_IGN);
	while (read(fd, &byte, 1) < 0 && errno == EINTR)
		;
	steal_route_clear();
	_exit(0);
}

int watchdog_start(struct watchdog *w, struct error *err)
{
	int kept;

	w->fd = -1;
	w->pid = fd_fork_connected("mirrord-watch", SOCK_STREAM, &kept, 1, &w->fd);
	if (w->pid == 0)
		watch(kept);
	return w->pid < 0 ? error_set(err, errno, "start the watchdog") : 0;
}

void watchdog_stop(struct watchdog *w)
{
	if (w->fd < 0)
		return;
	fd_closep(&w->fd);
	while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR)
		;
}
