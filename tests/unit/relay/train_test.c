// SPDX-License-Identifier: MIT
/* Trains: what is sent in one turn of the loop arrives as it was sent, and together where it may. */
#include "relay/sockets.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "isolate.h"
#include "loop_thread.h"
#include "tap.h"

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum { MOST = 100, PEERS = 2, LONGEST = 30000 };

static struct egress *egress;
static struct port *port;
static volatile int errors;
static uint8_t data[LONGEST + MOST];

static void on_datagram(void *arg, const struct endpoint *from, struct packet_marks marks, const uint8_t *got, size_t len)
{
}

static void on_error(void *arg, const struct endpoint *to, const struct icmp_error *error, const uint8_t *got, size_t len)
{
	errors++;
}

static void on_broken(void *arg, int error)
{
	abort();
}

static const struct port_events events = { .on_datagram = on_datagram, .on_error = on_error, .on_broken = on_broken };

static void do_start(void *arg)
{
	egress = socket_egress_new(loop, NULL);
}

static void do_stop(void *arg)
{
	socket_egress_free(egress);
}

static void do_open(void *arg)
{
	struct endpoint any = { .ip = *(const struct ip *)arg };

	if (egress->ops->open(egress, PORT_UDP, &any, &events, NULL, &port))
		abort();
}

static void do_close(void *arg)
{
	egress->ops->close(port);
}

/* A turn of the loop: datagram i has lens[i] bytes of `data` from i on, and goes to peer i % n_peers. */
struct turn {
	const char *name;
	size_t lens[MOST], times; /* the lengths up to a 0 at the end, all of that so often */
	int n_peers, n_ttls;	   /* 0 is 1 */
	bool close; /* the port, in the same turn */
	struct endpoint to[PEERS];
	size_t n, failed;
};

static size_t length(const struct turn *t, size_t i)
{
	size_t row = 0;

	while (row < MOST && t->lens[row])
		row++;
	return t->lens[i % row];
}

static uint8_t ttl_of(size_t i, const struct turn *t)
{
	return (uint8_t)(64 + i % (size_t)t->n_ttls);
}

static void do_send(void *arg)
{
	struct turn *t = arg;

	for (size_t i = 0; i < t->n; i++) {
		struct packet_marks marks = { .ttl = ttl_of(i, t) };

		t->failed += egress->ops->send(port, &t->to[i % (size_t)t->n_peers], marks, data + i, length(t, i)) != 0;
	}
	if (t->close)
		egress->ops->close(port);
}

static void count(struct turn *t)
{
	for (t->n = 0; t->n < MOST && t->lens[t->n]; t->n++)
		;
	t->n *= t->times;
	t->n_peers = t->n_peers ? t->n_peers : 1;
	t->n_ttls = t->n_ttls ? t->n_ttls : 1;
}

static int peer_on(const struct ip *ip, struct endpoint *ret)
{
	struct endpoint e = { .ip = *ip };
	struct sockaddr_storage sa;
	socklen_t len = endpoint_to_sockaddr(&e, &sa);
	struct timeval patience = { .tv_sec = 5 };
	int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = 4 << 20, one = 1;

	setsockopt(fd, IPPROTO_IP, IP_RECVTTL, &one, sizeof(one));
	setsockopt(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&sa, len) < 0 || getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		abort();
	endpoint_from_sockaddr(&sa, ret);
	return fd;
}

/* Is the next datagram of @fd's number @i? */
static bool receives(int fd, size_t i, const struct turn *t)
{
	static uint8_t got[65536];
	uint8_t control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { got, sizeof(got) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &msg, 0);
	struct cmsghdr *ttl = n < 0 ? NULL : CMSG_FIRSTHDR(&msg);

	return n == (ssize_t)length(t, i) && memcmp(got, data + i, (size_t)n) == 0 && ttl && *CMSG_DATA(ttl) == ttl_of(i, t);
}

/* Sends the turn, and sees whether each peer gets its own, in order, each as it was, and nothing else. */
static void run(struct turn *t, const struct ip *any, const struct ip *loopback)
{
	int fds[PEERS], right = 0, wrong = 0;
	uint8_t more;

	count(t);
	for (int i = 0; i < PEERS; i++)
		fds[i] = peer_on(loopback, &t->to[i]);
	on_loop(do_open, (void *)any);
	on_loop(do_send, t);
	for (size_t i = 0; i < t->n; i++)
		right += receives(fds[i % (size_t)t->n_peers], i, t);
	for (int i = 0; i < PEERS; i++) {
		wrong += recv(fds[i], &more, 1, MSG_DONTWAIT) >= 0;
		close(fds[i]);
	}
	tap_int(t->failed, 0, "%s: sent", t->name);
	tap_int(right, t->n, "%s: all arrive, in order, as they were", t->name);
	tap_int(wrong, 0, "%s: and no more", t->name);
	if (!t->close)
		on_loop(do_close, NULL);
}

