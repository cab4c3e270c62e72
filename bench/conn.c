// SPDX-License-Identifier: MIT
#include "conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "clock.h"
#include "pattern.h"

enum { PER_WAKE_UP = 16 }; /* chunks moved before others get their turn */

struct conn {
	int fd, epoll_fd;
	enum service service;
	uint64_t at, wrong_at, first_ns; /* of the stream: sink and source */
	uint8_t *rest;			 /* echo: what the peer hasn't taken yet */
	size_t rest_at, rest_len;
};

static char buf[PATTERN_CHUNK] __attribute__((aligned(64)));

static void conn_free(struct conn *c)
{
	close(c->fd);
	free(c->rest);
	free(c);
}

static void watch(struct conn *c, int op, uint32_t events)
{
	epoll_ctl(c->epoll_fd, op, c->fd, &(struct epoll_event){ .events = events, .data.ptr = c });
}

struct conn *conn_new(int epoll_fd, int fd, enum service service)
{
	static const uint32_t first[SERVICES] = {
		[SERVICE_ECHO] = EPOLLIN,
		[SERVICE_SINK] = EPOLLIN,
		[SERVICE_SOURCE] = EPOLLOUT,
		[SERVICE_STUCK] = EPOLLRDHUP,
	};
	struct conn *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return NULL;
	}
	*c = (struct conn){ .fd = fd, .epoll_fd = epoll_fd, .service = service, .wrong_at = PATTERN_RIGHT };
	watch(c, EPOLL_CTL_ADD, first[service]);
	return c;
}

/* The functions below return false when the connection is over. */

/* Keeps what the peer doesn't take; until that is gone nothing more is read. */
static bool echo_write(struct conn *c, const void *data, size_t len)
{
	ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);
	size_t sent = n > 0 ? (size_t)n : 0;

	if (n < 0 && errno != EAGAIN)
		return false;
	if (sent == len)
		return true;
	c->rest = malloc(len - sent);
	if (!c->rest)
		return false;
	memcpy(c->rest, (const char *)data + sent, len - sent);
	c->rest_at = 0;
	c->rest_len = len - sent;
	watch(c, EPOLL_CTL_MOD, EPOLLOUT);
	return true;
}

static bool echo_flush(struct conn *c)
{
	ssize_t n = send(c->fd, c->rest + c->rest_at, c->rest_len - c->rest_at, MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN;
	c->rest_at += (size_t)n;
	if (c->rest_at == c->rest_len) {
		free(c->rest);
		c->rest = NULL;
		watch(c, EPOLL_CTL_MOD, EPOLLIN);
	}
	return true;
}

static bool echo_ready(struct conn *c)
{
	ssize_t n;

	if (c->rest)
		return echo_flush(c);
	n = recv(c->fd, buf, sizeof(buf), 0);
	if (n <= 0)
		return n < 0 && errno == EAGAIN;
	return echo_write(c, buf, (size_t)n);
}

static bool sink_ready(struct conn *c)
{
	char text[128];
	ssize_t n;

	for (int i = 0; i < PER_WAKE_UP; i++) {
		n = recv(c->fd, buf, sizeof(buf), 0);
		if (n < 0)
			return errno == EAGAIN;
		if (n == 0)
			break;
		if (!c->at)
			c->first_ns = clock_ns();
		if (c->wrong_at == PATTERN_RIGHT)
			c->wrong_at = pattern_check(buf, (size_t)n, c->at);
		c->at += (uint64_t)n;
	}
	if (n)
		return true;
	n = snprintf(text, sizeof(text), "%lu %lu %lu\n", c->at, c->wrong_at, clock_ns() - c->first_ns);
	send(c->fd, text, (size_t)n, MSG_NOSIGNAL);
	return false;
}

static bool source_ready(struct conn *c)
{
	for (int i = 0; i < PER_WAKE_UP; i++) {
		ssize_t n;

		pattern_fill(buf, sizeof(buf), c->at);
		n = send(c->fd, buf, sizeof(buf), MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN;
		c->at += (uint64_t)n;
	}
	return true;
}

static bool stuck_ready(struct conn *c)
{
	return false; /* only the peer's end wakes it */
}

void conn_ready(struct conn *c, uint32_t events)
{
	static bool (*const ready[SERVICES])(struct conn *) = {
		[SERVICE_ECHO] = echo_ready,
		[SERVICE_SINK] = sink_ready,
		[SERVICE_SOURCE] = source_ready,
		[SERVICE_STUCK] = stuck_ready,
	};

	if (events & EPOLLERR || !ready[c->service](c))
		conn_free(c);
}
