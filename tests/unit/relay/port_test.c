// SPDX-License-Identifier: MIT
/* Datagram ports over loopback, of sockets and through a tunnel. ICMP errors that loopback doesn't make by itself are forged with a raw
 * socket, for which the test needs a network namespace of its own; without one, those rows are left out. */
#include "relay/sockets.h"

#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <stdio.h>

#include "isolate.h"
#include "net/sock_diag.h"
#include "loop_thread.h"
#include "peers.h"
#include "tap.h"
#include "tunnel_pair.h"

enum { EVENTS = 64, LARGEST4 = 65507, LARGEST6 = 65527 };

/* What a port told. */
struct event {
	struct endpoint peer;
	struct packet_marks marks;
	struct icmp_error error;
	size_t len;
	uint8_t data[64]; /* the first bytes */
	bool is_error, good; /* good: all of it is the pattern's with seed @len */
};

static struct {
	volatile int n;
	volatile int broken;
	struct event events[EVENTS];
} heard;

struct request {
	struct endpoint to;
	struct packet_marks marks;
	const void *data;
	size_t len;
	int returned;
};

/* A port under test and what is asked of it. */
struct subject {
	struct egress *e;
	enum port_kind kind;
	struct endpoint local;
	struct port *port;
	int returned, n_requests;
	struct request *requests;
};

static struct egress *direct, *waiting;
static struct egress *subject_egress; /* where ports are opened: direct or the tunnel's */
static const struct packet_marks plain = { .ttl = 64 };
static const struct packet_marks whole = { .ttl = 64, .dont_fragment = true };
static bool refill_gives;
static int refill_error;

static struct event *next_event(size_t len)
{
	struct event *e = &heard.events[heard.n < EVENTS ? heard.n : EVENTS - 1];

	*e = (struct event){ .len = len };
	return e;
}

static void on_datagram(void *arg, const struct endpoint *from, struct packet_marks marks, const uint8_t *data, size_t len)
{
	struct event *e = next_event(len);

	e->peer = *from;
	e->marks = marks;
	e->good = true;
	for (size_t i = 0; i < len; i++)
		e->good = e->good && data[i] == pattern(i, len);
	memcpy(e->data, data, len < sizeof(e->data) ? len : sizeof(e->data));
	heard.n++;
}

static void on_error(void *arg, const struct endpoint *to, const struct icmp_error *error, const uint8_t *data, size_t len)
{
	struct event *e = next_event(len);

	e->peer = *to;
	e->error = *error;
	e->is_error = true;
	memcpy(e->data, data, len < sizeof(e->data) ? len : sizeof(e->data));
	heard.n++;
}

static void on_broken(void *arg, int error)
{
	heard.broken = error;
}

static const struct port_events events = { .on_datagram = on_datagram, .on_error = on_error, .on_broken = on_broken };

static void do_open(void *arg)
{
	struct subject *s = arg;

	s->returned = s->e->ops->open(s->e, s->kind, &s->local, &events, s, &s->port);
}

static void do_close(void *arg)
{
	struct subject *s = arg;

	s->e->ops->close(s->port);
}

static void do_send(void *arg)
{
	struct subject *s = arg;

	for (int i = 0; i < s->n_requests; i++) {
		struct request *r = &s->requests[i];

		r->returned = s->e->ops->send(s->port, &r->to, r->marks, r->data, r->len);
	}
}

static void do_refill(void *arg)
{
	socket_egress_refilled(waiting);
}

static int slow_take(struct socket_source *s, enum socket_kind kind, bool *ret_raw)
{
	if (refill_error)
		return -refill_error;
	return refill_gives ? socket_make(kind, ret_raw) : -EAGAIN;
}

static struct endpoint endpoint(const char *ip, uint16_t port)
{
	struct endpoint e = { .port = port };

	if (!ip_parse(ip, &e.ip))
		abort();
	return e;
}

static struct subject open_port(enum port_kind kind, struct endpoint local)
{
	struct subject s = { .e = subject_egress, .kind = kind, .local = local };

	heard.n = 0;
	on_loop(do_open, &s);
	if (s.returned)
		abort();
	return s;
}

