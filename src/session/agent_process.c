// SPDX-License-Identifier: MIT
/* Starting the agent: the tunnel is its standard input and output, the lender's socket its descriptor 3. */
#include "session/agent_process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "target/agent_program.h"

enum { LEND_FD = 3 };

static _Noreturn void run_agent(const char *path, const struct target *t, int tunnel, int lend, enum log_level level, int log_fd)
{
	char pid[16];
	sigset_t none;
	const char *argv[] = { "mirrord-agent", "--target", t->text, "--pid", pid, "--netns", t->netns, "--etc", t->etc,
			 lend >= 0 ? "--lend" : NULL, NULL };
	int high_tunnel = fcntl(tunnel, F_DUPFD, LEND_FD + 1), high_lend = lend >= 0 ? fcntl(lend, F_DUPFD, LEND_FD + 1) : -1;

	snprintf(pid, sizeof(pid), "%d", t->pid);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setenv("MIRRORD_LOG", log_level_name(level), 1);
	if (log_fd >= 0)
		dup2(log_fd, STDERR_FILENO);
	dup2(high_tunnel, STDIN_FILENO);
	dup2(high_tunnel, STDOUT_FILENO);
	if (high_lend >= 0)
		dup2(high_lend, LEND_FD);
	close_range(high_lend >= 0 ? LEND_FD + 1 : LEND_FD, ~0U, 0);
	execv(path, (char **)argv);
	_exit(127);
}

int agent_process_start(const struct target *target, bool lend, enum log_level level, int log_fd, int *ret_tunnel, int *ret_lend,
			struct error *err)
{
	char path[PATH_MAX];
	int tunnel[2] = { -1, -1 }, lending[2] = { -1, -1 };
	pid_t pid = -1;

	if (agent_program_find(path, err) < 0)
		return -1;
	if (fd_bulk_pair(tunnel) < 0 ||
	    (lend && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, lending) < 0) || (pid = fork()) < 0)
		error_set(err, errno, "start the agent");
	if (pid == 0)
		run_agent(path, target, tunnel[1], lending[1], level, log_fd);
	fd_closep(&tunnel[1]);
	fd_closep(&lending[1]);
	if (pid < 0) {
		fd_closep(&tunnel[0]);
		fd_closep(&lending[0]);
		return -1;
	}
	*ret_tunnel = tunnel[0];
	*ret_lend = lending[0];
	return 0;
}
