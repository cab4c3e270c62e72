// SPDX-License-Identifier: MIT
#include "relay/pump.h"

#include <sys/ioctl.h>

#include "flow_tests.h"
#include "isolate.h"

/* Four socket buffers of twice SMALL (socket(7)), what TCP allows over that, and a read of the pump's. */
enum { MOST = 8 * 2 * SMALL + (512 << 10) };

static struct list all;
static volatile int ended;

struct start {
	int fds[2], result;
};

static void on_end(void *arg)
{
	ended++;
}

static void start(void *arg)
{
	struct start *s = arg;

	s->result = pump_start(loop, s->fds[0], s->fds[1], &all, on_end, NULL);
}

static void reset_all(void *arg)
{
	pump_reset_all(&all);
}

static void count(void *arg)
{
	int *n = arg;

	for (struct list *i = all.next; i != &all; i = i->next)
		++*n;
}

static int pumps(void)
{
	int n = 0;

	on_loop(count, &n);
	return n;
}

static struct flow pumped(void (*pair)(int[2], int), int size)
{
	struct start s;
	struct flow f;

	for (int i = 0; i < 2; i++) {
		int p[2];

		pair(p, size);
		f.peers[i] = p[0];
		s.fds[i] = p[1];
	}
	on_loop(start, &s);
	if (s.result)
		abort();
	return f;
}

static struct flow tcp_flow(int size)
{
	return pumped(tcp_pair, size);
}

static struct flow unix_flow(int size)
{
	return pumped(unix_pair, size);
}

static const struct carrier carriers[] = {
	{ "tcp", tcp_flow, pumps, MOST, true },
	{ "unix", unix_flow, pumps, MOST, false },
};

static void test_urgent(void)
{
	struct flow f = tcp_flow(0);
	struct pollfd p = { .fd = f.peers[1], .events = POLLPRI };
	char data[16] = "", byte = 0;
	int at_mark = 0;

	send(f.peers[0], "before", 6, 0);
	send(f.peers[0], "!", 1, MSG_OOB);
	send(f.peers[0], "after", 5, 0);
	tap_int(poll(&p, 1, PATIENCE_S * 1000), 1, "urgent data is announced");
	tap_ok(recv(f.peers[1], &byte, 1, MSG_OOB) == 1 && byte == '!', "it is the byte that was sent");
	tap_ok(recv(f.peers[1], data, sizeof(data), 0) == 6 && memcmp(data, "before", 6) == 0, "reads stop at the mark");
	tap_ok(ioctl(f.peers[1], SIOCATMARK, &at_mark) == 0 && at_mark, "it is where it was");
	tap_ok(recv(f.peers[1], data, 5, MSG_WAITALL) == 5 && memcmp(data, "after", 5) == 0, "the rest comes behind");
	close(f.peers[0]);
	close(f.peers[1]);
	tap_int(await_count(&carriers[0], 0), 0, "over");
}

/* Bulk isn't copied by the pump; the urgent byte between its bytes, and the end or the reset behind them, come in their places all the same. */
static void test_urgent_in_bulk(void)
{
	enum { ROUNDS = 20, HALF = 1 << 20 };
	int right = 0, ends = 0;

	for (int i = 0; i < ROUNDS; i++) {
		struct flow f = tcp_flow(0);
		struct transfer *t = transfer(send_main, f.peers[0], HALF, 1), *got;
		char byte = 0;

		setsockopt(f.peers[1], SOL_SOCKET, SO_OOBINLINE, &(int){ 1 }, sizeof(int));
		got = transfer(receive_main, f.peers[1], HALF, 1);
		transferred(t);
		send(f.peers[0], "!", 1, MSG_OOB);
		t = transfer(send_main, f.peers[0], HALF, 2);
		right += transferred(got) == HALF && recv(f.peers[1], &byte, 1, MSG_WAITALL) == 1 && byte == '!' &&
			 receive_pattern(f.peers[1], 0, HALF, 2) == HALF;
		transferred(t);
		if (i % 2)
			shutdown(f.peers[0], SHUT_WR);
		else
			reset(f.peers[0]);
		ends += read_outcome(f.peers[1]) == (i % 2 ? 0 : ECONNRESET);
		close(f.peers[1]);
		if (i % 2)
			close(f.peers[0]);
	}
	tap_int(right, ROUNDS, "an urgent byte between bulk");
	tap_int(ends, ROUNDS, "and the end, or the reset, behind it");
	tap_int(await_count(&carriers[0], 0), 0, "over");
}

