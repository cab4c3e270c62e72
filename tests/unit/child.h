// SPDX-License-Identifier: MIT
/* Tests that change what a process is (its user, its namespaces) run in one of their own. */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

/* Runs @test in a child, whose checks count as ours. */
static inline void in_child(void (*test)(void))
{
	int status, p[2], counts[2];
	pid_t child;

	if (pipe(p) < 0)
		abort();
	fflush(stdout);
	child = fork();
	if (child == 0) {
		test();
		fflush(stdout);
		_exit(write(p[1], (int[]){ tap_count, tap_failed }, sizeof(counts)) != sizeof(counts));
	}
	close(p[1]);
	if (read(p[0], counts, sizeof(counts)) == sizeof(counts)) {
		tap_count = counts[0];
		tap_failed = counts[1];
	}
	waitpid(child, &status, 0);
	close(p[0]);
	if (status != 0)
		tap_ok(false, "the child ended with status %#x", (unsigned int)status);
}
