// SPDX-License-Identifier: MIT
/* With RELAY_TEST_BYTES=1073741824 in the environment the bulk test moves 1 GiB each way. */
#include "relay/pump.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include "isolate.h"
#include "loop_thread.h"
#include "peers.h"
#include "tap.h"

enum { SMALL = 16 << 10, FLOWS = 2000, KEPT_MAX = 128 << 10 };

typedef void (*make_pair)(int pair[2], int size);

static struct list all;
static volatile int ended;

/* Two peers, and the sockets that a pump joins. */
struct flow {
	int peers[2], ours[2], result;
};

static void on_end(void *arg)
{
	ended++;
}

static void start(void *arg)
{
	struct flow *f = arg;

	f->result = pump_start(loop, f->ours[0], f->ours[1], &all, on_end, NULL);
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

static int listed(void)
{
	int n = 0;

	on_loop(count, &n);
	return n;
}

static struct flow flow(make_pair pair, int size)
{
	struct flow f;

	for (int i = 0; i < 2; i++) {
		int p[2];

		pair(p, size);
		f.peers[i] = p[0];
		f.ours[i] = p[1];
	}
	ended = 0;
	on_loop(start, &f);
	if (f.result)
		abort();
	return f;
}

/* A peer's stream of bytes in a thread of its own. */
struct transfer {
	pthread_t thread;
	int fd;
	uint64_t len, seed, done;
};

static void *send_main(void *arg)
{
	struct transfer *t = arg;

	t->done = send_pattern(t->fd, 0, t->len, t->seed) ? t->len : 0;
	return NULL;
}

static void *receive_main(void *arg)
{
	struct transfer *t = arg;

	t->done = receive_pattern(t->fd, 0, t->len, t->seed);
	return NULL;
}

static struct transfer *transfer(void *(*run)(void *), int fd, uint64_t len, uint64_t seed)
{
	struct transfer *t = calloc(1, sizeof(*t));

	*t = (struct transfer){ .fd = fd, .len = len, .seed = seed };
	if (pthread_create(&t->thread, NULL, run, t) != 0)
		abort();
	return t;
}

static uint64_t transferred(struct transfer *t)
{
	uint64_t done;

	pthread_join(t->thread, NULL);
	done = t->done;
	free(t);
	return done;
}

static void test_half_close(const char *name, make_pair pair, int first)
{
	struct flow f = flow(pair, 0);
	int a = f.peers[first], b = f.peers[!first];
	struct transfer *t;

	t = transfer(send_main, a, 100000, 1);
	tap_int(receive_pattern(b, 0, 100000, 1), 100000, "%s: bytes there", name);
	transferred(t);
	shutdown(a, SHUT_WR);
	tap_int(read_outcome(b), 0, "%s: the half-close arrives", name);
	t = transfer(send_main, b, 3000000, 2);
	tap_int(receive_pattern(a, 0, 3000000, 2), 3000000, "%s: the other direction goes on", name);
	transferred(t);
	tap_int(listed(), 1, "%s: the pump lives on", name);
	close(b);
	tap_int(read_outcome(a), 0, "%s: the second end arrives", name);
	close(a);
	tap_int(await(&ended, 1), 1, "%s: ended", name);
	tap_int(listed(), 0, "%s: not listed any more", name);
}

/* Everything is sent and closed before the reader starts: the pump ends, the bytes are the kernel's. */
static void test_graceful_end_loses_nothing(const char *name, make_pair pair)
{
	struct flow f = flow(pair, 0);

	tap_ok(send_pattern(f.peers[0], 0, 100000, 3), "%s: sent and closed", name);
	shutdown(f.peers[0], SHUT_WR);
	shutdown(f.peers[1], SHUT_WR);
	tap_int(read_outcome(f.peers[0]), 0, "%s: the other's end", name);
	tap_int(await(&ended, 1), 1, "%s: the pump is over", name);
	close(f.peers[0]);
	tap_int(receive_pattern(f.peers[1], 0, 100000, 3), 100000, "%s: all bytes arrive afterwards", name);
	tap_int(read_outcome(f.peers[1]), 0, "%s: and an end, no reset", name);
	close(f.peers[1]);
}

static void test_reset(const char *name, int first, bool half_closed)
{
	struct flow f = flow(tcp_pair, 0);
	int a = f.peers[first], b = f.peers[!first];

	tap_ok(send_pattern(a, 0, 10, 4) && receive_pattern(b, 0, 10, 4) == 10, "%s: joined", name);
	if (half_closed) {
		shutdown(b, SHUT_WR);
		tap_int(read_outcome(a), 0, "%s: half-closed before", name);
	}
	reset(a);
	tap_int(read_outcome(b), ECONNRESET, "%s: the reset arrives as one", name);
	close(b);
	tap_int(await(&ended, 1), 1, "%s: ended", name);
}

static void test_reset_behind_bytes(int first)
{
	struct flow f = flow(tcp_pair, 0);
	int a = f.peers[first], b = f.peers[!first];

	send_pattern(a, 0, 5000, 5);
	reset(a);
	tap_int(await(&ended, 1), 1, "reset behind bytes: ended");
	tap_int(receive_pattern(b, 0, 5001, 5), 5000, "reset behind bytes: the bytes arrive");
	tap_int(read_outcome(b), 0, "reset behind bytes: then the end of an error that was read already");
	close(b);
}

/* Sends until nothing more is taken for a tenth of a second. Returns how much was. */
static uint64_t fill(int fd)
{
	uint64_t sent = 0;
	uint8_t block[4096];

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		ssize_t r;

		for (size_t i = 0; i < sizeof(block); i++)
			block[i] = pattern(sent + i, 6);
		r = send(fd, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL);
		if (r > 0)
			sent += (uint64_t)r;
		else if (poll(&p, 1, 100) == 0)
			return sent;
	}
}