static void close_port(struct subject *s)
{
	on_loop(do_close, s);
}

static int send_all(struct subject *s, struct request *requests, int n)
{
	int failed = 0;

	s->requests = requests;
	s->n_requests = n;
	on_loop(do_send, s);
	for (int i = 0; i < n; i++)
		failed += requests[i].returned != 0;
	return failed;
}

static int send_one(struct subject *s, const struct endpoint *to, struct packet_marks marks, const void *data, size_t len)
{
	struct request r = { .to = *to, .marks = marks, .data = data, .len = len };

	send_all(s, &r, 1);
	return r.returned;
}

static struct endpoint name_of(int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct endpoint e = { 0 };

	getsockname(fd, (struct sockaddr *)&sa, &len);
	endpoint_from_sockaddr(&sa, &e);
	return e;
}

/* A UDP peer on @ip that hears the TTL and TOS. */
static int peer_on(const char *ip, struct endpoint *ret)
{
	struct endpoint e = endpoint(ip, 0);
	struct sockaddr_storage sa;
	socklen_t len = endpoint_to_sockaddr(&e, &sa);
	int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;

	setsockopt(fd, IPPROTO_IP, IP_RECVTTL, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IP, IP_RECVTOS, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, &on, sizeof(on));
	set_patience(fd);
	if (bind(fd, (struct sockaddr *)&sa, len) < 0)
		abort();
	*ret = name_of(fd);
	return fd;
}

/* Receives one datagram; -1 when none comes. */
static ssize_t peer_receive(int fd, uint8_t *data, size_t room, struct endpoint *ret_from, struct packet_marks *ret_marks)
{
	struct sockaddr_storage sa;
	uint8_t control[256];
	struct iovec iov = { data, room };
	struct msghdr msg = { .msg_name = &sa, .msg_namelen = sizeof(sa), .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &msg, 0);

	if (n < 0)
		return -1;
	endpoint_from_sockaddr(&sa, ret_from);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		bool v4 = c->cmsg_level == IPPROTO_IP;

		if (c->cmsg_type == (v4 ? IP_TTL : IPV6_HOPLIMIT))
			ret_marks->ttl = *CMSG_DATA(c);
		if (c->cmsg_type == (v4 ? IP_TOS : IPV6_TCLASS))
			ret_marks->tos = *CMSG_DATA(c);
	}
	return n;
}

static void peer_send(int fd, const struct endpoint *to, int ttl, int tos, const void *data, size_t len)
{
	struct sockaddr_storage sa;
	socklen_t sa_len = endpoint_to_sockaddr(to, &sa);
	bool v4 = ip_is_v4(&to->ip);

	setsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TTL : IPV6_UNICAST_HOPS, &ttl, sizeof(ttl));
	setsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS, &tos, sizeof(tos));
	if (sendto(fd, data, len, 0, (struct sockaddr *)&sa, sa_len) != (ssize_t)len)
		abort();
}

static void fill(uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		data[i] = pattern(i, len);
}

static bool is_pattern(const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (data[i] != pattern(i, len))
			return false;
	return true;
}

static void test_exchange(const char *name, const char *any, const char *loopback, size_t largest)
{
	static uint8_t data[LARGEST6 + 1], got[LARGEST6 + 1];
	const size_t sizes[] = { 0, 1, 1400, 1473, largest };
	struct endpoint peer, from = { 0 };
	struct packet_marks marks = { 0 };
	int fd = peer_on(loopback, &peer);
	struct subject s = open_port(PORT_UDP, endpoint(any, 0));

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t len = sizes[i];

		heard.n = 0;
		fill(data, len);
		tap_int(send_one(&s, &peer, plain, data, len), 0, "%s: %zu bytes are sent", name, len);
		tap_int(peer_receive(fd, got, sizeof(got), &from, &marks), len, "%s: they arrive", name);
		tap_ok(is_pattern(got, len) && marks.ttl == 64 && marks.tos == 0, "%s: as they were, with no marks", name);
		peer_send(fd, &from, 64, 0, data, len);
		tap_int(await(&heard.n, 1), 1, "%s: an answer comes", name);
		tap_ok(heard.events[0].len == len && heard.events[0].good && !heard.events[0].is_error, "%s: as it was", name);
		tap_ok(endpoint_equal(&heard.events[0].peer, &peer), "%s: from whom it came", name);
	}
	if (subject_egress == direct)
		tap_int(send_one(&s, &peer, plain, data, largest + 1), EMSGSIZE, "%s: a byte more is too long", name);
	heard.n = 0;
	tap_int(send_one(&s, &peer, (struct packet_marks){ .ttl = 3, .tos = 0xb8 }, "x", 1), 0, "%s: marked", name);
	peer_receive(fd, got, sizeof(got), &from, &marks);
	tap_ok(marks.ttl == 3 && marks.tos == 0xb8, "%s: TTL %d and TOS %#x arrive", name, marks.ttl, marks.tos);
	peer_send(fd, &from, 7, 0x48, "y", 1);
	await(&heard.n, 1);
	tap_ok(heard.events[0].marks.ttl == 7 && heard.events[0].marks.tos == 0x48, "%s: and back", name);
	close_port(&s);
	close(fd);
}

