// SPDX-License-Identifier: MIT
#include <err.h>
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "driver.h"
#include "gate.h"
#include "samples.h"

/* Time from before the spawn until the command has been waited for, in nanoseconds. */
static uint64_t run_once(char **command)
{
	uint64_t start = clock_ns();
	int status, error;
	pid_t pid;

	error = posix_spawnp(&pid, command[0], NULL, NULL, command, environ);
	errno = error;
	if (error)
		err(1, "%s", command[0]);
	if (waitpid(pid, &status, 0) < 0)
		err(1, "wait for %s", command[0]);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		errx(1, "%s ended with status %#x", command[0], (unsigned)status);
	return clock_ns() - start;
}

int figure_spawn(const struct options *o)
{
	struct samples s = { 0 };

	if (!o->command[0])
		errx(2, "no command");
	gate("ready", NULL);
	run_once(o->command);
	for (int i = 0; i < o->count; i++)
		samples_add(&s, run_once(o->command));
	printf("{\"p50_ms\": %.3f, \"min_ms\": %.3f, \"max_ms\": %.3f}\n", (double)samples_percentile(&s, 50) / 1e6,
	       (double)samples_percentile(&s, 0) / 1e6, (double)samples_percentile(&s, 100) / 1e6);
	samples_fini(&s);
	return 0;
}