static void test_turns(const struct ip *any, const struct ip *loopback)
{
	static struct turn turns[] = {
		{ .name = "one", .lens = { 1400 }, .times = 1 },
		{ .name = "two", .lens = { 1400 }, .times = 2 },
		{ .name = "ten of a length", .lens = { 1400 }, .times = 10 },
		{ .name = "the last is shorter", .lens = { 1400, 1400, 1400, 1400, 1 }, .times = 1 },
		{ .name = "shorter ones in between", .lens = { 1400, 1400, 300, 1400, 1400, 1400, 300 }, .times = 5 },
		{ .name = "the first is the shortest", .lens = { 10, 1400, 1400 }, .times = 3 },
		{ .name = "all lengths differ", .lens = { 100, 99, 98, 97, 200, 201, 202 }, .times = 3 },
		{ .name = "more than one train takes", .lens = { 200 }, .times = 99 },
		{ .name = "more bytes than a train takes", .lens = { 20000 }, .times = 8 },
		{ .name = "too long for a train", .lens = { LONGEST + 1 }, .times = 4 },
		{ .name = "two peers in turn", .lens = { 500 }, .times = 20, .n_peers = 2 },
		{ .name = "two TTLs in turn", .lens = { 500 }, .times = 20, .n_ttls = 2 },
		{ .name = "the port is closed in the same turn", .lens = { 500 }, .times = 20, .close = true },
	};

	for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++)
		run(&turns[i], any, loopback);
}

/* A peer that takes trains as they come (UDP_GRO) sees that there was one. */
static void test_together(const struct ip *any, const struct ip *loopback)
{
	static uint8_t got[65536];
	struct turn t = { .name = "together", .lens = { 1000 }, .times = 21 };
	int fd = peer_on(loopback, &t.to[0]), one = 1, calls = 0;
	size_t bytes = 0;

	if (setsockopt(fd, IPPROTO_UDP, UDP_GRO, &one, sizeof(one)) < 0)
		abort();
	count(&t);
	on_loop(do_open, (void *)any);
	on_loop(do_send, &t);
	while (bytes < t.n * 1000) {
		ssize_t n = recv(fd, got, sizeof(got), 0);

		if (n < 0)
			break;
		bytes += (size_t)n;
		calls++;
	}
	tap_int(bytes, t.n * 1000, "21 datagrams arrive");
	tap_int(calls, 2, "the first, and a train of 20");
	on_loop(do_close, NULL);
	close(fd);
}

/* To a port where nobody is: the train's error comes like a datagram's. */
static void test_refused(const struct ip *any, const struct ip *loopback)
{
	struct turn t = { .name = "refused", .lens = { 1000 }, .times = 5 };

	t.to[0] = (struct endpoint){ *loopback, 20009 }; /* which the kernel gives to nobody who asks for any */
	count(&t);
	errors = 0;
	on_loop(do_open, (void *)any);
	on_loop(do_send, &t);
	for (int i = 0; i < 1000 && errors < 2; i++)
		poll(NULL, 0, 10);
	tap_ok(errors >= 2, "nobody there: an error for the first and for the train (%d)", errors);
	on_loop(do_close, NULL);
}

static void set_mtu(int mtu)
{
	struct ifreq r = { .ifr_name = "lo", .ifr_mtu = mtu };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (ioctl(fd, SIOCSIFMTU, &r) < 0)
		abort();
	close(fd);
}

/* Datagrams longer than the link's packets are fragmented, which a train can't be. */
static void test_small_link(const struct ip *any, const struct ip *loopback)
{
	struct turn turn = { .name = "longer than the link takes", .lens = { 3000, 3000, 3000, 1000, 1000, 1000 }, .times = 4 };

	set_mtu(1500);
	run(&turn, any, loopback);
	set_mtu(65536);
}

int main(void)
{
	static const struct ip loopback4 = { .b = { [10] = 0xff, 0xff, 127, 0, 0, 1 } }, loopback6 = { .b = { [15] = 1 } };
	bool isolated = isolate();

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 2654435761U >> 13);
	if (isolated) {
		write_sysctl("/proc/sys/net/ipv4/icmp_ratelimit", "0");
		write_sysctl("/proc/sys/net/ipv6/icmp/ratelimit", "0");
	}
	loop_thread_start();
	on_loop(do_start, NULL);
	for (int v6 = 0; v6 < 2; v6++) {
		const struct ip *any = v6 ? &IP_ANY6 : &IP_ANY4, *loopback = v6 ? &loopback6 : &loopback4;

		printf("# IPv%d\n", v6 ? 6 : 4);
		test_turns(any, loopback);
		test_together(any, loopback);
		test_refused(any, loopback);
		if (isolated)
			test_small_link(any, loopback);
	}
	on_loop(do_stop, NULL);
	loop_thread_stop();
	return tap_done();
}