static void test_wishes(void)
{
	struct endpoint peers[2], held, from[2];
	int fds[2] = { peer_on("127.0.0.1", &peers[0]), peer_on("127.0.0.7", &peers[1]) }, holder;
	struct packet_marks marks;
	struct subject s;
	uint8_t got[8];

	holder = peer_on("127.0.0.3", &held);
	close(holder);
	s = open_port(PORT_UDP, held);
	for (int i = 0; i < 2; i++) {
		send_one(&s, &peers[i], plain, "hello", 5);
		tap_int(peer_receive(fds[i], got, sizeof(got), &from[i], &marks), 5, "peer %d hears it", i);
		tap_ok(endpoint_equal(&from[i], &held), "from the wished address and port");
	}
	close_port(&s);
	holder = peer_on("127.0.0.3", &held);
	s = open_port(PORT_UDP, held);
	for (int i = 0; i < 2; i++) {
		send_one(&s, &peers[i], plain, "hello", 5);
		tap_int(peer_receive(fds[i], got, sizeof(got), &from[i], &marks), 5, "with the port taken, peer %d hears it", i);
		tap_ok(ip_equal(&from[i].ip, &held.ip) && from[i].port != held.port, "from another port of the address");
	}
	tap_int(from[0].port, from[1].port, "the same for all");
	close_port(&s);
	s = open_port(PORT_UDP, endpoint("192.0.2.9", 0));
	send_one(&s, &peers[0], plain, "hello", 5);
	tap_int(peer_receive(fds[0], got, sizeof(got), &from[0], &marks), 5, "an address that isn't there is no hindrance");
	close_port(&s);
	for (int i = 0; i < 2; i++)
		close(fds[i]);
	close(holder);
}

/* Nobody has it, nor does the kernel give it to who asks for any. */
static struct endpoint closed_port(const char *ip)
{
	return endpoint(ip, NOBODYS_PORT);
}

static void test_refused(const char *name, const char *any, const char *loopback, uint8_t type, uint8_t code)
{
	struct endpoint nobody = closed_port(loopback);
	struct subject s = open_port(PORT_UDP, endpoint(any, 0));
	const struct event *e = &heard.events[0];

	tap_int(send_one(&s, &nobody, plain, "who is there", 12), 0, "%s: sent to nobody", name);
	tap_int(await(&heard.n, 1), 1, "%s: an error comes", name);
	tap_ok(e->is_error && e->error.type == type && e->error.code == code, "%s: port unreachable (%d, %d)", name, e->error.type,
	       e->error.code);
	tap_ok(ip_equal(&e->error.offender, &nobody.ip), "%s: from that host", name);
	tap_ok(endpoint_equal(&e->peer, &nobody), "%s: about where it was sent to", name);
	tap_ok(e->len == 12 && memcmp(e->data, "who is there", 12) == 0, "%s: with what was sent", name);
	poll(NULL, 0, 20);
	tap_int(heard.n, 1, "%s: once", name);
	close_port(&s);
}

