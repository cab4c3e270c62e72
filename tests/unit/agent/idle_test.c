// SPDX-License-Identifier: MIT
/* The process that holds a container: when it ends, and whom it tells. */
#include "agent/idle.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"

enum { LONG_MS = 20000, SHORT_MS = 200 };

static char name[40];

static pid_t start(void)
{
	char command[] = "idle", name_option[] = "--name", wait_option[] = "--wait", seconds[] = "30";
	char *argv[] = { command, name_option, name, wait_option, seconds, NULL };
	pid_t child = fork();

	if (child == 0)
		_exit(agent_idle(5, argv));
	return child;
}

/* It may take a while to be there. */
static int hold(void)
{
	int fd = -1;

	for (int i = 0; i < 100 && fd < 0; i++)
		fd = agent_idle_hold(name);
	return fd;
}

static int is_readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

/* Its exit status when it ends within @ms, else -1. */
static int end_of(pid_t child, int ms)
{
	const struct timespec pause = { .tv_nsec = 5000000 };
	int status;

	for (int waited = 0; waited <= ms; waited += 5) {
		if (waitpid(child, &status, WNOHANG) == child)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
		nanosleep(&pause, NULL);
	}
	return -1;
}

static void test_told(int number)
{
	pid_t child = start();
	int a = hold(), b = hold();

	tap_ok(a >= 0 && b >= 0, "two agents hold it");
	tap_int(is_readable(a, SHORT_MS), 0, "and hear nothing");
	kill(child, number);
	tap_int(is_readable(a, LONG_MS) && is_readable(b, LONG_MS), 1, "signal %d: both are told", number);
	tap_int(end_of(child, SHORT_MS), -1, "it waits for them");
	close(a);
	tap_int(end_of(child, SHORT_MS), -1, "for both");
	close(b);
	tap_int(end_of(child, LONG_MS), 0, "and ends");
}

static void test_nobody(void)
{
	pid_t child = start();

	close(hold()); /* it is there by now */
	kill(child, SIGTERM);
	tap_int(end_of(child, LONG_MS), 0, "with no agent it ends at once");
}

static void test_last_goes(void)
{
	pid_t child = start();
	int a = hold();

	tap_int(end_of(child, SHORT_MS), -1, "it stays with an agent");
	close(a);
	tap_int(end_of(child, LONG_MS), 0, "and goes after the last one");
}

int main(void)
{
	snprintf(name, sizeof(name), "test-%d", getpid());
	test_told(SIGTERM);
	test_told(SIGINT);
	test_nobody();
	test_last_goes();
	return tap_done();
}
