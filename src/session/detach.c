// SPDX-License-Identifier: MIT
/* Becoming a process by itself. */
#include "session/detach.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fd.h"

static void reset_signals(void)
{
	static const int ignored[] = { SIGPIPE, SIGHUP, SIGCHLD /* agent and keeper are reaped by the kernel */,
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

void session_detach(const struct session_options *o, int launcher, int *ret_launcher, int *ret_log)
{
	int kept[] = { launcher, o->log_fd };

	prctl(PR_SET_NAME, "mirrord-session");
	reset_signals();
	leave_standard_descriptors();
	if (fd_keep_only(kept, 2) < 0)
		_exit(1);
	*ret_launcher = kept[0];
	*ret_log = kept[1];
	log_init("mirrord-session", o->log_level, kept[1] >= 0 ? kept[1] : STDERR_FILENO);
	(void)!chdir("/");
}
