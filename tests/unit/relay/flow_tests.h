// SPDX-License-Identifier: MIT
/* What every carrier of connections has to do, whatever is between its ends; the pump and the tunnel are tested by the same rows.
 * With RELAY_TEST_BYTES=1073741824 in the environment the bulk test moves 1 GiB each way. */
#pragma once

#include <stdio.h>
#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "loop_thread.h"
#include "peers.h"
#include "tap.h"

enum { SMALL = 16 << 10, FLOWS = 2000, MOST_TURNS = 1000 };

/* Two peers whose connections end at the carrier, which joins them. */
struct flow {
	int peers[2];
};

struct carrier {
	const char *name;
	/* Connects two peers; @size, when not 0, is that of every socket buffer on the way. */
	struct flow (*flow)(int size);
	int (*count)(void); /* flows that are carried now */
	uint64_t most;	    /* bytes that an unread direction may take with buffers of SMALL */
	bool resets;	    /* its connections can be reset */
};

/* Waits until no more than @n flows are carried, with patience. Returns how many are. */
static inline int await_count(const struct carrier *c, int n)
{
	int now = c->count();

	for (int i = 0; i < PATIENCE_S * 1000 && now > n; i++) {
		poll(NULL, 0, 1);
		now = c->count();
	}
	return now;
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

static void test_half_close(const struct carrier *c, int first)
{
	struct flow f = c->flow(0);
	int a = f.peers[first], b = f.peers[!first];
	struct transfer *t;

	t = transfer(send_main, a, 100000, 1);
	tap_int(receive_pattern(b, 0, 100000, 1), 100000, "%s: bytes there", c->name);
	transferred(t);
	shutdown(a, SHUT_WR);
	tap_int(read_outcome(b), 0, "%s: the half-close arrives", c->name);
	t = transfer(send_main, b, 3000000, 2);
	tap_int(receive_pattern(a, 0, 3000000, 2), 3000000, "%s: the other direction goes on", c->name);
	transferred(t);
	tap_int(c->count(), 1, "%s: it is carried still", c->name);
	close(b);
	tap_int(read_outcome(a), 0, "%s: the second end arrives", c->name);
	close(a);
	tap_int(await_count(c, 0), 0, "%s: over", c->name);
}

/* Everything is sent and closed before the reader starts: the carrier is done, the bytes are the kernel's. */
static void test_graceful_end_loses_nothing(const struct carrier *c)
{
	struct flow f = c->flow(0);

	tap_ok(send_pattern(f.peers[0], 0, 100000, 3), "%s: sent and closed", c->name);
	shutdown(f.peers[0], SHUT_WR);
	shutdown(f.peers[1], SHUT_WR);
	tap_int(read_outcome(f.peers[0]), 0, "%s: the other's end", c->name);
	tap_int(await_count(c, 0), 0, "%s: it is over", c->name);
	close(f.peers[0]);
	tap_int(receive_pattern(f.peers[1], 0, 100000, 3), 100000, "%s: all bytes arrive afterwards", c->name);
	tap_int(read_outcome(f.peers[1]), 0, "%s: and an end, no reset", c->name);
	close(f.peers[1]);
}

/* @half_closed: which peer half-closed before, -1 for none. */
static void test_reset(const struct carrier *c, int first, int half_closed)
{
	struct flow f = c->flow(0);
	int a = f.peers[first], b = f.peers[!first];

	tap_ok(send_pattern(a, 0, 10, 4) && receive_pattern(b, 0, 10, 4) == 10, "%s: joined", c->name);
	if (half_closed >= 0) {
		shutdown(f.peers[half_closed], SHUT_WR);
		tap_int(read_outcome(f.peers[!half_closed]), 0, "%s: half-closed by %d", c->name, half_closed);
	}
	reset(a);
	if (half_closed != first) {
		tap_int(read_outcome(b), ECONNRESET, "%s: a reset arrives as one", c->name);
	} else { /* behind an end that was read, no read tells of it */
		struct pollfd p = { .fd = b };

		tap_ok(poll(&p, 1, PATIENCE_S * 1000) == 1 && p.revents & POLLERR, "%s: a reset behind an end arrives", c->name);
	}
	close(b);
	tap_int(await_count(c, 0), 0, "%s: over", c->name);
}

/* A reset takes away what the kernel still has to send. */
static void await_acknowledged(int fd)
{
	for (int left = 1; left && poll(NULL, 0, 1) == 0;)
		if (ioctl(fd, SIOCOUTQ, &left) < 0)
			abort();
}

static void test_reset_behind_bytes(const struct carrier *c, int first)
{
	struct flow f = c->flow(0);
	int a = f.peers[first], b = f.peers[!first];

	send_pattern(a, 0, 5000, 5);
	await_acknowledged(a);
	reset(a);
	tap_int(await_count(c, 0), 0, "%s, reset behind bytes: over", c->name);
	tap_int(receive_pattern(b, 0, 5001, 5), 5000, "%s, reset behind bytes: the bytes arrive", c->name);
	tap_int(read_outcome(b), 0, "%s, reset behind bytes: then the end, the error was read already", c->name);
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

static volatile int turns; /* of the loop */

/* The kernel's own, counted. */
int epoll_wait(int fd, struct epoll_event *events, int max, int ms)
{
	turns++;
	return epoll_pwait(fd, events, max, ms, NULL);
}

static void test_slow_reader(const struct carrier *c, int writer)
{
	struct flow slow = c->flow(SMALL), other = c->flow(0);
	int a = slow.peers[writer], b = slow.peers[!writer];
	uint64_t sent = fill(a);
	struct transfer *t;
	int before;

	tap_ok(sent > 0 && sent <= c->most, "%s: an unread direction takes %llu bytes, at most %llu", c->name, (unsigned long long)sent,
	       (unsigned long long)c->most);
	t = transfer(send_main, other.peers[0], 4 << 20, 7);
	tap_int(receive_pattern(other.peers[1], 0, 4 << 20, 7), 4 << 20, "%s: another flow goes on", c->name);
	transferred(t);
	tap_ok(send_pattern(b, 0, 1000, 8) && receive_pattern(a, 0, 1000, 8) == 1000, "%s: so does its other direction", c->name);
	before = turns;
	poll(NULL, 0, 300);
	tap_ok(turns - before < MOST_TURNS, "%s: waiting takes no turns of the loop", c->name);
	tap_int(receive_pattern(b, 0, sent, 6), sent, "%s: all of it arrives when it is read", c->name);
	shutdown(a, SHUT_WR);
	tap_int(read_outcome(b), 0, "%s: and the end behind it", c->name);
	for (int i = 0; i < 2; i++) {
		close(slow.peers[i]);
		close(other.peers[i]);
	}
	tap_int(await_count(c, 0), 0, "%s: over", c->name);
}

/* The end comes while bytes wait; the reader may have ended its own direction before. */
static void test_end_behind_waiting_bytes(const struct carrier *c, int writer, bool reader_ended)
{
	struct flow f = c->flow(SMALL);
	uint64_t sent;

	if (reader_ended) {
		shutdown(f.peers[!writer], SHUT_WR);
		tap_int(read_outcome(f.peers[writer]), 0, "%s: the reader has ended its direction", c->name);
	}
	sent = fill(f.peers[writer]);
	close(f.peers[writer]);
	tap_int(receive_pattern(f.peers[!writer], 0, sent + 1, 6), sent, "%s: bytes that waited arrive", c->name);
	tap_int(read_outcome(f.peers[!writer]), 0, "%s: the end comes behind them", c->name);
	close(f.peers[!writer]);
	tap_int(await_count(c, 0), 0, "%s: over", c->name);
}

/* Either peer resets while a direction is full. */
static void test_reset_of_full(const struct carrier *c, int writer, int who)
{
	struct flow f = c->flow(SMALL);
	char block[4096];
	ssize_t r;

	fill(f.peers[writer]);
	reset(f.peers[who]);
	while ((r = recv(f.peers[!who], block, sizeof(block), 0)) > 0)
		;
	tap_int(r < 0 ? errno : 0, ECONNRESET, "%s, full, %s resets: the other gets it", c->name, who == writer ? "writer" : "reader");
	close(f.peers[!who]);
	tap_int(await_count(c, 0), 0, "%s, full, %s resets: over", c->name, who == writer ? "writer" : "reader");
}

static void test_close_while_other_sends(const struct carrier *c, int closer)
{
	struct flow f = c->flow(0);
	int error = 0;

	close(f.peers[closer]);
	tap_int(read_outcome(f.peers[!closer]), 0, "%s: a full close first shows as an end", c->name);
	for (int i = 0; i < PATIENCE_S * 1000 && !error; i++) {
		if (send(f.peers[!closer], "x", 1, MSG_NOSIGNAL) < 0)
			error = errno;
		poll(NULL, 0, 1);
	}
	tap_int(error, EPIPE, "%s: who sends on gets a reset (EPIPE: the end was read)", c->name);
	tap_int(await_count(c, 0), 0, "%s: over", c->name);
	close(f.peers[!closer]);
}

/* Sends until it is told that nobody listens any more. */
static void *send_until_told(void *arg)
{
	static const char block[65536];

	while (send(*(int *)arg, block, sizeof(block), MSG_NOSIGNAL) > 0)
		;
	return NULL;
}

static void set_cpus(void *arg)
{
	sched_setaffinity(0, sizeof(cpu_set_t), arg);
}

/* Who answers before it has read everything, and closes, resets what is still being sent; its answer arrives all the same. On one CPU: who moves
 * to another between send() and close() leaves the bytes in the first one's queue of lo, where the reset overtakes them (4 of 9,600 times under
 * Linux 6.1 with more threads than CPUs, 0 of 14,400 on one). */
static void test_early_answer(const struct carrier *c, int first)
{
	enum { ROUNDS = 50 };
	cpu_set_t all, one;
	int right = 0;

	sched_getaffinity(0, sizeof(all), &all);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	set_cpus(&one);
	on_loop(set_cpus, &one);
	for (int i = 0; i < ROUNDS; i++) {
		struct flow f = c->flow(0);
		int a = f.peers[first], b = f.peers[!first];
		char answer[8] = "";
		pthread_t sender;

		if (pthread_create(&sender, NULL, send_until_told, &a))
			abort();
		if (recv(b, answer, 1, 0) == 1 && send(b, "too long", 8, 0) == 8)
			close(b);
		pthread_join(sender, NULL);
		right += recv(a, answer, 8, MSG_WAITALL) == 8 && memcmp(answer, "too long", 8) == 0 && read_outcome(a) == 0;
		close(a);
	}
	set_cpus(&all);
	on_loop(set_cpus, &all);
	tap_int(right, ROUNDS, "%s: an answer to who still sends arrives before the reset", c->name);
	tap_int(await_count(c, 0), 0, "%s: over", c->name);
}

static void test_bulk(const struct carrier *c)
{
	const char *bytes = getenv("RELAY_TEST_BYTES");
	uint64_t len = bytes ? strtoull(bytes, NULL, 0) : 24 << 20;
	struct flow f = c->flow(0);
	struct transfer *t[4];

	for (int i = 0; i < 2; i++) {
		t[i] = transfer(send_main, f.peers[i], len, 10 + (uint64_t)i);
		t[2 + i] = transfer(receive_main, f.peers[!i], len, 10 + (uint64_t)i);
	}
	for (int i = 0; i < 4; i++)
		tap_int(transferred(t[i]), len, "%s: bulk both ways, %s %d", c->name, i < 2 ? "sender" : "receiver", i % 2);
	close(f.peers[0]);
	close(f.peers[1]);
	tap_int(await_count(c, 0), 0, "%s: over", c->name);
}

static void test_many(const struct carrier *c)
{
	static struct flow flows[FLOWS];
	int good = 0, ends = 0;

	for (int i = 0; i < FLOWS; i++)
		flows[i] = c->flow(0);
	tap_int(c->count(), FLOWS, "%s: %d flows at once", c->name, FLOWS);
	for (int i = 0; i < FLOWS; i++)
		send_pattern(flows[i].peers[i & 1], 0, 3000, (uint64_t)i);
	for (int i = 0; i < FLOWS; i++)
		good += receive_pattern(flows[i].peers[!(i & 1)], 0, 3000, (uint64_t)i) == 3000;
	tap_int(good, FLOWS, "%s: each gets its own bytes", c->name);
	for (int i = 0; i < FLOWS; i++)
		close(flows[i].peers[0]);
	for (int i = 0; i < FLOWS; i++)
		ends += read_outcome(flows[i].peers[1]) == 0;
	tap_int(ends, FLOWS, "%s: each sees its end", c->name);
	for (int i = 0; i < FLOWS; i++)
		close(flows[i].peers[1]);
	tap_int(await_count(c, 0), 0, "%s: all over", c->name);
}

static void test_carrier(const struct carrier *c)
{
	for (int side = 0; side < 2; side++) {
		test_half_close(c, side);
		test_slow_reader(c, side);
		test_end_behind_waiting_bytes(c, side, false);
		test_end_behind_waiting_bytes(c, side, true);
	}
	test_graceful_end_loses_nothing(c);
	test_bulk(c);
	for (int side = 0; side < 2 && c->resets; side++) {
		for (int half_closed = -1; half_closed < 2; half_closed++)
			test_reset(c, side, half_closed);
		test_reset_behind_bytes(c, side);
		test_reset_of_full(c, side, side);
		test_reset_of_full(c, side, !side);
		test_close_while_other_sends(c, side);
		test_early_answer(c, side);
	}
	if (c->resets)
		test_many(c);
}
