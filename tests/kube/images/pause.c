// SPDX-License-Identifier: MIT
/* The first process of a pod's sandbox: holds the namespaces, buries orphans, ends when it is told to. */
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>

int main(void)
{
	sigset_t all;
	int sig;

	sigemptyset(&all);
	sigaddset(&all, SIGTERM);
	sigaddset(&all, SIGINT);
	sigaddset(&all, SIGCHLD);
	sigprocmask(SIG_BLOCK, &all, NULL);
	while (sigwait(&all, &sig) == 0 && sig == SIGCHLD)
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	return 0;
}
