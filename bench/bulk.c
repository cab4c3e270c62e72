// SPDX-License-Identifier: MIT
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "driver.h"
#include "gate.h"
#include "pattern.h"

struct result {
	uint64_t bytes, wrong_at, ns;
};

/* To the sink, which measures and checks; we compare how much came with how much went. */
static struct result up(int fd, double seconds)
{
	static char buf[PATTERN_CHUNK];
	struct result r = { .wrong_at = PATTERN_RIGHT };
	uint64_t end = clock_ns() + (uint64_t)(seconds * 1e9), sent = 0;
	char text[128];

	while (clock_ns() < end) {
		pattern_fill(buf, sizeof(buf), sent);
		if (remote_send(fd, buf, sizeof(buf)) < 0)
			err(1, "send");
		sent += sizeof(buf);
	}
	shutdown(fd, SHUT_WR);
	if (remote_text(fd, text, sizeof(text)) < 0)
		err(1, "the sink's answer");
	if (sscanf(text, "%lu %lu %lu", &r.bytes, &r.wrong_at, &r.ns) != 3)
		errx(1, "the sink answered \"%s\"", text);
	if (r.wrong_at == PATTERN_RIGHT && r.bytes != sent)
		r.wrong_at = r.bytes;
	return r;
}

static struct result down(int fd, double seconds)
{
	static char buf[PATTERN_CHUNK] __attribute__((aligned(64)));
	struct result r = { .wrong_at = PATTERN_RIGHT };
	uint64_t start = clock_ns(), end = start + (uint64_t)(seconds * 1e9), now = start;

	while (now < end) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);

		if (n <= 0)
			err(1, "receive");
		if (r.wrong_at == PATTERN_RIGHT)
			r.wrong_at = pattern_check(buf, (size_t)n, r.bytes);
		r.bytes += (uint64_t)n;
		now = clock_ns();
	}
	r.ns = now - start;
	return r;
}

int figure_bulk(const struct options *o)
{
	struct result r;
	int fd;

	gate("ready", NULL);
	fd = remote_connect(&o->remote, o->down ? SERVICE_SOURCE : SERVICE_SINK, SOCK_STREAM, 10000);
	if (fd < 0)
		err(1, "connect");
	r = o->down ? down(fd, o->seconds) : up(fd, o->seconds);
	remote_close(fd, true);
	printf("{\"gbit_s\": %.3f, \"bytes\": %lu, \"right\": %s, \"wrong_at\": %ld}\n", (double)r.bytes * 8 / (double)r.ns, r.bytes,
	       r.wrong_at == PATTERN_RIGHT ? "true" : "false", (long)r.wrong_at);
	return 0;
}
