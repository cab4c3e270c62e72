// SPDX-License-Identifier: MIT
/* What we read and write against the kernel that runs this: in a network namespace of its own, where a packet socket on
 * lo sees what the kernel sends and gives it what we built. Needs user namespaces, or root. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "net/bytes.h"
#include "net/fragment.h"
#include "net/packet.h"
#include "tap.h"

enum { LO_MTU = 1500, WAIT_MS = 1000, LO = 1 };

static int lo; /* the packet socket */

static void fail(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

static void set_sysctl(const char *path, const char *value)
{
	FILE *file = fopen(path, "we");

	if (!file || fputs(value, file) < 0 || fclose(file) != 0)
		fail(path);
}

/* In it, lo takes packets from and to 127.0.0.1 that come from outside the kernel. */
static void make_namespace(void)
{
	struct ifreq request = { .ifr_name = "lo" };
	struct timeval wait = { .tv_sec = WAIT_MS / 1000 };
	int fd;

	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		fail("a network namespace");
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	request.ifr_mtu = LO_MTU;
	if (ioctl(fd, SIOCSIFMTU, &request) < 0)
		fail("the MTU of lo");
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		fail("lo up");
	close(fd);
	set_sysctl("/proc/sys/net/ipv4/conf/lo/route_localnet", "1");
	set_sysctl("/proc/sys/net/ipv4/conf/lo/accept_local", "1");
	set_sysctl("/proc/sys/net/ipv4/conf/lo/rp_filter", "0");
	set_sysctl("/proc/sys/net/ipv4/conf/all/rp_filter", "0");
	lo = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ALL));
	if (lo < 0 || setsockopt(lo, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0)
		fail("a packet socket");
}

static void inject(const uint8_t *packet, size_t len)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_ifindex = LO,
				  .sll_halen = 6,
				  .sll_protocol = htons(packet[0] >> 4 == 4 ? ETH_P_IP : ETH_P_IPV6) };

	if (sendto(lo, packet, len, 0, (struct sockaddr *)&to, sizeof(to)) != (ssize_t)len)
		fail("send to lo");
}

/* The next packet that arrives on lo from or to @port (of ICMP: any), with its checksum filled in; false when none
 * comes. */
static bool capture(uint8_t protocol, uint16_t port, uint8_t buf[PACKET_MAX], struct packet *ret)
{
	struct sockaddr_ll from;
	socklen_t from_len = sizeof(from);
	ssize_t n;

	while ((n = recvfrom(lo, buf, PACKET_MAX, 0, (struct sockaddr *)&from, &from_len)) >= 0) {
		if (from.sll_pkttype == PACKET_OUTGOING || packet_parse(buf, (size_t)n, ret) < 0)
			continue;
		if (ret->protocol != protocol || (port && ret->src.port != port && ret->dst.port != port))
			continue;
		packet_complete_sum(buf, ret);
		return true;
	}
	return false;
}

static void drain(void)
{
	uint8_t byte;

	while (recv(lo, &byte, 1, MSG_DONTWAIT) >= 0)
		;
}

static int make_socket(int family, int type, struct endpoint *ret_local)
{
	struct sockaddr_storage sa;
	struct timeval wait = { .tv_sec = WAIT_MS / 1000 };
	socklen_t len;
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	*ret_local = (struct endpoint){ .port = 0 };
	ip_parse(family == AF_INET ? "127.0.0.1" : "::1", &ret_local->ip);
	len = endpoint_to_sockaddr(ret_local, &sa);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, len) < 0 || getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		fail("a socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	endpoint_from_sockaddr(&sa, ret_local);
	return fd;
}

static int connect_to(int fd, const struct endpoint *to)
{
	struct sockaddr_storage sa;
	socklen_t len = endpoint_to_sockaddr(to, &sa);

	return connect(fd, (struct sockaddr *)&sa, len) < 0 ? errno : 0;
}

/* An address where nobody listens. */
static struct endpoint closed_port(int family, int type)
{
	struct endpoint e;

	close(make_socket(family, type, &e));
	return e;
}

static const char *name(int family)
{
	return family == AF_INET ? "IPv4" : "IPv6";
}

