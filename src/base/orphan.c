// SPDX-License-Identifier: MIT
/* Becoming a process by itself. */
#include "base/orphan.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

/* A child that makes no SIGCHLD: the program might find it pending. */
static pid_t fork_quietly(void)
{
	return (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);
}

int orphan_start(void (*run)(void *arg), void *arg)
{
	int status, subreaper = 0, saved;
	pid_t child;

	prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
	if (subreaper)
		prctl(PR_SET_CHILD_SUBREAPER, 0);
	child = fork_quietly();
	saved = errno;
	if (child == 0) {
		setsid();
		child = fork();
		if (child == 0)
			run(arg);
		_exit(child < 0 ? errno : 0);
	}
	while (child > 0 && waitpid(child, &status, __WALL) < 0 && errno == EINTR)
		;
	if (subreaper)
		prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	errno = child < 0 ? saved : WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
	return -1;
}

static void reset_signals(void)
{
	static const int ignored[] = { SIGPIPE, SIGHUP, SIGCHLD /* our own children are reaped by the kernel */,
				       SIGXFSZ, SIGXCPU /* limits are the program's */ };
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
}

/* The launcher has seen to it that the standard descriptors are open. */
static void leave_standard_descriptors(void)
{
	int nowhere = open("/dev/null", O_RDWR);

	if (nowhere < 0) /* in a chroot without /dev: what can be neither read nor written does as well */
		nowhere = open("/", O_PATH);
	dup2(nowhere, STDIN_FILENO);
	dup2(nowhere, STDOUT_FILENO);
	fcntl(STDERR_FILENO, F_SETFD, 0);
}

int orphan_settle(const char *name, int *kept, size_t n)
{
	prctl(PR_SET_NAME, name);
	reset_signals();
	leave_standard_descriptors();
	(void)!chdir("/");
	return fd_keep_only(kept, n);
}
