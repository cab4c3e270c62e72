// SPDX-License-Identifier: MIT
/* bench-server: the far side of the bench, one thread, one event loop; services on consecutive ports (remote.h). */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"
#include "conn.h"
#include "pattern.h"
#include "remote.h"

enum { BATCH = 64, BACKLOG = 4096, DATAGRAMS = 32, DATAGRAM_MAX = 65536, RECEIVE_BUFFER = 4 << 20 };

/* A socket of ours, not a connection's; its events' pointers lie in `doors`. */
struct door {
	int fd;
	enum service service;
	bool datagrams;
};

static struct door doors[2 * SERVICES];
static size_t n_doors;
static int epoll_fd;

/* UDP sink. */
static struct {
	uint64_t datagrams, wrong, first_ns, last_ns;
} counts;

static void door_open(const struct remote *at, enum service service, bool datagrams)
{
	struct sockaddr_storage a = remote_service(at, service);
	struct door *d = &doors[n_doors++];
	int fd = remote_socket(at, (datagrams ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (datagrams) /* what is lost is lost on the way, not because we had to wait for a CPU */
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &(int){ RECEIVE_BUFFER }, sizeof(int));
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, at->len) < 0 || (!datagrams && listen(fd, BACKLOG) < 0))
		err(1, "service %d", service);
	*d = (struct door){ fd, service, datagrams };
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &(struct epoll_event){ .events = EPOLLIN, .data.ptr = d });
}

static void counts_answer(int fd)
{
	char text[128];
	int n = snprintf(text, sizeof(text), "%lu %lu %lu\n", counts.datagrams, counts.wrong, counts.last_ns - counts.first_ns);

	send(fd, text, (size_t)n, MSG_NOSIGNAL);
	close(fd);
	memset(&counts, 0, sizeof(counts));
}

static void door_accept(struct door *d)
{
	for (int i = 0; i < BATCH; i++) {
		int fd = accept4(d->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
			return;
		if (d->service == SERVICE_COUNTS)
			counts_answer(fd);
		else
			conn_new(epoll_fd, fd, d->service);
	}
}

static void door_echo(struct door *d)
{
	static char buf[DATAGRAM_MAX];
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);

	for (int i = 0; i < BATCH; i++, len = sizeof(from)) {
		ssize_t n = recvfrom(d->fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len);

		if (n < 0)
			return;
		sendto(d->fd, buf, (size_t)n, 0, (struct sockaddr *)&from, len);
	}
}

static void count_datagram(const char *data, size_t len)
{
	uint64_t number = 0;

	if (len >= sizeof(number))
		memcpy(&number, data, sizeof(number));
	counts.datagrams++;
	if (len < sizeof(number) || pattern_check(data + sizeof(number), len - sizeof(number), number * 8) != PATTERN_RIGHT)
		counts.wrong++;
}

static void door_count(struct door *d)
{
	static char bufs[DATAGRAMS][2048];
	struct iovec iov[DATAGRAMS];
	struct mmsghdr messages[DATAGRAMS];
	int n;

	memset(messages, 0, sizeof(messages));
	for (int i = 0; i < DATAGRAMS; i++) {
		iov[i] = (struct iovec){ bufs[i], sizeof(bufs[i]) };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
	}
	while ((n = recvmmsg(d->fd, messages, DATAGRAMS, 0, NULL)) > 0) {
		if (!counts.datagrams)
			counts.first_ns = clock_ns();
		for (int i = 0; i < n; i++)
			count_datagram(bufs[i], messages[i].msg_len);
		counts.last_ns = clock_ns();
	}
}

static void door_ready(struct door *d)
{
	if (!d->datagrams)
		door_accept(d);
	else if (d->service == SERVICE_ECHO)
		door_echo(d);
	else
		door_count(d);
}

static bool is_door(const void *p)
{
	return (uintptr_t)p >= (uintptr_t)doors && (uintptr_t)p < (uintptr_t)(doors + n_doors);
}

static void serve(void)
{
	struct epoll_event events[BATCH];

	for (;;) {
		int n = epoll_wait(epoll_fd, events, BATCH, -1);

		if (n < 0 && errno != EINTR)
			err(1, "epoll_wait");
		for (int i = 0; i < n; i++) {
			if (is_door(events[i].data.ptr))
				door_ready(events[i].data.ptr);
			else
				conn_ready(events[i].data.ptr, events[i].events);
		}
	}
}

int main(int argc, char **argv)
{
	struct rlimit l;
	struct remote at;

	if (argc != 3)
		errx(2, "usage: bench-server ADDRESS FIRST-PORT");
	remote_parse(&at, argv[1], argv[2]);
	getrlimit(RLIMIT_NOFILE, &l);
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	for (enum service s = 0; s < SERVICES; s++)
		door_open(&at, s, false);
	door_open(&at, SERVICE_ECHO, true);
	door_open(&at, SERVICE_SINK, true);
	puts("ready");
	fflush(stdout);
	serve();
}