static void test_slow_reader(const char *name, make_pair pair)
{
	struct flow slow = flow(pair, SMALL), other = flow(pair, 0);
	uint64_t sent = fill(slow.peers[0]);
	struct rusage before, after;
	struct transfer *t;

	/* Four socket buffers of twice SMALL (socket(7)) and what TCP allows over it, and ours. */
	tap_ok(sent > 0 && sent <= 8 * 2 * SMALL + KEPT_MAX, "%s: an unread direction takes %llu bytes and no more", name,
	       (unsigned long long)sent);
	t = transfer(send_main, other.peers[0], 4 << 20, 7);
	tap_int(receive_pattern(other.peers[1], 0, 4 << 20, 7), 4 << 20, "%s: another flow goes on", name);
	transferred(t);
	tap_ok(send_pattern(slow.peers[1], 0, 1000, 8) && receive_pattern(slow.peers[0], 0, 1000, 8) == 1000,
	       "%s: so does its other direction", name);
	getrusage(RUSAGE_SELF, &before);
	poll(NULL, 0, 300);
	getrusage(RUSAGE_SELF, &after);
	tap_ok((after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1000000 +
			       after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec - before.ru_stime.tv_usec <
		       100000,
	       "%s: waiting takes no processor", name);
	tap_int(receive_pattern(slow.peers[1], 0, sent, 6), sent, "%s: all of it arrives when it is read", name);
	shutdown(slow.peers[0], SHUT_WR);
	tap_int(read_outcome(slow.peers[1]), 0, "%s: and the end behind it", name);
	for (int i = 0; i < 2; i++) {
		close(slow.peers[i]);
		close(other.peers[i]);
	}
	tap_int(await(&ended, 2), 2, "%s: ended", name);
}

/* The end comes while bytes are kept. */
static void test_end_behind_kept_bytes(const char *name, make_pair pair)
{
	struct flow f = flow(pair, SMALL);
	uint64_t sent = fill(f.peers[0]);

	close(f.peers[0]);
	tap_int(receive_pattern(f.peers[1], 0, sent + 1, 6), sent, "%s: kept bytes arrive", name);
	tap_int(read_outcome(f.peers[1]), 0, "%s: the end comes behind them", name);
	close(f.peers[1]);
	tap_int(await(&ended, 1), 1, "%s: ended", name);
}

/* Either side resets while a direction is full. */
static void test_reset_of_full(int who)
{
	struct flow f = flow(tcp_pair, SMALL);
	char block[4096];
	ssize_t r;

	fill(f.peers[0]);
	reset(f.peers[who]);
	while ((r = recv(f.peers[!who], block, sizeof(block), 0)) > 0)
		;
	tap_int(r < 0 ? errno : 0, ECONNRESET, "full, %s resets: the other gets it", who ? "reader" : "writer");
	close(f.peers[!who]);
	tap_int(await(&ended, 1), 1, "full, %s resets: ended", who ? "reader" : "writer");
}

static void test_close_while_other_sends(void)
{
	struct flow f = flow(tcp_pair, 0);
	int error = 0;

	close(f.peers[1]);
	tap_int(read_outcome(f.peers[0]), 0, "a full close first shows as an end");
	for (int i = 0; i < 1000 && !error; i++) {
		if (send(f.peers[0], "x", 1, MSG_NOSIGNAL) < 0)
			error = errno;
		poll(NULL, 0, 1);
	}
	tap_int(error, EPIPE, "who sends on gets a reset (EPIPE: the end was read)");
	tap_int(await(&ended, 1), 1, "ended");
	close(f.peers[0]);
}

static void test_urgent(void)
{
	struct flow f = flow(tcp_pair, 0);
	struct pollfd p = { .fd = f.peers[1], .events = POLLPRI };
	char data[16] = "", byte = 0;
	int at_mark = 0;

	send(f.peers[0], "before", 6, 0);
	send(f.peers[0], "!", 1, MSG_OOB);
	send(f.peers[0], "after", 5, 0);
	tap_int(poll(&p, 1, 5000), 1, "urgent data is announced");
	tap_ok(recv(f.peers[1], &byte, 1, MSG_OOB) == 1 && byte == '!', "it is the byte that was sent");
	tap_ok(recv(f.peers[1], data, sizeof(data), 0) == 6 && memcmp(data, "before", 6) == 0, "reads stop at the mark");
	tap_ok(ioctl(f.peers[1], SIOCATMARK, &at_mark) == 0 && at_mark, "it is where it was");
	tap_ok(recv(f.peers[1], data, 5, MSG_WAITALL) == 5 && memcmp(data, "after", 5) == 0, "the rest comes behind");
	close(f.peers[0]);
	close(f.peers[1]);
	tap_int(await(&ended, 1), 1, "ended");
}

static void test_bulk(const char *name, make_pair pair)
{
	const char *bytes = getenv("RELAY_TEST_BYTES");
	uint64_t len = bytes ? strtoull(bytes, NULL, 0) : 24 << 20;
	struct flow f = flow(pair, 0);
	struct transfer *t[4];

	for (int i = 0; i < 2; i++) {
		t[i] = transfer(send_main, f.peers[i], len, 10 + (uint64_t)i);
		t[2 + i] = transfer(receive_main, f.peers[!i], len, 10 + (uint64_t)i);
	}
	for (int i = 0; i < 4; i++)
		tap_int(transferred(t[i]), len, "%s: bulk both ways, %s %d", name, i < 2 ? "sender" : "receiver", i % 2);
	close(f.peers[0]);
	close(f.peers[1]);
	tap_int(await(&ended, 1), 1, "%s: bulk ended", name);
}

static void test_many(void)
{
	static struct flow flows[FLOWS];
	int good = 0, ends = 0;

	for (int i = 0; i < FLOWS; i++)
		flows[i] = flow(tcp_pair, 0);
	tap_int(listed(), FLOWS, "%d flows at once", FLOWS);
	for (int i = 0; i < FLOWS; i++)
		send_pattern(flows[i].peers[i & 1], 0, 3000, (uint64_t)i);
	for (int i = 0; i < FLOWS; i++)
		good += receive_pattern(flows[i].peers[!(i & 1)], 0, 3000, (uint64_t)i) == 3000;
	tap_int(good, FLOWS, "each gets its own bytes");
	for (int i = 0; i < FLOWS; i++)
		close(flows[i].peers[0]);
	for (int i = 0; i < FLOWS; i++)
		ends += read_outcome(flows[i].peers[1]) == 0;
	tap_int(ends, FLOWS, "each sees its end");
	for (int i = 0; i < FLOWS; i++)
		close(flows[i].peers[1]);
	tap_int(await(&ended, FLOWS), FLOWS, "all ended");
}

static void test_reset_all(void)
{
	struct flow f[2] = { flow(tcp_pair, 0), flow(tcp_pair, 0) };

	on_loop(reset_all, NULL);
	tap_int(ended, 2, "reset of all: each ends");
	for (int i = 0; i < 4; i++) {
		tap_int(read_outcome(f[i / 2].peers[i % 2]), ECONNRESET, "reset of all: each peer gets one");
		close(f[i / 2].peers[i % 2]);
	}
}

static void test_failed_start(void)
{
	struct flow f = { .result = 0 };
	int p[2];

	tcp_pair(p, 0);
	f.ours[0] = p[1];
	f.ours[1] = -1;
	on_loop(start, &f);
	tap_int(f.result, -EBADF, "a start that fails says so");
	tap_int(read_outcome(p[0]), ECONNRESET, "and resets");
	close(p[0]);
	tap_int(listed(), 0, "and lists nothing");
}

static int open_descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 4096; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_all_kinds(const char *name, make_pair pair)
{
	test_half_close(name, pair, 0);
	test_half_close(name, pair, 1);
	test_graceful_end_loses_nothing(name, pair);
	test_slow_reader(name, pair);
	test_end_behind_kept_bytes(name, pair);
	test_bulk(name, pair);
}

int main(void)
{
	int before;

	isolate(); /* its thousands of connections in TIME_WAIT would be in others' way */
	fd_raise_limit();
	list_init(&all);
	loop_thread_start();
	before = open_descriptors();
	test_all_kinds("tcp", tcp_pair);
	test_all_kinds("unix", unix_pair);
	for (int first = 0; first < 2; first++) {
		test_reset("reset", first, false);
		test_reset("reset of a half-closed one", first, true);
		test_reset_behind_bytes(first);
		test_reset_of_full(first);
	}
	test_close_while_other_sends();
	test_urgent();
	test_many();
	test_reset_all();
	test_failed_start();
	tap_int(open_descriptors(), before, "no descriptor is left");
	loop_thread_stop();
	return tap_done();
}
