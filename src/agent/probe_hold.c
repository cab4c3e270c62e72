// SPDX-License-Identifier: MIT
/* Bytes that are left in the kernel would wake the loop again and again: SO_RCVLOWAT has it wait for one more. */
#include "agent/probe_hold.h"

#include <errno.h>
#include <sys/socket.h>

#define HOLD_TIME (2 * LOOP_SECOND)

static void await_bytes(int fd, int n)
{
	setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &n, sizeof(n));
}

void probe_hold_stop(struct probe_hold *h)
{
	if (!h->watch.added)
		return;
	await_bytes(h->watch.fd, 1);
	loop_unwatch(h->loop, &h->watch);
	loop_disarm(h->loop, &h->timer);
}

static void tell(struct probe_hold *h, enum probe is)
{
	probe_hold_stop(h);
	h->on_known(h, is);
}

static void on_bytes(struct watch *w, uint32_t events)
{
	static uint8_t data[PROBE_LOOK];
	struct probe_hold *h = container_of(w, struct probe_hold, watch);
	ssize_t n = recv(w->fd, data, sizeof(data), MSG_PEEK | MSG_DONTWAIT);
	bool broken = n < 0 && errno != EAGAIN && errno != EINTR;
	size_t len = n > 0 ? (size_t)n : 0;
	enum probe is = probe_look(h->kinds, h->from_node, data, len, events & EPOLLRDHUP || n == 0 || broken);

	if (is == PROBE_MORE)
		await_bytes(w->fd, (int)len + 1);
	else
		tell(h, is);
}

static void on_silence(struct timer *t)
{
	tell(container_of(t, struct probe_hold, timer), PROBE_NO);
}

int probe_hold_start(struct probe_hold *h, int fd)
{
	int r = loop_watch(h->loop, &h->watch, fd, EPOLLIN | EPOLLRDHUP, on_bytes);

	if (r < 0)
		return r;
	h->timer.on_due = on_silence;
	loop_arm(h->loop, &h->timer, loop_now(h->loop) + HOLD_TIME);
	return 0;
}
