// SPDX-License-Identifier: MIT
/* Connected pairs of sockets, and bytes with a pattern, for the tests of what carries bytes. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

enum {
	PATIENCE_S = 60,      /* so long a machine may be busy with something else */
	NOBODYS_PORT = 20009, /* the kernel gives none of below 32768 */
};

/* A blocking peer that gives up at some time, so that a lost byte fails a test and doesn't hang it. */
static inline void set_patience(int fd)
{
	struct timeval tv = { .tv_sec = PATIENCE_S };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

/* Closes with a reset. */
static inline void reset(int fd)
{
	fd_reset_on_close(fd, true);
	close(fd);
}

/* Listens on a port of loopback's; *ret_address says which. @size, when not 0, is that of the buffers. */
static inline int listen_loopback(struct sockaddr_in *ret_address, int size)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (size) {
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	}
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, 4096) < 0 ||
	    getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		abort();
	*ret_address = sa;
	return fd;
}

/* A TCP connection over loopback: [0] is the peer's (blocking), [1] is ours (as socket_make() makes them). */
static inline void tcp_pair(int pair[2], int size)
{
	struct sockaddr_in sa;
	int listener = listen_loopback(&sa, size), on = 1;

	pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (size) {
		setsockopt(pair[0], SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
		setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	}
	if (pair[0] < 0 || connect(pair[0], (struct sockaddr *)&sa, sizeof(sa)) < 0)
		abort();
	pair[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (pair[1] < 0)
		abort();
	fd_reset_on_close(pair[1], true);
	setsockopt(pair[0], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(pair[1], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	set_patience(pair[0]);
	close(listener);
}

static inline void unix_pair(int pair[2], int size)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 || fd_set_nonblocking(pair[1], true) < 0)
		abort();
	set_patience(pair[0]);
}

/* The byte at @at of stream @seed: no short period, so that a chunk that is lost, doubled or misplaced shows. */
static inline uint8_t pattern(uint64_t at, uint64_t seed)
{
	uint64_t h = (at >> 3) * 0x9e3779b97f4a7c15ULL + seed;

	h ^= h >> 29;
	h *= 0xbf58476d1ce4e5b9ULL;
	h ^= h >> 32;
	return (uint8_t)(h >> (at & 7) * 8);
}

/* Writes the bytes from @at on; true when all went out. */
static inline bool send_pattern(int fd, uint64_t at, uint64_t len, uint64_t seed)
{
	uint8_t block[65536];

	while (len) {
		size_t n = len < sizeof(block) ? (size_t)len : sizeof(block);

		for (size_t i = 0; i < n; i++)
			block[i] = pattern(at + i, seed);
		for (size_t sent = 0; sent < n;) {
			ssize_t r = send(fd, block + sent, n - sent, MSG_NOSIGNAL);

			if (r <= 0)
				return false;
			sent += (size_t)r;
		}
		at += n;
		len -= n;
	}
	return true;
}

/* Reads up to @len bytes; returns how many came as they should, up to the first that didn't, the end or an error. */
static inline uint64_t receive_pattern(int fd, uint64_t at, uint64_t len, uint64_t seed)
{
	uint8_t block[65536];
	uint64_t good = 0;

	while (good < len) {
		size_t want = len - good < sizeof(block) ? (size_t)(len - good) : sizeof(block);
		ssize_t r = recv(fd, block, want, 0);

		if (r <= 0)
			return good;
		for (ssize_t i = 0; i < r; i++, good++)
			if (block[i] != pattern(at + good, seed))
				return good;
	}
	return good;
}

/* What a read says now: 0 at the end, the errno of an error (EAGAIN when patience is over), -1 for data. */
static inline int read_outcome(int fd)
{
	char byte;
	ssize_t r = recv(fd, &byte, 1, 0);

	return r < 0 ? errno : r > 0 ? -1 : 0;
}

/* Waits until *value is @want, with patience. Returns what it is then. */
static inline int await(const volatile int *value, int want)
{
	for (int i = 0; i < PATIENCE_S * 1000 && *value != want; i++)
		poll(NULL, 0, 1);
	return *value;
}

static inline int open_descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 16384; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}
