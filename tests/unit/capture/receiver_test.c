// SPDX-License-Identifier: MIT
/* The reassembly against the receiver itself: segments of every kind go through a TUN device to Linux' TCP and, as a capture sees them, to
 * the reassembly. What the application reads is what the reassembly gave. Where two versions of a byte were sent the receiver alone knows
 * which it took: then the reassembly says that it doesn't know, and never gives the other one. */
#include "capture/reassembly.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../relay/isolate.h"
#include "net/bytes.h"
#include "net/rtnl.h"
#include "tap.h"

enum { STREAM = 3000, LONGEST = 700, PORT = 80, RUNS = 150, HEADERS = 40 };

static int tun;
static const uint8_t our_ip[4] = { 10, 8, 0, 2 }, its_ip[4] = { 10, 8, 0, 1 };

/* One connection, seen from all sides. */
static struct talk {
	struct reassembly *r;
	uint16_t port;
	uint32_t first, its_next; /* sequence number of our first byte; what we acknowledge */
	uint32_t acked;		  /* bytes of ours that it acknowledged */
	uint8_t given[STREAM + LONGEST], read[STREAM + LONGEST];
	size_t n_given, n_read;
	bool gap, ended, reset;
} talk;

static uint64_t next_random(void)
{
	static uint64_t state = 4711;

	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return state >> 33;
}

static void *on_open(void *arg, const struct endpoint ends[SIDES], bool middle)
{
	return arg;
}

static void on_data(void *arg, void *owner, enum side from, const uint8_t *data, size_t len)
{
	if (talk.gap)
		return; /* from there on nothing is compared */
	if (talk.n_given + len > sizeof(talk.given))
		abort();
	memcpy(talk.given + talk.n_given, data, len);
	talk.n_given += len;
}

static void on_gap(void *arg, void *owner, enum side from, size_t len)
{
	talk.gap = true;
}

static void on_end(void *arg, void *owner, enum side from)
{
	talk.ended = true;
}

static void on_close(void *arg, void *owner, enum reassembly_close why)
{
	talk.reset = why == CLOSE_RESET;
}

static const struct reassembly_events events = { on_open, on_data, on_gap, on_end, on_close };

static void show(const uint8_t *bytes, size_t len, enum side from)
{
	struct packet p;

	if (packet_parse(bytes, len, &p) == 0 && p.protocol == IPPROTO_TCP)
		reassembly_packet(talk.r, &p, from, 0);
}

/* What the kernel says, if it says something within @ms. */
static bool hear(int ms)
{
	uint8_t bytes[2048];
	struct pollfd ready = { .fd = tun, .events = POLLIN };
	struct packet p;
	ssize_t n;

	if (poll(&ready, 1, ms) <= 0 || (n = read(tun, bytes, sizeof(bytes))) <= 0)
		return false;
	if (packet_parse(bytes, (size_t)n, &p) < 0 || p.protocol != IPPROTO_TCP || p.dst.port != talk.port)
		return true;
	show(bytes, (size_t)n, SIDE_SERVER);
	if (p.tcp_flags & (TCP_SYN | TCP_FIN))
		talk.its_next = p.tcp_seq + 1;
	if (p.tcp_flags & TCP_ACK && (int32_t)(p.tcp_ack - talk.first - talk.acked) > 0)
		talk.acked = p.tcp_ack - talk.first;
	return true;
}

static uint8_t stream_byte(uint32_t at, uint8_t salt)
{
	return (uint8_t)(at * 13 + at / 256 + salt);
}

/* Our segment at @offset; the capture sees it before the kernel's TCP does. */
static void say(uint8_t flags, uint32_t offset, size_t len, uint8_t salt, uint32_t ack)
{
	uint8_t bytes[HEADERS + LONGEST] = { 0x45, [8] = 64, IPPROTO_TCP };
	uint8_t *tcp = bytes + 20;
	struct packet p;

	put16(bytes + 2, (uint16_t)(HEADERS + len));
	memcpy(bytes + 12, our_ip, 4);
	memcpy(bytes + 16, its_ip, 4);
	put16(bytes + 10, packet_sum_fold(packet_sum_add(0, bytes, 20)));
	put16(tcp, talk.port);
	put16(tcp + 2, PORT);
	put32(tcp + 4, talk.first + offset);
	put32(tcp + 8, ack);
	tcp[12] = 5 << 4;
	tcp[13] = flags;
	put16(tcp + 14, 60000);
	for (size_t i = 0; i < len; i++)
		bytes[HEADERS + i] = stream_byte(offset + (uint32_t)i, salt);
	if (packet_parse(bytes, HEADERS + len, &p) < 0)
		abort();
	packet_complete_sum(bytes, &p);
	show(bytes, HEADERS + len, SIDE_CLIENT);
	if (write(tun, bytes, HEADERS + len) < 0)
		abort();
	while (hear(0))
		;
}