static void test_reset_all(void)
{
	struct flow f[2] = { tcp_flow(0), tcp_flow(0) };

	ended = 0;
	on_loop(reset_all, NULL);
	tap_int(ended, 2, "reset of all: each ends");
	for (int i = 0; i < 4; i++) {
		tap_int(read_outcome(f[i / 2].peers[i % 2]), ECONNRESET, "reset of all: each peer gets one");
		close(f[i / 2].peers[i % 2]);
	}
}

static void test_on_end(void)
{
	struct flow f = tcp_flow(0);

	ended = 0;
	reset(f.peers[0]);
	tap_int(await(&ended, 1), 1, "the end is told");
	close(f.peers[1]);
}

static void ask_kept(void *arg)
{
	*(size_t *)arg = pump_kept();
}

/* Many senders, and nobody reads: what is kept of all together ends at the limit, but for one read and a little of each. */
static void test_kept(void)
{
	enum { SLOW = 60, LIMIT = 2 << 20, READ = 512 << 10, LEAN = 32 << 10 };
	static uint8_t data[1 << 20];
	struct flow flows[SLOW];
	size_t kept, before = 0;

	pump_limit(LIMIT);
	for (int i = 0; i < SLOW; i++)
		flows[i] = unix_flow(0);
	for (int quiet = 0; quiet < 20; quiet = kept == before ? quiet + 1 : 0, before = kept) {
		for (int i = 0; i < SLOW; i++)
			while (send(flows[i].peers[0], data, sizeof(data), MSG_DONTWAIT) > 0)
				;
		poll(NULL, 0, 5);
		on_loop(ask_kept, &kept);
	}
	tap_ok(kept > LIMIT, "slow readers: the limit is reached (%zu KiB)", kept >> 10);
	tap_ok(kept <= LIMIT + READ + SLOW * LEAN, "and not passed by much");
	for (int i = 0; i < SLOW; i++) {
		close(flows[i].peers[0]);
		close(flows[i].peers[1]);
	}
	tap_int(await_count(&carriers[1], 0), 0, "over");
	on_loop(ask_kept, &kept);
	tap_int(kept, 0, "and nothing is kept");
	pump_limit(PUMP_KEPT);
}

static void test_failed_start(void)
{
	struct start s = { .fds = { -1, -1 } };
	int p[2];

	tcp_pair(p, 0);
	s.fds[0] = p[1];
	ended = 0;
	on_loop(start, &s);
	tap_int(s.result, -EBADF, "a start that fails says so");
	tap_int(read_outcome(p[0]), ECONNRESET, "and resets");
	close(p[0]);
	tap_int(pumps() + ended, 0, "and lists nothing, and tells no end");
}

int main(void)
{
	int before;

	isolate(); /* its thousands of connections in TIME_WAIT would be in others' way */
	fd_raise_limit();
	list_init(&all);
	loop_thread_start();
	before = open_descriptors();
	for (size_t i = 0; i < 2; i++)
		test_carrier(&carriers[i]);
	test_urgent();
	test_urgent_in_bulk();
	test_on_end();
	test_reset_all();
	test_kept();
	test_failed_start();
	tap_int(open_descriptors(), before, "no descriptor is left");
	loop_thread_stop();
	return tap_done();
}