/* The error of one datagram must not swallow the next, nor be told by a send and by the queue. */
static void test_pending_error(const char *name, const char *any, const char *loopback)
{
	struct request requests[20];
	struct endpoint nobody = closed_port(loopback), peer, from;
	int fd = peer_on(loopback, &peer), arrived = 0, errors = 0;
	struct subject s = open_port(PORT_UDP, endpoint(any, 0));
	struct packet_marks marks;
	uint8_t got[4];

	for (int i = 0; i < 20; i++)
		requests[i] = (struct request){ .to = i % 2 ? peer : nobody, .marks = plain, .data = "mine", .len = 4 };
	tap_int(send_all(&s, requests, 20), 0, "%s: alternately to nobody and a peer: no send fails", name);
	while (arrived < 10 && peer_receive(fd, got, sizeof(got), &from, &marks) == 4)
		arrived++;
	tap_int(arrived, 10, "%s: the peer gets all of its own", name);
	peer_send(fd, &from, 64, 0, "mine", 4);
	tap_int(await(&heard.n, 11), 11, "%s: each error and the answer come once", name);
	poll(NULL, 0, 20);
	for (int i = 0; i < heard.n; i++)
		errors += heard.events[i].is_error;
	tap_int(errors, 10, "%s: the errors", name);
	tap_int(heard.n, 11, "%s: and no more", name);
	close_port(&s);
	close(fd);
}

/* What the kernel says at once is returned; through a tunnel it comes as the ICMP error of the same errno. */
static void test_no_route(const char *name, enum port_kind kind, const char *any, const char *away, size_t header)
{
	struct endpoint to = endpoint(away, kind == PORT_UDP ? 9 : 0);
	struct subject s = open_port(kind, endpoint(any, 77));
	const struct event *e = &heard.events[0];
	uint8_t type, code;

	packet_error_from_errno(ENETUNREACH, ip_family(&to.ip), &type, &code);
	if (subject_egress == direct) {
		tap_int(send_one(&s, &to, plain, "\0\1\0\2data", 8), ENETUNREACH, "%s: no route", name);
	} else {
		tap_int(send_one(&s, &to, plain, "\0\1\0\2data", 8), 0, "%s: no route: sent", name);
		tap_int(await(&heard.n, 1), 1, "%s: an error comes", name);
		tap_ok(e->is_error && e->error.type == type && e->error.code == code, "%s: network unreachable", name);
		tap_ok(endpoint_equal(&e->peer, &to) && e->len == header + 8 && memcmp(e->data + header, "\0\1\0\2data", 8) == 0,
		       "%s: about what was sent", name);
	}
	close_port(&s);
}

static void test_broadcast(void)
{
	struct endpoint broad = endpoint("127.255.255.255", 9);
	struct subject s = open_port(PORT_UDP, endpoint("0.0.0.0", 0));

	tap_int(send_one(&s, &broad, plain, "x", 1), 0, "broadcast is allowed");
	poll(NULL, 0, 20);
	tap_int(heard.n, 0, "and no error comes");
	close_port(&s);
}

