// SPDX-License-Identifier: MIT
/* A clock of the test's own, for tests of one thread: it stands while there is something to do, and jumps to the loop's next timer when there
 * isn't. So how fast the machine is, and who else runs on it, is nothing that such a test can see.
 *
 * With UNIT_SHUFFLE=N in the environment the loop sees what is ready in another order, and often one thing of it at a time: what holds only in
 * the kernel's order fails for some N. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { CLOCK_SECOND = 1000000000, CLOCK_MS = 1000000, CLOCK_TURN = 20000 }; /* what a turn of the loop takes */

static uint64_t clock_time = 1000ULL * CLOCK_SECOND;
static unsigned int clock_turns; /* of the loop, so far */

int clock_gettime(clockid_t id, struct timespec *ret)
{
	*ret = (struct timespec){ .tv_sec = (time_t)(clock_time / CLOCK_SECOND), .tv_nsec = (long)(clock_time % CLOCK_SECOND) };
	return 0;
}

static inline unsigned int clock_draw(void)
{
	static uint64_t state;

	if (!state)
		state = strtoul(getenv("UNIT_SHUFFLE"), NULL, 10) + 1;
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned int)(state >> 33);
}

static inline void clock_shuffle(struct epoll_event *events, int n)
{
	for (int i = n - 1; i > 0; i--) {
		struct epoll_event *other = &events[clock_draw() % (unsigned int)(i + 1)], e = events[i];

		events[i] = *other;
		*other = e;
	}
}

int epoll_wait(int fd, struct epoll_event *events, int max, int ms)
{
	const bool shuffled = getenv("UNIT_SHUFFLE");
	long n;

	if (shuffled && clock_draw() % 2)
		max = 1;
	clock_turns++;
	n = syscall(SYS_epoll_pwait, fd, events, max, ms < 0 ? -1 : 0, NULL, 0);
	clock_time += n == 0 && ms > 0 ? (uint64_t)ms * CLOCK_MS : CLOCK_TURN;
	if (shuffled)
		clock_shuffle(events, (int)n);
	return (int)n;
}
