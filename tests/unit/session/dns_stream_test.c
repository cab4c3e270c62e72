// SPDX-License-Identifier: MIT
/* DNS over TCP between a program and its server, both played here, by socket pairs. */
#include "session/dns_stream.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/bytes.h"
#include "clock.h"
#include "tap.h"

enum { MESSAGE = 60000, MESSAGES = 5 }; /* more than a socket takes at once, less than a side may keep beside it */

static struct loop *loop;

static void on_due(struct timer *t)
{
	loop_stop(loop);
}

/* Returns how many turns of the loop it took. */
static unsigned int run_for(unsigned int ms)
{
	struct timer t = { .on_due = on_due };
	struct error err = { 0 };
	const unsigned int before = clock_turns;

	loop_arm(loop, &t, loop_now(loop) + ms * (uint64_t)LOOP_MS);
	loop_run(loop, &err);
	return clock_turns - before;
}

static void pair(int ret[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret) < 0)
		abort();
}

/* How many bytes come until the end, which is waited for. */
static size_t read_all(int fd)
{
	static uint8_t data[65536];
	size_t total = 0;

	for (int quiet = 0; quiet < 50;) {
		ssize_t n = recv(fd, data, sizeof(data), 0);

		if (n == 0)
			return total;
		if (n > 0)
			total += (size_t)n;
		else
			quiet++;
		run_for(10);
	}
	return 0;
}

/* Both have sent their end, and the server still has questions to read: it is waited for in peace. */
static void test_ended_both(void)
{
	static uint8_t message[2 + MESSAGE];
	const struct endpoint from = { .port = 40000 }, to = { .port = 53 };
	struct dns_local *dns = NULL;
	struct dns_streams *s = dns_streams_new(loop, &dns, NULL);
	int program[2], server[2];

	pair(program);
	pair(server);
	dns_streams_join(s, program[1], server[1], &from, &to);
	put16(message, MESSAGE);
	for (size_t sent = 0; sent < MESSAGES * sizeof(message);) {
		size_t at = sent % sizeof(message);
		ssize_t n = send(program[0], message + at, sizeof(message) - at, MSG_NOSIGNAL);

		sent += n > 0 ? (size_t)n : 0;
		run_for(10);
	}
	shutdown(program[0], SHUT_WR);
	shutdown(server[0], SHUT_WR);
	run_for(20);
	tap_int(dns_streams_count(s), 1, "the server has not read all");
	tap_ok(run_for(1000) < 10, "it is waited for without work");
	tap_int(read_all(server[0]), MESSAGES * sizeof(message), "it gets all");
	run_for(20);
	tap_int(dns_streams_count(s), 0, "then the connection ends");
	tap_int(recv(program[0], message, 1, 0), 0, "the program has the server's end");
	close(program[0]);
	close(server[0]);
	dns_streams_free(s);
}

int main(void)
{
	struct error err = { 0 };

	alarm(60);
	loop = loop_new(&err);
	if (!loop)
		abort();
	test_ended_both();
	loop_free(loop);
	return tap_done();
}
