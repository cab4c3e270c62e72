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

enum { LONG_MS = 20000, SHORT_MS = 200, BUSY_MS = 20, MANY = 257 };

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

/* The processor time that @child has used. */
static long time_of(pid_t child)
{
	struct timespec used = { 0 };
	clockid_t clock;

	if (clock_getcpuclockid(child, &clock) == 0)
		clock_gettime(clock, &used);
	return used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

/* More than it has room for: the last one waits without keeping it busy, and is taken when there is room. */
static void test_many(void)
{
	const struct timespec pause = { .tv_nsec = 400 * 1000000L };
	pid_t child = start();
	int fds[MANY], good = 0;
	long before;

	for (int i = 0; i < MANY; i++)
		good += (fds[i] = hold()) >= 0;
	tap_int(good, MANY, "many agents hold it");
	before = time_of(child);
	nanosleep(&pause, NULL);
	tap_ok(time_of(child) - before < BUSY_MS, "and don't keep it busy");
	close(fds[0]);
	kill(child, SIGTERM);
	tap_int(is_readable(fds[MANY - 1], LONG_MS), 1, "one that had no room is told, too");
	for (int i = 1; i < MANY; i++)
		close(fds[i]);
	tap_int(end_of(child, LONG_MS), 0, "and the last one's end is the end");
}

int main(void)
{
	snprintf(name, sizeof(name), "test-%d", getpid());
	test_told(SIGTERM);
	test_told(SIGINT);
	test_nobody();
	test_last_goes();
	test_many();
	return tap_done();
}
