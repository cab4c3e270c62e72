// SPDX-License-Identifier: MIT
/* Connect, one exchange of 64 bytes, close; per second. One at a time it is what a plain blocking program does. Several at a time is
 * one event loop whose slots each run through: connecting (writable: send) → waiting for the answer (readable) → closed → the next. */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "clock.h"
#include "driver.h"
#include "gate.h"
#include "samples.h"

enum { MESSAGE = 64, TIMEOUT_MS = 5000 };

struct tally {
	uint64_t done, failed;
	int last_error;
	struct samples times;
};

static const char message[MESSAGE] = "connect, exchange, close";

static void count(struct tally *t, uint64_t started, int error)
{
	if (error) {
		t->failed++;
		t->last_error = error;
	} else {
		t->done++;
		samples_add(&t->times, clock_ns() - started);
	}
}

static int one(const struct options *o)
{
	int fd = remote_connect(&o->remote, SERVICE_ECHO, SOCK_STREAM, TIMEOUT_MS);
	char in[MESSAGE];
	int error = 0;

	if (fd < 0)
		return errno;
	if (remote_send(fd, message, MESSAGE) < 0 || remote_receive(fd, in, MESSAGE) < 0)
		error = errno;
	else if (memcmp(in, message, MESSAGE))
		error = EBADMSG;
	remote_close(fd, !o->fin);
	return error;
}

static void run_blocking(const struct options *o, struct tally *t, uint64_t end)
{
	for (uint64_t now = clock_ns(); now < end; now = clock_ns())
		count(t, now, one(o));
}

struct slot {
	int fd;
	bool sent;
	size_t got;
	uint64_t started;
	char in[MESSAGE];
};

struct loop {
	const struct options *o;
	struct sockaddr_storage to;
	int epoll_fd;
	struct tally *t;
};

static void slot_start(struct loop *l, struct slot *s)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = s };

	*s = (struct slot){ .started = clock_ns() };
	s->fd = remote_socket(&l->o->remote, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (s->fd < 0)
		err(1, "socket");
	/* Watched once it has been told to connect: a socket that isn't connecting hangs up. */
	if (connect(s->fd, (struct sockaddr *)&l->to, l->o->remote.len) < 0 && errno != EINPROGRESS)
		err(1, "connect");
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, s->fd, &e) < 0)
		err(1, "epoll_ctl");
}

/* Returns 0 to go on, 1 when the exchange is done, or -1 with errno. */
static int slot_step(struct slot *s, uint32_t events)
{
	int error = 0;
	ssize_t n;

	if (!s->sent) {
		if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
			return 0;
		getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){ sizeof(error) });
		errno = error;
		if (error || remote_send(s->fd, message, MESSAGE) < 0)
			return -1;
		s->sent = true;
	}
	if (!(events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
		return 0;
	while (s->got < MESSAGE && (n = recv(s->fd, s->in + s->got, MESSAGE - s->got, 0)) != 0) {
		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		s->got += (size_t)n;
	}
	errno = s->got < MESSAGE ? ECONNRESET : EBADMSG;
	return s->got == MESSAGE && memcmp(s->in, message, MESSAGE) == 0 ? 1 : -1;
}

static void run_loop(const struct options *o, struct tally *t, uint64_t end)
{
	struct loop l = { .o = o, .to = remote_service(&o->remote, SERVICE_ECHO), .epoll_fd = epoll_create1(EPOLL_CLOEXEC), .t = t };
	struct slot *slots = calloc((size_t)o->count, sizeof(*slots));
	struct epoll_event events[64];

	if (!slots || l.epoll_fd < 0)
		err(1, "event loop");
	for (int i = 0; i < o->count; i++)
		slot_start(&l, &slots[i]);
	while (clock_ns() < end) {
		int n = epoll_wait(l.epoll_fd, events, 64, 100);

		for (int i = 0; i < n; i++) {
			struct slot *s = events[i].data.ptr;
			int r = slot_step(s, events[i].events);

			if (!r)
				continue;
			count(t, s->started, r < 0 ? errno : 0);
			remote_close(s->fd, !o->fin);
			slot_start(&l, s);
		}
	}
	for (int i = 0; i < o->count; i++)
		remote_close(slots[i].fd, true);
	close(l.epoll_fd);
	free(slots);
}

int figure_connect_rate(const struct options *o)
{
	struct tally t = { 0 };
	uint64_t start;
	double took;

	for (int i = 0; i < 20; i++)
		one(o);
	gate("ready", NULL);
	start = clock_ns();
	(o->count == 1 ? run_blocking : run_loop)(o, &t, start + (uint64_t)(o->seconds * 1e9));
	took = (double)(clock_ns() - start) / 1e9;
	printf("{\"per_s\": %.1f, \"p50_us\": %.2f, \"p99_us\": %.2f, \"failed\": %lu, \"error\": \"%s\"}\n", (double)t.done / took,
	       (double)samples_percentile(&t.times, 50) / 1e3, (double)samples_percentile(&t.times, 99) / 1e3, t.failed,
	       t.failed ? strerrorname_np(t.last_error) : "");
	samples_fini(&t.times);
	return 0;
}
