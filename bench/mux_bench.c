// SPDX-License-Identifier: MIT
/* Two muxes in two processes over a unix socket: bytes per second of one stream, and the round trip of 64 bytes on another, alone
 * and beside it. The bulk comes from read(2) into the queue and is thrown away on the other side. With the argument "resumable" both keep what
 * they sent until it is acknowledged. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tunnel/mux.h"

enum { SAMPLES = 20000, SECONDS = 2, BULK = 1, PROBE = 2 };

static struct loop *loop;
static struct mux *mux;
static int zero;
static struct stream *bulk, *probe;
static uint64_t sent_at, bulk_bytes, samples[SAMPLES];
static size_t n_samples;

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * LOOP_SECOND + (uint64_t)ts.tv_nsec;
}

static void send_some(struct stream *s, const uint8_t *data, size_t len)
{
	size_t room;
	uint8_t *place = stream_reserve(s, &room);

	for (size_t i = 0; place && i < len && i < room; i++)
		place[i] = data[i];
	if (place)
		stream_commit(s, len);
}

/* The agent: throws the bulk away, echoes the probe. */
static void on_sink(void *arg, const uint8_t *data, size_t len)
{
	stream_consumed(*(struct stream **)arg, len);
}

static void on_echo(void *arg, const uint8_t *data, size_t len)
{
	send_some(probe, data, len);
	stream_consumed(probe, len);
}

static void on_over(void *arg, int error)
{
}

static void on_open(void *arg, struct stream *s, const struct stream_request *request)
{
	static const struct stream_events sink = { .on_data = on_sink, .on_reset = on_over };
	static const struct stream_events echo = { .on_data = on_echo, .on_reset = on_over };

	*(request->remote.port == BULK ? &bulk : &probe) = s;
	stream_accept(s, request->remote.port == BULK ? &sink : &echo, &bulk);
}

static void on_gone(void *arg, const struct error *why)
{
	fprintf(stderr, "%d %s\n", getpid(), why->text);
	loop_stop(loop);
}

static void on_suspended(void *arg, const struct error *why)
{
	on_gone(arg, why);
}

static const struct mux_events mux_events = { .on_open = on_open, .on_gone = on_gone };
static const struct mux_events resumable_events = { .on_open = on_open, .on_gone = on_gone, .on_suspended = on_suspended };

/* The session. One frame per turn of the loop, as a socket's watch would bring it. */
static struct watch kick;

static void on_kick(struct watch *w, uint32_t events)
{
	size_t room;
	uint8_t *place = stream_reserve(bulk, &room);
	ssize_t n = place ? read(zero, place, room) : 0;

	if (!place) {
		loop_rewatch(loop, w, 0);
		return;
	}
	stream_commit(bulk, n > 0 ? (size_t)n : 0);
	bulk_bytes += (size_t)n;
}

static void on_bulk_room(void *arg)
{
	loop_rewatch(loop, &kick, EPOLLOUT);
}

static void send_probe(void)
{
	static const uint8_t data[64];

	sent_at = now();
	send_some(probe, data, sizeof(data));
}

static void on_probe(void *arg, const uint8_t *data, size_t len)
{
	stream_consumed(probe, len);
	if (n_samples < SAMPLES)
		samples[n_samples++] = now() - sent_at;
	send_probe();
}

static void on_probe_opened(void *arg)
{
	send_probe();
}

static void on_time(struct timer *t)
{
	loop_stop(loop);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void phase(const char *name)
{
	struct timer timer = { .on_due = on_time };
	struct error err;
	uint64_t start = now(), time;

	n_samples = bulk_bytes = 0;
	loop_arm(loop, &timer, start + SECONDS * LOOP_SECOND);
	loop_run(loop, &err);
	time = now() - start;
	qsort(samples, n_samples, sizeof(samples[0]), compare);
	printf("%-14s", name);
	if (bulk_bytes)
		printf("  %7.0f MB/s", (double)bulk_bytes * 1000 / (double)time);
	if (n_samples)
		printf("  round trip p50 %5.1f us, p99 %6.1f us, %zu samples", (double)samples[n_samples / 2] / 1000,
		       (double)samples[n_samples * 99 / 100] / 1000, n_samples);
	printf("\n");
}

static struct stream *open_stream(uint16_t number, const struct stream_events *events)
{
	struct stream_request r = { .kind = STREAM_TCP, .remote.port = number };

	return stream_open(mux, &r, events, &bulk);
}

int main(int argc, char **argv)
{
	static const struct stream_events source = { .on_data = on_sink, .on_room = on_bulk_room, .on_reset = on_over };
	static const struct stream_events prober = { .on_opened = on_probe_opened, .on_data = on_probe, .on_reset = on_over };
	bool resumable = argc > 1 && strcmp(argv[1], "resumable") == 0;
	struct error err;
	int fds[2], kicks[2];
	bool agent;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, kicks) < 0)
		return 1;
	zero = open("/dev/zero", O_RDONLY);
	agent = fork() == 0;
	close(fds[agent]);
	loop = loop_new(&err);
	mux = mux_new(loop, agent ? MUX_AGENT : MUX_SESSION, fds[!agent], fds[!agent],
		      resumable ? &resumable_events : &mux_events, NULL, &err);
	if (agent)
		return loop_run(loop, &err);
	probe = open_stream(PROBE, &prober);
	phase("probe alone");
	bulk = open_stream(BULK, &source);
	loop_watch(loop, &kick, kicks[0], EPOLLOUT, on_kick);
	phase("bulk + probe");
	stream_close(probe);
	phase("bulk alone");
	mux_free(mux);
	return 0;
}