/* Sends the ICMP error @e about @original from e->offender, as a router would. */
static void forge(const struct icmp_error *e, const uint8_t *original, size_t len)
{
	static uint8_t out[PACKET_MAX];
	struct sockaddr_storage sa;
	struct endpoint to;
	struct packet p;
	socklen_t sa_len;
	size_t n;
	int fd;

	if (packet_parse(original, len, &p) != 0)
		abort();
	to = (struct endpoint){ .ip = p.src.ip };
	sa_len = endpoint_to_sockaddr(&to, &sa);
	n = packet_build_icmp_error(out, e, &p, NULL, NULL);
	fd = socket(sa.ss_family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	if (fd < 0 || sendto(fd, out, n, 0, (struct sockaddr *)&sa, sa_len) != (ssize_t)n)
		abort();
	close(fd);
}

static void test_forged(void)
{
	static const struct {
		const char *name, *ip;
		uint8_t type, code;
		uint32_t info;
	} rows[] = {
		{ "TTL exceeded", "127.0.0.66", ICMP_TIME_EXCEEDED, ICMP_EXC_TTL, 0 },
		{ "host unreachable", "127.0.0.66", ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, 0 },
		{ "prohibited", "127.0.0.66", ICMP_DEST_UNREACH, ICMP_PKT_FILTERED, 0 },
		{ "fragmentation needed", "127.0.0.66", ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, 1400 },
		{ "hop limit exceeded", "::1", ICMP6_TIME_EXCEEDED, ICMP6_TIME_EXCEED_TRANSIT, 0 },
		{ "address unreachable", "::1", ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADDR, 0 },
		{ "packet too big", "::1", ICMP6_PACKET_TOO_BIG, 0, 1400 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool v4 = rows[i].ip[0] != ':';
		struct icmp_error error = { .type = rows[i].type, .code = rows[i].code, .info = rows[i].info };
		struct endpoint peer, from;
		int fd = peer_on(v4 ? "127.0.0.5" : "::1", &peer);
		struct subject s = open_port(PORT_UDP, endpoint(v4 ? "0.0.0.0" : "::", 0));
		const struct event *e = &heard.events[0];
		struct packet_marks marks;
		struct packet_sum sum;
		uint8_t packet[256], got[16];

		ip_parse(rows[i].ip, &error.offender);
		send_one(&s, &peer, whole, "payload", 7);
		peer_receive(fd, got, sizeof(got), &from, &marks);
		forge(&error, packet, packet_build_udp(packet, &from, &peer, plain, "payload", 7, &sum));
		tap_int(await(&heard.n, 1), 1, "%s: told", rows[i].name);
		tap_ok(e->is_error && e->error.type == rows[i].type && e->error.code == rows[i].code, "%s: type and code", rows[i].name);
		tap_int(e->error.info, rows[i].info, "%s: MTU", rows[i].name);
		tap_ok(ip_equal(&e->error.offender, &error.offender), "%s: the offender", rows[i].name);
		tap_ok(endpoint_equal(&e->peer, &peer) && e->len == 7 && memcmp(e->data, "payload", 7) == 0, "%s: about what", rows[i].name);
		close_port(&s);
		close(fd);
	}
}

static void set_mtu(int mtu)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_mtu = mtu };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (ioctl(fd, SIOCSIFMTU, &request) < 0)
		abort();
	close(fd);
}

/* Longer than the link takes: cut where that is allowed, else its sender is told the MTU. */
static void test_link_mtu(const char *name, const char *any, const char *loopback)
{
	struct endpoint peer, from;
	int fd = peer_on(loopback, &peer);
	struct subject s = open_port(PORT_UDP, endpoint(any, 0));
	const struct event *e = &heard.events[0];
	struct packet_marks marks;
	uint8_t data[1500], got[2000];

	fill(data, sizeof(data));
	set_mtu(1400);
	tap_int(send_one(&s, &peer, whole, data, sizeof(data)), 0, "%s: a whole one that is too long is taken", name);
	tap_int(await(&heard.n, 1), 1, "%s: an error comes", name);
	tap_ok(e->is_error && e->error.info == 1400 && endpoint_equal(&e->peer, &peer), "%s: with the MTU", name);
	tap_int(send_one(&s, &peer, plain, data, sizeof(data)), 0, "%s: one that may be cut is taken", name);
	tap_ok(peer_receive(fd, got, sizeof(got), &from, &marks) == sizeof(data) && is_pattern(got, sizeof(data)), "%s: and arrives", name);
	tap_int(send_one(&s, &peer, whole, data, 1000), 0, "%s: a whole one that isn't too long is taken", name);
	tap_ok(peer_receive(fd, got, sizeof(got), &from, &marks) == 1000, "%s: and arrives", name);
	tap_int(heard.n, 1, "%s: no other error", name);
	set_mtu(65536);
	close_port(&s);
	close(fd);
}

