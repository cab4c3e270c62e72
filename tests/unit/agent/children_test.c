// SPDX-License-Identifier: MIT
#include "agent/children.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

static pid_t start(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		pause(); /* until it is killed */
		_exit(0);
	}
	return pid;
}

static struct children all;

static void look(struct timer *t)
{
	if (all.n == 1)
		loop_stop(all.loop);
	else
		loop_arm(all.loop, t, loop_now(all.loop) + 1000000);
}

int main(void)
{
	struct error err = { 0 };
	struct loop *loop = loop_new(&err);
	struct timer often = { .on_due = look };
	pid_t ends = start(), stays = start();

	children_init(&all, loop);
	tap_ok(children_add(&all, ends) == 0 && children_add(&all, stays) == 0, "two are added");
	kill(ends, SIGKILL);
	look(&often);
	tap_ok(loop_run(loop, &err) == 0 && all.n == 1, "one that ends is taken off");
	tap_ok(waitpid(ends, NULL, WNOHANG) < 0 && errno == ECHILD, "and has been reaped");
	children_fini(&all);
	tap_ok(waitpid(stays, NULL, WNOHANG) < 0 && errno == ECHILD, "so has one that was left at the end");
	loop_free(loop);
	return tap_done();
}
