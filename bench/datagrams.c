// SPDX-License-Identifier: MIT
/* UDP to the server, at a rate or as fast as one socket takes it. Each datagram is a piece of the pattern from the place that its
 * first eight bytes name, so that the sink sees damage; loss is what didn't come. */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "clock.h"
#include "driver.h"
#include "gate.h"
#include "pattern.h"

enum { TICK_NS = 100000, SETTLE_US = 200000 };

struct sent {
	uint64_t datagrams, refused, ns;
};

static void one(int fd, char *buf, const struct options *o, struct sent *s)
{
	uint64_t number = s->datagrams;

	memcpy(buf, &number, sizeof(number));
	pattern_fill(buf + sizeof(number), (size_t)o->bytes - sizeof(number), number * 8);
	if (send(fd, buf, (size_t)o->bytes, 0) >= 0)
		s->datagrams++;
	else if (errno == ENOBUFS || errno == EAGAIN || errno == ECONNREFUSED)
		s->refused++;
	else
		err(1, "send a datagram");
}

static void wait_until(uint64_t ns)
{
	struct timespec ts = { .tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000) };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

static struct sent blast(int fd, const struct options *o)
{
	uint64_t start = clock_ns(), end = start + (uint64_t)(o->seconds * 1e9), now;
	char *buf = calloc(1, (size_t)o->bytes);
	struct sent s = { 0 };

	if (!buf)
		err(1, "buffer");
	while ((now = clock_ns()) < end) {
		if (o->rate > 0 && (double)s.datagrams >= (double)(now - start) / 1e9 * o->rate)
			wait_until(now + TICK_NS);
		else
			one(fd, buf, o, &s);
	}
	s.ns = now - start;
	free(buf);
	return s;
}

/* What the sink saw since the last time it was asked. */
static void ask(const struct options *o, uint64_t *arrived, uint64_t *wrong, uint64_t *ns)
{
	int fd = remote_connect(&o->remote, SERVICE_COUNTS, SOCK_STREAM, 10000);
	char text[128];

	if (fd < 0 || remote_text(fd, text, sizeof(text)) < 0)
		err(1, "ask for the counts");
	if (sscanf(text, "%lu %lu %lu", arrived, wrong, ns) != 3)
		errx(1, "the sink answered \"%s\"", text);
	close(fd);
}

int figure_datagrams(const struct options *o)
{
	int fd = remote_connect(&o->remote, SERVICE_SINK, SOCK_DGRAM, 0);
	uint64_t arrived, wrong, ns;
	struct sent s;

	if (fd < 0)
		err(1, "connect");
	if (o->bytes < 16)
		errx(2, "a datagram has 16 bytes or more");
	prctl(PR_SET_TIMERSLACK, 1);
	gate("ready", NULL);
	ask(o, &arrived, &wrong, &ns);
	s = blast(fd, o);
	usleep(SETTLE_US);
	ask(o, &arrived, &wrong, &ns);
	printf("{\"sent_per_s\": %.1f, \"arrived_per_s\": %.1f, \"lost_percent\": %.4f, \"wrong\": %lu, \"refused\": %lu}\n",
	       (double)s.datagrams * 1e9 / (double)s.ns, (double)arrived * 1e9 / (double)s.ns,
	       s.datagrams ? 100 * (1 - (double)arrived / (double)s.datagrams) : 0, wrong, s.refused);
	close(fd);
	return 0;
}