/* One segment of any kind: most are data, some of those with other bytes (@lies), some are what a receiver must not take. */
static void say_something(bool lies)
{
	uint32_t from = (uint32_t)next_random() % STREAM, most = STREAM - from < LONGEST ? STREAM - from : LONGEST;
	size_t len = (size_t)next_random() % most + 1;
	uint8_t salt = lies && next_random() % 6 == 0 ? 77 : 0;

	if (next_random() % 3 == 0 && talk.acked < STREAM) { /* goes on where the receiver is */
		from = talk.acked;
		len = (size_t)next_random() % (STREAM - from < LONGEST ? STREAM - from : LONGEST) + 1;
	}
	switch (next_random() % 24) {
	case 0: /* acknowledges what was never sent */
		say(TCP_ACK, from, len, salt, talk.its_next + 100000);
		return;
	case 1: /* without ACK */
		say(0, from, len, salt, 0);
		return;
	case 2: /* a RST in the window, but not where it counts: a challenge */
		say(TCP_RST, talk.acked + 5000, 0, 0, 0);
		return;
	case 3: /* keep-alive */
		say(TCP_ACK, talk.acked - 1, next_random() % 2, 99, talk.its_next);
		return;
	default:
		say(TCP_ACK, from, len, salt, talk.its_next);
	}
}

static int listen_there(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	memcpy(&sa.sin_addr, its_ip, 4);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 16) < 0)
		abort();
	return fd;
}

static int begin(int listener, uint16_t port)
{
	static const bool client[SIDES] = { true, false };
	struct pollfd ready = { .fd = listener, .events = POLLIN };

	talk = (struct talk){ .r = reassembly_new(client, &events, NULL), .port = port, .first = (uint32_t)next_random() * 3 };
	say(TCP_SYN, UINT32_MAX, 0, 0, 0);
	while (!talk.its_next && hear(10000))
		;
	say(TCP_ACK, 0, 0, 0, talk.its_next);
	return poll(&ready, 1, 10000) > 0 ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
}

static void read_all(int fd)
{
	ssize_t n;

	while (talk.n_read < sizeof(talk.read) && (n = recv(fd, talk.read + talk.n_read, sizeof(talk.read) - talk.n_read, 0)) > 0)
		talk.n_read += (size_t)n;
}

/* Sends until the receiver has all, then the end. True: what came out on both ways agrees. */
static bool run(int listener, uint16_t port, bool lies, size_t *ret_gaps)
{
	struct timeval patience = { .tv_sec = 10 };
	int fd = begin(listener, port);
	bool good;

	if (fd < 0)
		return false;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	for (int i = 0; i < 400 && talk.acked < STREAM; i++)
		say_something(lies);
	while (talk.acked < STREAM) { /* what is still missing; a delayed acknowledgement may be on its way */
		if (!hear(60))
			say(TCP_ACK, talk.acked, STREAM - talk.acked < LONGEST ? STREAM - talk.acked : LONGEST, 0, talk.its_next);
	}
	say(TCP_ACK | TCP_FIN, STREAM, 0, 0, talk.its_next);
	while (talk.acked <= STREAM && hear(1000))
		;
	read_all(fd);
	good = talk.n_read == STREAM && memcmp(talk.given, talk.read, talk.n_given) == 0;
	if (!talk.gap)
		good = good && talk.n_given == STREAM && talk.ended;
	*ret_gaps += talk.gap;
	close(fd);
	while (hear(0))
		;
	say(TCP_RST, STREAM + 1, 0, 0, 0);
	reassembly_free(talk.r);
	return good;
}

static bool open_tun(void)
{
	struct ifreq request = { .ifr_name = "tun0", .ifr_flags = IFF_TUN | IFF_NO_PI };
	struct error err = { 0 };
	struct rtnl *nl;
	const struct ip ip = ip_from_v4(its_ip);
	const struct route route = { .prefix = ip_from_v4(our_ip), .prefix_len = 32, .type = 1, .link = "tun0" };

	tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (tun < 0 || ioctl(tun, TUNSETIFF, &request) < 0)
		return false;
	nl = rtnl_open(&err);
	if (!nl || rtnl_add_address(nl, "tun0", &ip, 32, &err) < 0 || rtnl_change_link(nl, "tun0", &(struct link_change){ .up = true }, &err) < 0 ||
	    rtnl_add_route(nl, &route, &err) < 0) {
		printf("# %s\n", err.text);
		abort();
	}
	rtnl_close(nl);
	return true;
}

int main(void)
{
	size_t good = 0, gaps = 0, honest = 0, none = 0;
	int listener;

	if (!isolate() || !open_tun()) {
		printf("1..0 # SKIP no network namespace or no TUN device: %s\n", strerror(errno));
		return 0;
	}
	listener = listen_there();
	for (uint16_t i = 0; i < RUNS; i++) {
		honest += run(listener, (uint16_t)(10000 + i), false, &none);
		good += run(listener, (uint16_t)(20000 + i), true, &gaps);
	}
	tap_int(honest, RUNS, "a sender that says each byte once or the same again: what the receiver's application read");
	tap_int(none, 0, "and nothing is uncertain");
	tap_int(good, RUNS, "a sender that lies: nothing that the application didn't read");
	tap_ok(gaps > RUNS / 2, "lies were noticed (%zu times)", gaps);
	return tap_done();
}