/* With MIRRORD_TEST_DUMP set, what the kernel sent: rows for packet_parse_test.c. */
static void dump(const char *what, const struct packet *p)
{
	if (!getenv("MIRRORD_TEST_DUMP"))
		return;
	printf("# %s ", what);
	for (size_t i = 0; i < p->len; i++)
		printf("%02x", p->ip[i]);
	printf("\n");
}

static void test_reset(int family)
{
	static uint8_t syn_bytes[PACKET_MAX], reset_bytes[PACKET_MAX], ours[PACKET_MAX];
	struct endpoint local, remote = closed_port(family, SOCK_STREAM);
	int fd = make_socket(family, SOCK_STREAM, &local);
	struct packet syn, reset;
	size_t len;

	drain();
	tap_int(connect_to(fd, &remote), ECONNREFUSED, "%s: nobody listens", name(family));
	if (!capture(IPPROTO_TCP, local.port, syn_bytes, &syn) ||
	    !capture(IPPROTO_TCP, local.port, reset_bytes, &reset))
		fail("SYN and RST");
	dump("SYN", &syn);
	dump("RST", &reset);
	tap_ok(syn.tcp_flags == TCP_SYN && endpoint_equal(&syn.src, &local) && endpoint_equal(&syn.dst, &remote),
	       "%s: the SYN is read", name(family));
	len = packet_build_reset(ours, &syn);
	if (family == AF_INET6) /* the flow label is the kernel's choice */
		memcpy(ours, reset.ip, 4);
	tap_ok(len == reset.len && memcmp(ours, reset.ip, len) == 0, "%s: our RST is the kernel's", name(family));
	close(fd);
}

static void test_unreachable(int family, size_t payload)
{
	static uint8_t sent_bytes[PACKET_MAX], error_bytes[PACKET_MAX], ours[PACKET_MAX], data[PACKET_MAX];
	struct endpoint local, remote = closed_port(family, SOCK_DGRAM);
	int fd = make_socket(family, SOCK_DGRAM, &local);
	bool v4 = family == AF_INET;
	size_t len, header = v4 ? 20 : 40, built;
	struct packet sent, error, back;
	struct icmp_error e;

	drain();
	connect_to(fd, &remote);
	if (send(fd, data, payload, 0) < 0 || !capture(IPPROTO_UDP, local.port, sent_bytes, &sent) ||
	    !capture(v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, 0, error_bytes, &error))
		fail("UDP and its error");
	dump("UDP", &sent);
	dump("error", &error);
	built =
	    packet_build_udp(ours, &local, &remote, (struct packet_marks){ .ttl = sent.ttl, .tos = sent.tos }, data, payload, NULL);
	tap_ok(built == sent.len && memcmp(ours + header, sent.ip + header, built - header) == 0,
	       "%s: our UDP is the kernel's, %zu bytes", name(family), payload);
	e = (struct icmp_error){ .offender = remote.ip, .type = error.icmp_type, .code = error.icmp_code };
	len = packet_build_icmp_error(ours, &e, &sent, NULL, NULL);
	tap_int(len, error.len, "%s: length of our error about %zu bytes", name(family), payload);
	packet_parse(ours, len, &back);
	tap_int(back.tos, error.tos, "%s: its tos", name(family));
	/* The quoted UDP checksum was not filled in yet when the kernel quoted it; so ours over it differs, too. */
	memset(ours + header + 2, 0, 2);
	memset(error_bytes + header + 2, 0, 2);
	memset(ours + 2 * header + 8 + 6, 0, 2);
	memset(error_bytes + 2 * header + 8 + 6, 0, 2);
	tap_ok(memcmp(ours + header, error.ip + header, len - header) == 0, "%s: it is the kernel's, %zu bytes",
	       name(family), payload);
	close(fd);
}

