// SPDX-License-Identifier: MIT
/* The filter's program, run by a small machine for the kernel's ancillary data, and by the kernel, which must take it. */
#include "capture/filter.h"

#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/bytes.h"
#include "tap.h"

enum { ETHERNET = ARPHRD_ETHER, LO = ARPHRD_LOOPBACK, MARK = 0x2000 };

/* A packet as the filter sees it. */
struct seen {
	uint32_t hatype, pkttype, protocol, mark, tagged, tag;
	uint8_t bytes[128];
};

static uint32_t load(const struct seen *s, uint32_t k, unsigned int size)
{
	switch (k - (uint32_t)SKF_AD_OFF) {
	case SKF_AD_HATYPE:
		return s->hatype;
	case SKF_AD_PKTTYPE:
		return s->pkttype;
	case SKF_AD_PROTOCOL:
		return s->protocol;
	case SKF_AD_MARK:
		return s->mark;
	case SKF_AD_VLAN_TAG_PRESENT:
		return s->tagged;
	case SKF_AD_VLAN_TAG:
		return s->tag;
	}
	if (k + size > sizeof(s->bytes))
		abort();
	return size == 1 ? s->bytes[k] : size == 2 ? get16(s->bytes + k) : get32(s->bytes + k);
}

static uint32_t run(const struct sock_filter *f, size_t n, const struct seen *s)
{
	static const uint8_t sizes[] = { [BPF_W >> 3] = 4, [BPF_H >> 3] = 2, [BPF_B >> 3] = 1 };
	uint32_t a = 0, x = 0, m[BPF_MEMWORDS] = { 0 };

	for (size_t pc = 0; pc < n; pc++) {
		const struct sock_filter *i = &f[pc];

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
		case BPF_LD | BPF_H | BPF_ABS:
		case BPF_LD | BPF_B | BPF_ABS:
			a = load(s, i->k, sizes[BPF_SIZE(i->code) >> 3]);
			break;
		case BPF_LD | BPF_H | BPF_IND:
			a = load(s, i->k + x, 2);
			break;
		case BPF_LD | BPF_IMM:
			a = i->k;
			break;
		case BPF_LD | BPF_MEM:
			a = m[i->k];
			break;
		case BPF_ST:
			m[i->k] = a;
			break;
		case BPF_LDX | BPF_IMM:
			x = i->k;
			break;
		case BPF_LDX | BPF_B | BPF_MSH:
			x = 4 * (load(s, i->k, 1) & 15);
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= i->k;
			break;
		case BPF_JMP | BPF_JA:
			pc += i->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += a == i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			pc += a >= i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			pc += a & i->k ? i->jt : i->jf;
			break;
		case BPF_RET | BPF_K:
			return i->k;
		case BPF_RET | BPF_A:
			return a;
		default:
			abort();
		}
	}
	abort(); /* ran off the end */
}

static struct seen packet(bool v4, uint8_t protocol, uint16_t source, uint16_t destination)
{
	struct seen s = { .hatype = ETHERNET, .protocol = v4 ? ETH_P_IP : ETH_P_IPV6 };
	size_t header = v4 ? 24 : 40; /* with options */

	s.bytes[0] = v4 ? 0x46 : 0x60;
	s.bytes[v4 ? 9 : 6] = protocol;
	put16(s.bytes + header, source);
	put16(s.bytes + header + 2, destination);
	return s;
}

static const uint16_t tcp[] = { 80, 443, 8080, 8081, 9000, 9001, 65535 }, udp[] = { 53 };
static const struct capture_plan plan = {
	.ports = { tcp, udp }, .n = { 7, 1 }, .answers = { CAPTURE_HEAD, 0 }, .skip_mark = MARK,
};