static void test_waiting(void)
{
	struct endpoint peer, from;
	int fd = peer_on("127.0.0.1", &peer), arrived = 0, failed = 0;
	struct subject s = { .e = waiting, .kind = PORT_UDP, .local = endpoint("0.0.0.0", 0) }, other = s, closed = s;
	struct packet_marks marks;
	uint8_t got[16];

	on_loop(do_open, &s);
	on_loop(do_open, &closed);
	tap_int(s.returned, 0, "no socket at hand: the port is open");
	for (int i = 0; i < 200; i++)
		failed += send_one(&s, &peer, plain, &(uint8_t){ (uint8_t)i }, 1) != 0;
	tap_int(failed, 0, "what is sent now is taken");
	send_one(&closed, &peer, plain, "never", 5);
	close_port(&closed);
	refill_gives = true;
	on_loop(do_refill, NULL);
	refill_gives = false;
	while (arrived < 128 && peer_receive(fd, got, sizeof(got), &from, &marks) == 1 && got[0] == arrived)
		arrived++;
	tap_int(arrived, 128, "the first of them are sent when a socket came, in order");
	tap_int(recv(fd, got, sizeof(got), MSG_DONTWAIT), -1, "the others were dropped");
	send_one(&s, &peer, plain, "later", 5);
	tap_int(peer_receive(fd, got, sizeof(got), &from, &marks), 5, "then it is a port like any other");
	close_port(&s);
	on_loop(do_open, &other);
	refill_error = EMFILE;
	on_loop(do_refill, NULL);
	tap_int(heard.broken, EMFILE, "no socket to be had: the port is broken");
	tap_int(send_one(&other, &peer, plain, "x", 1), 0, "a send to it is dropped");
	close_port(&other);
	on_loop(do_open, &other);
	tap_int(other.returned, EMFILE, "the next open fails at once");
	refill_error = 0;
	on_loop(do_open, &other); /* stays, for the egress to close */
	close(fd);
}

/* An echo request as the session gives it: identifier, sequence number, data. */
static size_t echo(uint8_t out[32], uint16_t id, uint16_t seq)
{
	uint8_t head[4] = { (uint8_t)(id >> 8), (uint8_t)id, (uint8_t)(seq >> 8), (uint8_t)seq };

	memcpy(out, head, 4);
	memcpy(out + 4, "are you there?!", 15); /* an odd length, for the checksum */
	return 19;
}

static void test_echo(const char *name, const char *any, const char *loopback)
{
	struct endpoint peer = endpoint(loopback, 0);
	struct subject a = open_port(PORT_ECHO, endpoint(any, 0x4242)), b = open_port(PORT_ECHO, endpoint(any, 0x4242));
	uint8_t request[32];
	size_t len = echo(request, 0x4242, 9);
	const struct event *e = &heard.events[0];

	for (int i = 0; i < 2; i++) {
		heard.n = 0;
		tap_int(send_one(i ? &b : &a, &peer, plain, request, len), 0, "%s: sent", name);
		tap_int(await(&heard.n, 1), 1, "%s: a reply", name);
		tap_ok(e->len == len && memcmp(e->data, request, len) == 0, "%s: with the program's identifier, sequence and data", name);
		tap_ok(endpoint_equal(&e->peer, &peer), "%s: from there", name);
		tap_int(e->marks.ttl, 64, "%s: with its TTL", name);
		poll(NULL, 0, 20);
		tap_int(heard.n, 1, "%s: once, and not to the other port of the same identifier", name);
	}
	if (subject_egress == direct)
		tap_int(send_one(&a, &peer, plain, request, 3), EINVAL, "%s: less than a header", name);
	close_port(&a);
	close_port(&b);
}

/* Hears echo requests, as the whole packet (IPv4) or from its ICMP header on (IPv6). */
static int sniff(bool v4)
{
	int fd = socket(v4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC, v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	struct icmp6_filter filter;

	ICMP6_FILTER_SETBLOCKALL(&filter);
	ICMP6_FILTER_SETPASS(ICMP6_ECHO_REQUEST, &filter);
	if (!v4)
		setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof(filter));
	set_patience(fd);
	if (fd < 0)
		abort();
	return fd;
}

