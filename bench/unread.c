// SPDX-License-Identifier: MIT
/* A flow's round trips before and while another flow's peer leaves unread what is written to it: up to 1 GiB, as much as the path
 * takes. Whoever shares a bounded buffer between flows stands still here. */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "driver.h"
#include "gate.h"
#include "pattern.h"
#include "samples.h"

enum { MESSAGE = 64, CHUNKS_PER_TRIP = 4 };
static const uint64_t most = 1 << 30;

/* Writes without waiting until nothing more is taken; @at counts what was. */
static void pour(int fd, uint64_t *at)
{
	static char buf[PATTERN_CHUNK];

	for (int i = 0; i < CHUNKS_PER_TRIP && *at < most; i++) {
		ssize_t n = send(fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			err(1, "the unread flow broke after %lu bytes", *at);
		*at += (uint64_t)n;
	}
}

/* Round trips for some time; beside them, with @stuck ≥ 0, data for the peer that doesn't read. */
static struct samples trips(int fd, double seconds, int stuck, uint64_t *poured)
{
	uint64_t end = clock_ns() + (uint64_t)(seconds * 1e9), before;
	struct samples s = { 0 };
	char message[MESSAGE] = { 0 };

	while ((before = clock_ns()) < end) {
		if (stuck >= 0) {
			pour(stuck, poured);
			before = clock_ns();
		}
		if (remote_send(fd, message, MESSAGE) < 0 || remote_receive(fd, message, MESSAGE) < 0)
			err(1, "exchange on the other flow");
		samples_add(&s, clock_ns() - before);
	}
	return s;
}

int figure_unread(const struct options *o)
{
	int fd = remote_connect(&o->remote, SERVICE_ECHO, SOCK_STREAM, 60000);
	int stuck = remote_connect(&o->remote, SERVICE_STUCK, SOCK_STREAM, 10000);
	struct samples alone, beside;
	uint64_t poured = 0;

	if (fd < 0 || stuck < 0)
		err(1, "connect");
	gate("ready", NULL);
	alone = trips(fd, o->seconds / 2, -1, &poured);
	samples_fini(&alone); /* the first half warms up */
	alone = trips(fd, o->seconds / 2, -1, &poured);
	/* First until all is taken that will be, then the state that lasts. */
	beside = trips(fd, o->seconds / 2, stuck, &poured);
	printf("{\"first_max_ms\": %.3f, ", (double)samples_percentile(&beside, 100) / 1e6);
	samples_fini(&beside);
	beside = trips(fd, o->seconds / 2, stuck, &poured);
	printf("\"alone_p50_us\": %.2f, \"beside_p50_us\": %.2f, \"beside_p99_us\": %.2f, \"beside_max_ms\": %.3f, \"taken_mib\": %.2f}\n",
	       (double)samples_percentile(&alone, 50) / 1e3, (double)samples_percentile(&beside, 50) / 1e3,
	       (double)samples_percentile(&beside, 99) / 1e3, (double)samples_percentile(&beside, 100) / 1e6, (double)poured / (1 << 20));
	samples_fini(&alone);
	samples_fini(&beside);
	remote_close(stuck, true); /* or whoever carries it would have to wait for its peer */
	remote_close(fd, true);
	return 0;
}