static const struct {
	const char *name;
	uint8_t protocol;
	uint16_t source, destination;
	uint32_t hatype, pkttype, mark, tagged, tag, want;
} rows[] = {
	{ "a request", IPPROTO_TCP, 40000, 80, ETHERNET, PACKET_HOST, 0, 0, 0, CAPTURE_WHOLE },
	{ "a request to the last port", IPPROTO_TCP, 40000, 65535, ETHERNET, PACKET_HOST, 0, 0, 0, CAPTURE_WHOLE },
	{ "its answer", IPPROTO_TCP, 80, 40000, ETHERNET, PACKET_OUTGOING, 0, 0, 0, CAPTURE_HEAD },
	{ "a request of ours to such a port elsewhere", IPPROTO_TCP, 40000, 80, ETHERNET, PACKET_OUTGOING, 0, 0, 0, 0 },
	{ "the answer from there", IPPROTO_TCP, 80, 40000, ETHERNET, PACKET_HOST, 0, 0, 0, 0 },
	{ "another port", IPPROTO_TCP, 40000, 81, ETHERNET, PACKET_HOST, 0, 0, 0, 0 },
	{ "a port of the other protocol", IPPROTO_TCP, 40000, 53, ETHERNET, PACKET_HOST, 0, 0, 0, 0 },
	{ "a datagram", IPPROTO_UDP, 40000, 53, ETHERNET, PACKET_HOST, 0, 0, 0, CAPTURE_WHOLE },
	{ "a datagram to a port of TCP's", IPPROTO_UDP, 40000, 80, ETHERNET, PACKET_HOST, 0, 0, 0, 0 },
	{ "a datagram's answer", IPPROTO_UDP, 53, 40000, ETHERNET, PACKET_OUTGOING, 0, 0, 0, 0 },
	{ "a broadcast", IPPROTO_UDP, 40000, 53, ETHERNET, PACKET_BROADCAST, 0, 0, 0, CAPTURE_WHOLE },
	{ "for another host", IPPROTO_TCP, 40000, 80, ETHERNET, PACKET_OTHERHOST, 0, 0, 0, 0 },
	{ "lo, coming in", IPPROTO_TCP, 40000, 80, LO, PACKET_HOST, 0, 0, 0, CAPTURE_WHOLE },
	{ "lo, going out", IPPROTO_TCP, 40000, 80, LO, PACKET_OUTGOING, 0, 0, 0, 0 },
	{ "lo, the answer coming in", IPPROTO_TCP, 80, 40000, LO, PACKET_HOST, 0, 0, 0, CAPTURE_HEAD },
	{ "lo, from port to port", IPPROTO_TCP, 443, 80, LO, PACKET_HOST, 0, 0, 0, CAPTURE_WHOLE },
	{ "lo, with the mark", IPPROTO_TCP, 40000, 80, LO, PACKET_HOST, MARK, 0, 0, 0 },
	{ "lo, with another mark", IPPROTO_TCP, 40000, 80, LO, PACKET_HOST, MARK | 1, 0, 0, CAPTURE_WHOLE },
	{ "with the mark, not on lo", IPPROTO_TCP, 40000, 80, ETHERNET, PACKET_HOST, MARK, 0, 0, CAPTURE_WHOLE },
	{ "in a VLAN", IPPROTO_TCP, 40000, 80, ETHERNET, PACKET_HOST, 0, 1, 0x2064, 0 },
	{ "with a priority", IPPROTO_TCP, 40000, 80, ETHERNET, PACKET_HOST, 0, 1, 0x2000, CAPTURE_WHOLE },
	{ "ICMP", IPPROTO_ICMP, 40000, 80, ETHERNET, PACKET_HOST, 0, 0, 0, 0 },
};

static void test_rows(const struct sock_filter *f, size_t n)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int v4 = 0; v4 < 2; v4++) {
			struct seen s = packet(v4, rows[i].protocol, rows[i].source, rows[i].destination);

			s.hatype = rows[i].hatype;
			s.pkttype = rows[i].pkttype;
			s.mark = rows[i].mark;
			s.tagged = rows[i].tagged;
			s.tag = rows[i].tag;
			tap_int(run(f, n, &s), rows[i].want, "%s, IPv%d", rows[i].name, v4 ? 4 : 6);
		}
	}
}

