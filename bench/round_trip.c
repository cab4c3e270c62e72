// SPDX-License-Identifier: MIT
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "driver.h"
#include "gate.h"
#include "samples.h"

enum { MESSAGE = 64, WARM_UP = 200, DATAGRAM_WAIT_MS = 200 };

/* One exchange. A datagram may get lost: 0 then; the number stands in the message so that a late answer isn't taken for this one. */
static int exchange(int fd, bool datagram, uint64_t number)
{
	char out[MESSAGE] = { 0 }, in[MESSAGE];

	memcpy(out, &number, sizeof(number));
	if (remote_send(fd, out, MESSAGE) < 0)
		return -1;
	if (!datagram)
		return remote_receive(fd, in, MESSAGE) < 0 || memcmp(in, out, MESSAGE) ? -1 : 1;
	for (;;) {
		ssize_t n = recv(fd, in, MESSAGE, 0);

		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		if (n == MESSAGE && memcmp(in, out, MESSAGE) == 0)
			return 1;
	}
}

int figure_round_trip(const struct options *o)
{
	int fd = remote_connect(&o->remote, SERVICE_ECHO, o->datagrams ? SOCK_DGRAM : SOCK_STREAM,
				o->datagrams ? DATAGRAM_WAIT_MS : 0);
	uint64_t number = 0, lost = 0, end;
	struct samples s = { 0 };

	if (fd < 0)
		err(1, "connect");
	for (; number < WARM_UP; number++)
		if (exchange(fd, o->datagrams, number) < 0)
			err(1, "first exchanges");
	gate("ready", NULL);
	end = clock_ns() + (uint64_t)(o->seconds * 1e9);
	for (uint64_t before = clock_ns(), now; before < end; before = now) {
		int got = exchange(fd, o->datagrams, number++);

		if (got < 0)
			err(1, "exchange");
		now = clock_ns();
		if (got)
			samples_add(&s, now - before);
		else
			lost++;
	}
	printf("{\"p50_us\": %.2f, \"p99_us\": %.2f, \"n\": %zu, \"lost\": %lu}\n", (double)samples_percentile(&s, 50) / 1e3,
	       (double)samples_percentile(&s, 99) / 1e3, s.n, lost);
	samples_fini(&s);
	close(fd);
	return 0;
}
