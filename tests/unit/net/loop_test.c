// SPDX-License-Identifier: MIT
#include "net/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
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

/* A pair of which one end is closed last: how it looks to the other end in deferred work, and after the turn. */
static int pair[2], seen_deferred, seen_after;
static struct watch closed_last, after;
static struct deferred look;

/* 0: the other end is closed, EAGAIN: it isn't. */
static int outcome(void)
{
	char c;

	return recv(pair[1], &c, 1, MSG_DONTWAIT) < 0 ? errno : 0;
}

static void on_look(struct deferred *d)
{
	seen_deferred = outcome();
}

static void on_after(struct watch *w, uint32_t events)
{
	seen_after = outcome();
	loop_unwatch(loop, w);
	loop_stop(loop);
}

static void on_closing(struct watch *w, uint32_t events)
{
	char c;

	tap_int(recv(w->fd, &c, 1, 0), 1, "what it was woken for");
	loop_close_last(loop, w);
	loop_defer(loop, &look, on_look);
	loop_watch(loop, &after, pipes[0][1], EPOLLOUT, on_after);
}

static void start_pair(void)
{
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 || send(pair[1], "x", 1, 0) != 1)
		abort();
	closed_last = (struct watch){ 0 };
	loop_watch(loop, &closed_last, pair[0], EPOLLIN, on_closing);
}

static void test_close_last(void)
{
	struct error err = { 0 };
	int before;

	start_pair();
	tap_int(loop_run(loop, &err), 0, "a descriptor that is closed last");
	tap_int(seen_deferred, EAGAIN, "is open while deferred work runs");
	tap_int(seen_after, 0, "and closed at the end of the turn");
	close(pair[1]);
	tap_ok(!loop_close_waiting(loop), "nothing waits to be closed");
	start_pair();
	loop_close_last(loop, &closed_last);
	tap_ok(loop_close_waiting(loop), "one waits");
	tap_int(outcome(), ECONNRESET, "and is closed when that is asked for");
	close(pair[1]);
	before = dup(pipes[0][0]);
	close(before);
	for (int i = 0; i < 300; i++) /* more than there is room for */
		loop_close_last(loop, &(struct watch){ .fd = dup(pipes[0][0]) });
	loop_close_waiting(loop);
	tap_int(dup(pipes[0][0]), before, "of many none stays open");
	close(before);
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
	test_close_last();
	loop_free(loop);
	return tap_done();
}
