// SPDX-License-Identifier: MIT
#include "net/loop.h"

#include <stdlib.h>
#include <unistd.h>

#include "tap.h"

static struct loop *loop;
static struct watch watches[2];
static int pipes[2][2], calls;
static int fired[64], n_fired;

/* Both pipes are readable in one batch; whichever comes first unwatches the other. */
static void on_either(struct watch *w, uint32_t events)
{
	calls++;
	loop_unwatch(loop, &watches[w == &watches[0]]);
	loop_unwatch(loop, w);
}

struct numbered_timer {
	struct timer timer;
	int number;
};

static void on_timer(struct timer *t)
{
	fired[n_fired++] = ((struct numbered_timer *)(void *)t)->number;
	if (n_fired == 31)
		loop_stop(loop);
}

int main(void)
{
	struct numbered_timer timers[32] = { 0 };
	struct error err = { 0 };
	int in_order = 1;

	loop = loop_new(&err);
	tap_ok(loop, "new");
	for (int i = 0; i < 2; i++) {
		if (pipe(pipes[i]) < 0 || write(pipes[i][1], "x", 1) != 1)
			return 1;
		tap_int(loop_watch(loop, &watches[i], pipes[i][0], EPOLLIN, on_either), 0, "watch");
	}
	srand(1);
	for (int i = 0; i < 32; i++) {
		timers[i] = (struct numbered_timer){ .number = i };
		timers[i].timer.on_due = on_timer;
		loop_arm(loop, &timers[i].timer, loop_now(loop) + (uint64_t)rand() % LOOP_SECOND);
	}
	for (int i = 0; i < 32; i++) /* moved both ways in the heap */
		loop_arm(loop, &timers[i].timer, loop_now(loop) + (uint64_t)(i * 7 % 32) * LOOP_MS);
	loop_disarm(loop, &timers[5].timer);
	tap_int(loop_run(loop, &err), 0, "run");
	tap_int(calls, 1, "an unwatched descriptor's event of the same batch is struck out");
	for (int i = 1; i < n_fired; i++)
		in_order &= fired[i - 1] * 7 % 32 < fired[i] * 7 % 32;
	tap_int(n_fired, 31, "all timers but the disarmed one");
	tap_ok(in_order, "in order of their due times");
	loop_free(loop);
	return tap_done();
}