static void test_echo_error(const char *name, const char *any, const char *ip, uint8_t type, bool raw)
{
	bool v4 = ip[0] != ':';
	struct endpoint peer = endpoint(ip, 0);
	struct icmp_error error = { .offender = endpoint(v4 ? "127.0.0.66" : "::1", 0).ip, .type = type };
	int sniffer = sniff(v4);
	struct subject a = open_port(PORT_ECHO, endpoint(any, 0x4242)), b = open_port(PORT_ECHO, endpoint(any, 0x4242));
	const struct event *e = NULL;
	uint8_t request[32], got[128], packet[256];
	size_t len = echo(request, 0x4242, 9), n;
	const uint8_t *icmp = v4 ? got + 20 : got;
	struct ip src = endpoint(v4 ? "127.0.0.1" : "::1", 0).ip;
	uint16_t id;

	send_one(&a, &peer, (struct packet_marks){ .ttl = 5 }, request, len);
	do
		n = (size_t)recv(sniffer, got, sizeof(got), 0);
	while (v4 && n > 20 && n < 128 && icmp[0] != ICMP_ECHO);
	tap_ok(!v4 || got[8] == 5, "%s: the request has the TTL", name);
	id = (uint16_t)(icmp[4] << 8 | icmp[5]);
	tap_ok(raw || id == 0x4242, "%s: and the program's identifier where the kernel gives it", name);
	await(&heard.n, 1); /* the reply */
	n = packet_build_echo(packet, &src, &peer.ip, (struct packet_marks){ .ttl = 1 }, false, id, 9, request + 4, len - 4);
	forge(&error, packet, n);
	await(&heard.n, 2);
	poll(NULL, 0, 20);
	tap_int(heard.n, 2, "%s: an error comes, to the one port", name);
	e = &heard.events[1];
	tap_ok(e->is_error && e->error.type == type && e->error.code == 0, "%s: type and code", name);
	tap_ok(ip_equal(&e->error.offender, &error.offender) && endpoint_equal(&e->peer, &peer), "%s: offender and destination", name);
	tap_ok(e->len == 4 + len && e->data[0] == (v4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST) && memcmp(e->data + 4, request, len) == 0,
	       "%s: the quoted request has the program's identifier", name);
	close_port(&a);
	close_port(&b);
	close(sniffer);
}

static void test_echo_sockets(void)
{
	static const struct {
		const char *name, *range;
		bool raw;
	} modes[] = { { "ping socket", "0 0", false }, { "raw socket", "1 0", true } };

	for (size_t i = 0; i < 2; i++) {
		char name[64];
		bool raw = false;
		int fd;

		write_sysctl("/proc/sys/net/ipv4/ping_group_range", modes[i].range);
		fd = socket_make(SOCKET_ECHO4, &raw);
		close(fd);
		if (raw != modes[i].raw) { /* without a mapped group in a user namespace */
			printf("# no rows for the %s: ping_group_range can't be written\n", modes[i].name);
			continue;
		}
		tap_ok(fd >= 0, "%s: it is made", modes[i].name);
		snprintf(name, sizeof(name), "%s, IPv4", modes[i].name);
		test_echo(name, "0.0.0.0", "127.0.0.1");
		test_echo_error(name, "0.0.0.0", "127.0.0.1", ICMP_TIME_EXCEEDED, modes[i].raw);
		snprintf(name, sizeof(name), "%s, IPv6", modes[i].name);
		test_echo(name, "::", "::1");
		test_echo_error(name, "::", "::1", ICMP6_TIME_EXCEEDED, modes[i].raw);
	}
}

static void test_egress(bool isolated)
{
	test_exchange("IPv4", "0.0.0.0", "127.0.0.1", LARGEST4);
	test_exchange("IPv6", "::", "::1", LARGEST6);
	test_wishes();
	test_refused("IPv4", "0.0.0.0", "127.0.0.1", ICMP_DEST_UNREACH, ICMP_PORT_UNREACH);
	test_refused("IPv6", "::", "::1", ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOPORT);
	test_broadcast();
	if (!isolated)
		return;
	test_pending_error("IPv4", "0.0.0.0", "127.0.0.1");
	test_pending_error("IPv6", "::", "::1");
	test_no_route("IPv4", PORT_UDP, "0.0.0.0", "192.0.2.1", 0);
	test_no_route("IPv6", PORT_UDP, "::", "2001:db8::1", 0);
	test_no_route("echo", PORT_ECHO, "0.0.0.0", "192.0.2.1", 4);
	test_forged();
	test_link_mtu("IPv4, link's MTU", "0.0.0.0", "127.0.0.1");
	test_link_mtu("IPv6, link's MTU", "::", "::1");
	test_echo_sockets();
}