static void test_odd(const struct sock_filter *f, size_t n)
{
	struct seen s = packet(true, IPPROTO_TCP, 1, 2);

	s.bytes[6] = 0x20;
	tap_int(run(f, n, &s), CAPTURE_WHOLE, "a first fragment");
	s.bytes[6] = 0;
	s.bytes[7] = 5;
	tap_int(run(f, n, &s), CAPTURE_WHOLE, "a later fragment");
	s.pkttype = PACKET_OUTGOING;
	tap_int(run(f, n, &s), CAPTURE_HEAD, "one of an answer");
	s = packet(true, IPPROTO_UDP, 1, 2);
	s.bytes[6] = 0x20;
	s.pkttype = PACKET_OUTGOING;
	tap_int(run(f, n, &s), 0, "one of an answer that isn't taken");
	s = packet(true, IPPROTO_TCP, 40000, 80);
	s.bytes[6] = 0x40;
	tap_int(run(f, n, &s), CAPTURE_WHOLE, "don't fragment");
	s = packet(false, IPPROTO_HOPOPTS, 1, 2);
	tap_int(run(f, n, &s), CAPTURE_WHOLE, "extension headers");
	s = packet(false, IPPROTO_FRAGMENT, 1, 2);
	tap_int(run(f, n, &s), CAPTURE_WHOLE, "a fragment of IPv6");
	s = packet(true, IPPROTO_TCP, 40000, 80);
	s.protocol = ETH_P_ARP;
	tap_int(run(f, n, &s), 0, "neither IPv4 nor IPv6");
}

/* Every port, against the list. */
static void test_every_port(const struct sock_filter *f, size_t n, const uint16_t *ports, size_t n_ports, const char *name)
{
	size_t wrong = 0, at = 0;

	for (uint32_t port = 0; port < 65536; port++) {
		struct seen s = packet(true, IPPROTO_TCP, 1, (uint16_t)port);
		bool listed = at < n_ports && ports[at] == port;

		at += listed;
		wrong += (run(f, n, &s) == CAPTURE_WHOLE) != listed;
	}
	tap_int(wrong, 0, "%s: every port", name);
}

static void test_kernel(const struct sock_filter *f, size_t n, const char *name)
{
	struct sock_fprog program = { .len = (unsigned short)n, .filter = (struct sock_filter *)f };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	tap_ok(n <= BPF_MAXINSNS && setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0,
	       "%s: the kernel takes it, %zu instructions", name, n);
	close(fd);
}

int main(void)
{
	static struct sock_filter f[2 * BPF_MAXINSNS];
	static uint16_t many[CAPTURE_PORTS + 1];
	struct capture_plan p = plan;
	size_t n = capture_filter(&plan, f);

	test_kernel(f, n, "eight ports");
	test_rows(f, n);
	test_odd(f, n);
	test_every_port(f, n, tcp, 7, "eight ports");
	for (size_t i = 0; i <= CAPTURE_PORTS; i++)
		many[i] = (uint16_t)(i * 163);
	p.ports[CAPTURE_TCP] = many;
	for (size_t k = 1; k < CAPTURE_PORTS; k = k < 20 ? k + 1 : k + 97) {
		p.n[CAPTURE_TCP] = k;
		n = capture_filter(&p, f);
		test_every_port(f, n, many, k, "some ports");
		test_kernel(f, n, "some ports");
	}
	p.n[CAPTURE_TCP] = CAPTURE_PORTS - 1;
	n = capture_filter(&p, f);
	test_kernel(f, n, "as many as may be");
	test_every_port(f, n, many, CAPTURE_PORTS - 1, "as many as may be");
	p.n[CAPTURE_TCP] = CAPTURE_PORTS;
	tap_int(capture_filter(&p, f), 0, "one more is refused");
	p.n[CAPTURE_TCP] = p.n[CAPTURE_UDP] = 0;
	n = capture_filter(&p, f);
	test_kernel(f, n, "none");
	test_every_port(f, n, many, 0, "none");
	return tap_done();
}