static void test_echo(int family)
{
	static uint8_t request_bytes[PACKET_MAX], reply_bytes[PACKET_MAX], ours[PACKET_MAX];
	bool v4 = family == AF_INET;
	uint8_t protocol = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	size_t len, header = v4 ? 20 : 40;
	struct packet request, reply;
	struct ip ip;

	drain();
	ip_parse(v4 ? "127.0.0.1" : "::1", &ip);
	len = packet_build_echo(ours, &ip, &ip, (struct packet_marks){ 0 }, false, 4711, 3, "abc", 3);
	inject(ours, len);
	if (!capture(protocol, 0, request_bytes, &request) || !capture(protocol, 0, reply_bytes, &reply))
		fail("echo");
	dump("reply", &reply);
	tap_ok(reply.echo_id == 4711 && reply.echo_seq == 3 && reply.payload_len == 3,
	       "%s: our echo request is answered", name(family));
	len = packet_build_echo(ours, &ip, &ip, (struct packet_marks){ 0 }, true, 4711, 3, "abc", 3);
	tap_ok(len == reply.len && memcmp(ours + header, reply.ip + header, len - header) == 0,
	       "%s: our echo reply is the kernel's", name(family));
}

/* A socket that waits for an answer: a connected UDP socket that has sent to @fd's address, whose owner says nothing;
 * or a TCP socket whose SYN goes unanswered, since the listener's backlog is full. *ret_sent is the packet. */
static int wait_for_answer(int family, int type, uint8_t buf[PACKET_MAX], struct packet *ret_sent, int ret_others[3])
{
	struct endpoint local, remote;
	int fd;

	ret_others[0] = make_socket(family, type, &remote);
	for (int i = 1; i < 3 && type == SOCK_STREAM; i++) {
		listen(ret_others[0], 0);
		ret_others[i] = make_socket(family, type | SOCK_NONBLOCK, &local);
		connect_to(ret_others[i], &remote);
		usleep(1000);
	}
	fd = make_socket(family, type | SOCK_NONBLOCK, &local);
	drain();
	connect_to(fd, &remote);
	if (type == SOCK_DGRAM)
		send(fd, "x", 1, 0);
	if (!capture(type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP, local.port, buf, ret_sent))
		fail("what the socket sent");
	return fd;
}

static int pending_error(int fd, int patience_ms)
{
	int error = 0;
	socklen_t len = sizeof(error);

	for (int i = 0; i < patience_ms && !error; i++) {
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
		if (!error)
			usleep(1000);
	}
	return error;
}

/* @want4 and @want6: what the socket reports. A connected UDP socket without IPV6_RECVERR hears of ECONNREFUSED and
 * EACCES alone. */
static const struct {
	int error, want4, want6;
	bool udp6;
} errors[] = {
	{ ECONNREFUSED, ECONNREFUSED, ECONNREFUSED, true },
	{ ENETUNREACH, ENETUNREACH, ENETUNREACH, false },
	{ EHOSTUNREACH, EHOSTUNREACH, EHOSTUNREACH, false },
	{ EACCES, EHOSTUNREACH, EACCES, true },
	{ EPERM, EHOSTUNREACH, EACCES, true },
	{ EPROTO, EPROTO, EPROTO, true },
	{ ENOPROTOOPT, ENOPROTOOPT, EHOSTUNREACH, false },
	{ EHOSTDOWN, EHOSTDOWN, EHOSTUNREACH, false },
	{ ENONET, ENONET, EHOSTUNREACH, false },
	{ ETIMEDOUT, EHOSTUNREACH, EHOSTUNREACH, false },
};

static void test_error(size_t row, int family, int type)
{
	static uint8_t sent_bytes[PACKET_MAX], ours[PACKET_MAX];
	int others[3] = { -1, -1, -1 }, want = family == AF_INET ? errors[row].want4 : errors[row].want6;
	struct packet sent;
	int fd = wait_for_answer(family, type, sent_bytes, &sent, others);
	struct icmp_error e = { .offender = sent.dst.ip };

	packet_error_from_errno(errors[row].error, family, &e.type, &e.code);
	if (type == SOCK_DGRAM && row % 2) /* the other builder, every second time */
		inject(ours, packet_build_icmp_error_udp(ours, &e, &sent.src.ip, &sent.src, &sent.dst, "x", 1));
	else
		inject(ours, packet_build_icmp_error(ours, &e, &sent, NULL, NULL));
	if (type == SOCK_DGRAM && family == AF_INET6 && !errors[row].udp6)
		want = 0;
	tap_int(pending_error(fd, want ? WAIT_MS : 50), want, "%s %s: %s", name(family),
		type == SOCK_DGRAM ? "UDP" : "TCP", strerrorname_np(errors[row].error));
	close(fd);
	for (int i = 0; i < 3; i++)
		if (others[i] >= 0)
			close(others[i]);
}