/* Whether what is sent there comes to a socket with the mark of ours. */
static bool is_ours(struct endpoint local)
{
	struct error err = { 0 };
	struct sock_diag *d = sock_diag_open(&err);
	const struct endpoint from = endpoint("127.0.0.9", 9);
	struct diag_socket s = { 0 };
	bool ours = sock_diag_find_udp(d, &local, &from, &s) > 0 && s.no_port;

	sock_diag_close(d);
	return ours;
}

static void test_mark(void)
{
	struct endpoint local = closed_port("127.0.0.3"), taken;
	int holder = peer_on("127.0.0.4", &taken);
	struct subject s = open_port(PORT_UDP, local), t = open_port(PORT_UDP, taken);

	tap_ok(is_ours(local), "what comes to a port is known to be ours");
	tap_ok(!is_ours((struct endpoint){ .ip = local.ip, .port = (uint16_t)(local.port + 1) }), "what comes to another one isn't");
	tap_ok(!is_ours(endpoint("127.0.0.5", local.port)), "nor to another address");
	tap_ok(!is_ours(taken), "nor to one that was wished for and is another's");
	close_port(&s);
	close_port(&t);
	close(holder);
	tap_ok(!is_ours(local), "nor when the port is closed");
}

/* The agent has no socket to give: the port of the session's is broken. */
static void test_broken_tunnel_port(void)
{
	struct subject s = { .e = tunnel.egress, .kind = PORT_UDP, .local = endpoint("0.0.0.0", 0) };
	struct endpoint to = endpoint("127.0.0.1", 9);

	heard.broken = 0;
	refill_error = EMFILE;
	on_loop(do_open, &s);
	tap_int(s.returned, 0, "the agent has no socket: open knows nothing yet");
	tap_int(await(&heard.broken, EMFILE), EMFILE, "then the port is broken");
	tap_int(send_one(&s, &to, plain, "x", 1), 0, "a send to it is dropped");
	close_port(&s);
	refill_error = 0;
	refill_gives = false;
	on_loop(do_open, &s);
	poll(NULL, 0, 20);
	refill_error = EMFILE;
	heard.broken = 0;
	on_loop(do_refill, NULL);
	tap_int(await(&heard.broken, EMFILE), EMFILE, "the same when it learns so later");
	close_port(&s);
	refill_error = 0;
	on_loop(do_open, &s); /* stays, for the server to close */
	poll(NULL, 0, 20);
}

static void start_all(void *arg)
{
	direct = socket_egress_new(loop, NULL);
	waiting = socket_egress_new(loop, arg);
	tunnel_start(NULL);
}

static void free_all(void *arg)
{
	tap_int(socket_egress_count(direct) + socket_egress_count(tunnel.agent), 0, "no port is left");
	socket_egress_free(direct);
	socket_egress_free(waiting);
	tunnel_stop(NULL);
}

static void restart_tunnel(void *arg)
{
	tunnel_start(arg);
	waiting = tunnel.agent;
}

int main(void)
{
	static struct socket_source slow = { .take = slow_take };
	bool isolated = isolate();
	int before;

	/* Only so many ICMP errors a second otherwise, and the tests count them. */
	if (isolated) {
		write_sysctl("/proc/sys/net/ipv4/icmp_ratelimit", "0");
		write_sysctl("/proc/sys/net/ipv6/icmp/ratelimit", "0");
	}
	loop_thread_start();
	before = open_descriptors();
	on_loop(start_all, &slow);
	subject_egress = direct;
	test_egress(isolated);
	test_mark();
	test_waiting();
	subject_egress = tunnel.egress;
	test_egress(isolated);
	tap_int(await_streams(0), 0, "no stream is left");
	on_loop(free_all, NULL);
	on_loop(restart_tunnel, &slow);
	test_broken_tunnel_port();
	on_loop(tunnel_stop, NULL);
	tap_int(open_descriptors(), before, "no descriptor is left");
	loop_thread_stop();
	return tap_done();
}