static void inject_piece(void *arg, const uint8_t *piece, size_t len)
{
	inject(piece, len);
}

/* Ours to a socket: whole or in pieces; with a wrong checksum none arrives, so the kernel does look at it. */
static void test_receive(int family, size_t payload, size_t mtu, bool spoil)
{
	static uint8_t data[65536], got[65536], packet[PACKET_MAX];
	struct endpoint local, from = { .port = 77 }, source;
	int fd = make_socket(family, SOCK_DGRAM, &local);
	struct sockaddr_storage sa;
	socklen_t sa_len = sizeof(sa);
	struct packet_sum sum;
	size_t len;
	ssize_t n;

	from.ip = local.ip;
	for (size_t i = 0; i < payload; i++)
		data[i] = (uint8_t)(i * 13);
	len = packet_build_udp(packet, &from, &local, (struct packet_marks){ .ttl = 9, .tos = 4 }, data, payload, mtu ? &sum : NULL);
	packet[len - 1] ^= spoil;
	if (mtu)
		fragment_cut(packet, len, mtu, 99, inject_piece, NULL);
	else
		inject(packet, len);
	n = recvfrom(fd, got, sizeof(got), spoil ? MSG_DONTWAIT : 0, (struct sockaddr *)&sa, &sa_len);
	if (spoil) {
		tap_int(n, -1, "%s: a wrong checksum is dropped", name(family));
	} else {
		endpoint_from_sockaddr(&sa, &source);
		tap_ok(n == (ssize_t)payload && memcmp(got, data, payload) == 0 && endpoint_equal(&source, &from),
		       "%s: %zu bytes of ours arrive, mtu %zu", name(family), payload, mtu);
	}
	close(fd);
}

/* The kernel's pieces, put together. */
static void test_join(int family, size_t payload)
{
	static uint8_t data[65536], bytes[PACKET_MAX];
	struct endpoint local, remote;
	int to = make_socket(family, SOCK_DGRAM, &remote), fd = make_socket(family, SOCK_DGRAM, &local);
	struct fragments *f = fragments_new(4);
	const uint8_t *whole;
	struct packet p;
	size_t len = 0, pieces = 0;

	for (size_t i = 0; i < payload; i++)
		data[i] = (uint8_t)(i * 11);
	drain();
	connect_to(fd, &remote);
	send(fd, data, payload, 0);
	while (!len && capture(IPPROTO_UDP, 0, bytes, &p)) {
		pieces++;
		len = fragments_add(f, &p, 0, &whole);
	}
	tap_int(pieces, (payload + 8 + 1479) / (family == AF_INET ? 1480 : 1448), "%s: pieces of %zu bytes",
		name(family), payload);
	tap_ok(len && packet_parse(whole, len, &p) == 0 && p.payload_len == payload &&
		   memcmp(p.payload, data, payload) == 0,
	       "%s: put together", name(family));
	tap_ok(endpoint_equal(&p.src, &local) && endpoint_equal(&p.dst, &remote), "%s: with its ports", name(family));
	fragments_free(f);
	close(fd);
	close(to);
}

int main(void)
{
	static const int families[] = { AF_INET, AF_INET6 };

	make_namespace();
	for (int i = 0; i < 2; i++) {
		test_reset(families[i]);
		test_unreachable(families[i], 5);
		test_unreachable(families[i], 1400);
		test_echo(families[i]);
		test_receive(families[i], 0, 0, false);
		test_receive(families[i], 1001, 0, false);
		test_receive(families[i], 1001, 0, true);
		test_receive(families[i], 10000, 1280, false);
		test_receive(families[i], 65507, 1500, false);
		test_join(families[i], 3000);
		test_join(families[i], 65507);
		for (size_t row = 0; row < sizeof(errors) / sizeof(errors[0]); row++) {
			test_error(row, families[i], SOCK_STREAM);
			test_error(row, families[i], SOCK_DGRAM);
		}
	}
	return tap_done();
}
