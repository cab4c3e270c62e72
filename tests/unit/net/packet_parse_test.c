// SPDX-License-Identifier: MIT
#include "net/packet.h"

#include <netinet/in.h>

#include "guard.h"
#include "hex.h"
#include "net/checksum.h"
#include "tap.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* Hex of what many rows share. The addresses are 10.0.0.1 and 10.0.0.2, fd00::1 and fd00::2. */
#define IP4 "0a000001 0a000002"
#define IP6 "fd000000000000000000000000000001 fd000000000000000000000000000002"
#define UDP "03e8 0035 000d 1234 68656c6c6f"
#define TCP "9c40 0050 000003e8 000007d0 5010 ffff 0000 0000"

/* @payload is its offset in the packet; @transport that of the transport header, 0 where there is none. */
static const struct {
	const char *name, *hex, *src, *dst;
	size_t len, transport, payload, payload_len;
	struct packet want;
} good[] = {
	/* Seen on lo of Linux 6.18, checksums filled in. */
	{ .name = "kernel SYN, IPv4",
	  .hex =
	      "4500003c9b9c40004006a11d7f0000017f000001877bdb197021023000000000a002faf0fc660000020405b40402080a2593582"
	      "9000000000103030a",
	  "127.0.0.1:34683",
	  "127.0.0.1:56089",
	  60,
	  20,
	  60,
	  0,
	  { .protocol = IPPROTO_TCP, .ttl = 64, .fragment_id = 0x9b9c, .tcp_flags = TCP_SYN, .tcp_seq = 0x70210230 } },
	{ .name = "kernel RST, IPv4",
	  .hex = "450000280000400040063cce7f0000017f000001db19877b000000007021023150140000dce60000",
	  "127.0.0.1:56089",
	  "127.0.0.1:34683",
	  40,
	  20,
	  40,
	  0,
	  { .protocol = IPPROTO_TCP, .ttl = 64, .tcp_flags = TCP_RST | TCP_ACK, .tcp_ack = 0x70210231 } },
	{ .name = "kernel UDP, IPv4",
	  .hex = "450000211f96400040111d347f0000017f000001d14bb402000d7c830000000000",
	  "127.0.0.1:53579",
	  "127.0.0.1:46082",
	  33,
	  20,
	  28,
	  5,
	  { .protocol = IPPROTO_UDP, .ttl = 64, .fragment_id = 0x1f96 } },
	{ .name = "kernel port unreachable, IPv4",
	  .hex =
	      "45c0003d3b410000400140bd7f0000017f0000010303cd3e00000000450000210098400040113c327f0000017f00000197bd99d"
	      "2000dfe200000000000",
	  "127.0.0.1:0",
	  "127.0.0.1:0",
	  61,
	  20,
	  28,
	  33,
	  { .protocol = IPPROTO_ICMP, .ttl = 64, .tos = 0xc0, .fragment_id = 0x3b41, .icmp_type = 3, .icmp_code = 3 } },
	{ .name = "kernel echo reply, IPv4",
	  .hex = "4500001f91cc00004001eb0f7f0000017f0000010000293312670003616263",
	  "127.0.0.1:0",
	  "127.0.0.1:0",
	  31,
	  20,
	  28,
	  3,
	  { .protocol = IPPROTO_ICMP, .ttl = 64, .fragment_id = 0x91cc, .echo_id = 4711, .echo_seq = 3 } },
	{ .name = "kernel SYN, IPv6",
	  .hex =
	      "6000a5170028064000000000000000000000000000000001000000000000000000000000000000018a498a37b8cf1cb10000000"
	      "0a002fd2053ff0000020405a00402080a541db8d0000000000103030a",
	  "[::1]:35401",
	  "[::1]:35383",
	  80,
	  40,
	  80,
	  0,
	  { .protocol = IPPROTO_TCP, .ttl = 64, .tcp_flags = TCP_SYN, .tcp_seq = 0xb8cf1cb1 } },
	{ .name = "kernel UDP, IPv6",
	  .hex =
	      "6001f6cd000d11400000000000000000000000000000000100000000000000000000000000000001ebc7bbca000d58400000000"
	      "000",
	  "[::1]:60359",
	  "[::1]:48074",
	  53,
	  40,
	  48,
	  5,
	  { .protocol = IPPROTO_UDP, .ttl = 64 } },
	{ .name = "kernel port unreachable, IPv6",
	  .hex =
	      "600747cc003d3a4000000000000000000000000000000001000000000000000000000000000000010104f783000000006004ee7"
	      "c000d11400000000000000000000000000000000100000000000000000000000000000001bf7be785000d00200000000000",
	  "[::1]:0",
	  "[::1]:0",
	  101,
	  40,
	  48,
	  53,
	  { .protocol = IPPROTO_ICMPV6, .ttl = 64, .icmp_type = 1, .icmp_code = 4 } },
	{ .name = "kernel echo reply, IPv6",
	  .hex =
	      "6006533b000b3a4000000000000000000000000000000001000000000000000000000000000000018100a7eb12670003616263",
	  "[::1]:0",
	  "[::1]:0",
	  51,
	  40,
	  48,
	  3,
	  { .protocol = IPPROTO_ICMPV6, .ttl = 64, .icmp_type = 129, .echo_id = 4711, .echo_seq = 3 } },
	/* By hand. */
	{ .name = "IPv4 options",
	  .hex = "47000029 00070000 07110000" IP4 "94040000 01010101" UDP,
	  "10.0.0.1:1000",
	  "10.0.0.2:53",
	  41,
	  28,
	  36,
	  5,
	  { .protocol = IPPROTO_UDP, .ttl = 7, .fragment_id = 7 } },
	{ .name = "padding behind the packet",
	  .hex = "45b80021 00074000 40110000" IP4 UDP "000000000000000000",
	  "10.0.0.1:1000",
	  "10.0.0.2:53",
	  33,
	  20,
	  28,
	  5,
	  { .protocol = IPPROTO_UDP, .ttl = 64, .tos = 0xb8, .fragment_id = 7 } },
	{ .name = "bytes behind the datagram, in the packet",
	  .hex = "45000025 00000000 40110000" IP4 UDP "01020304",
	  "10.0.0.1:1000",
	  "10.0.0.2:53",
	  37,
	  20,
	  28,
	  5,
	  { .protocol = IPPROTO_UDP, .ttl = 64 } },
	{ .name = "empty datagram",
	  .hex = "4500001c 00000000 40110000" IP4 "03e8 0035 0008 0000",
	  "10.0.0.1:1000",
	  "10.0.0.2:53",
	  28,
	  20,
	  28,
	  0,
	  { .protocol = IPPROTO_UDP, .ttl = 64 } },
	{ .name = "TCP with data",
	  .hex = "4500002b 00000000 40060000" IP4 TCP "616263",
	  "10.0.0.1:40000",
	  "10.0.0.2:80",
	  43,
	  20,
	  40,
	  3,
	  { .protocol = IPPROTO_TCP, .ttl = 64, .tcp_flags = TCP_ACK, .tcp_seq = 1000, .tcp_ack = 2000 } },
	{ .name = "ICMP timestamp has no echo id",
	  .hex = "4500001c 00000000 40010000" IP4 "0d000000 00010002",
	  "10.0.0.1:0",
	  "10.0.0.2:0",
	  28,
	  20,
	  28,
	  0,
	  { .protocol = IPPROTO_ICMP, .ttl = 64, .icmp_type = 13 } },
	{ .name = "IPv4 first fragment",
	  .hex = "4500002c 00072000 40110000" IP4 "03e8 0035 0100 0000 "
		 "0001020304050607 0001020304050607",
	  "10.0.0.1:1000",
	  "10.0.0.2:53",
	  44,
	  20,
	  20,
	  24,
	  { .protocol = IPPROTO_UDP, .ttl = 64, .fragment_id = 7, .more_fragments = true } },
	{ .name = "IPv4 first fragment with half a TCP header",
	  .hex = "4500001c 00072000 40060000" IP4 "9c40 0050 000003e8",
	  "10.0.0.1:0",
	  "10.0.0.2:0",
	  28,
	  0,
	  20,
	  8,
	  { .protocol = IPPROTO_TCP, .ttl = 64, .fragment_id = 7, .more_fragments = true } },
	{ .name = "IPv4 middle fragment",
	  .hex = "4500001c 000720b9 40110000" IP4 "0001020304050607",
	  "10.0.0.1:0",
	  "10.0.0.2:0",
	  28,
	  0,
	  20,
	  8,
	  { .protocol = IPPROTO_UDP, .ttl = 64, .fragment_id = 7, .more_fragments = true, .fragment_offset = 1480 } },
	{ .name = "IPv4 last fragment",
	  .hex = "45000017 000700b9 40110000" IP4 "000102",
	  "10.0.0.1:0",
	  "10.0.0.2:0",
	  23,
	  0,
	  20,
	  3,
	  { .protocol = IPPROTO_UDP, .ttl = 64, .fragment_id = 7, .fragment_offset = 1480 } },
	{ .name = "IPv4 last fragment, up to the last byte",
	  .hex = "4500001b 00071fff 40110000" IP4 "00010203040506",
	  "10.0.0.1:0",
	  "10.0.0.2:0",
	  27,
	  0,
	  20,
	  7,
	  { .protocol = IPPROTO_UDP, .ttl = 64, .fragment_id = 7, .fragment_offset = 65528 } },
	{ .name = "IPv6 traffic class and flow label",
	  .hex = "6b8fffff 000d 11 01" IP6 UDP,
	  "[fd00::1]:1000",
	  "[fd00::2]:53",
	  53,
	  40,
	  48,
	  5,
	  { .protocol = IPPROTO_UDP, .ttl = 1, .tos = 0xb8 } },
	{ .name = "IPv6 with all extension headers",
	  .hex =
	      "60000000 002d 00 40" IP6 "3c00 010400000000 2b00 010400000000 2c00 040000000000 1100 0000 00000009" UDP,
	  "[fd00::1]:1000",
	  "[fd00::2]:53",
	  85,
	  72,
	  80,
	  5,
	  { .protocol = IPPROTO_UDP, .ttl = 64, .fragment_id = 9 } },
	{ .name = "IPv6 options of 16 bytes",
	  .hex = "60000000 001d 3c 40" IP6 "1101 010c 000000000000000000000000" UDP,
	  "[fd00::1]:1000",
	  "[fd00::2]:53",
	  69,
	  56,
	  64,
	  5,
	  { .protocol = IPPROTO_UDP, .ttl = 64 } },
	{ .name = "IPv6 atomic fragment",
	  .hex = "60000000 0015 2c 40" IP6 "1100 0000 01020304" UDP,
	  "[fd00::1]:1000",
	  "[fd00::2]:53",
	  61,
	  48,
	  56,
	  5,
	  { .protocol = IPPROTO_UDP, .ttl = 64, .fragment_id = 0x01020304 } },
	{ .name = "IPv6 first fragment",
	  .hex = "60000000 0018 2c 40" IP6 "1100 0001 01020304"
		 "03e8 0035 0100 0000 0001020304050607",
	  "[fd00::1]:1000",
	  "[fd00::2]:53",
	  64,
	  48,
	  48,
	  16,
	  { .protocol = IPPROTO_UDP, .ttl = 64, .fragment_id = 0x01020304, .more_fragments = true } },
	{ .name = "IPv6 first fragment with options in it",
	  .hex = "60000000 0018 2c 40" IP6 "3c00 0001 01020304"
		 "1100 010400000000 03e8 0035 0100 0000",
	  "[fd00::1]:1000",
	  "[fd00::2]:53",
	  64,
	  56,
	  48,
	  16,
	  { .protocol = IPPROTO_UDP, .ttl = 64, .fragment_id = 0x01020304, .more_fragments = true } },
	{ .name = "IPv6 last fragment",
	  .hex = "60000000 000b 2c 40" IP6 "1100 05a8 01020304"
		 "000102",
	  "[fd00::1]:0",
	  "[fd00::2]:0",
	  51,
	  0,
	  48,
	  3,
	  { .protocol = IPPROTO_UDP, .ttl = 64, .fragment_id = 0x01020304, .fragment_offset = 1448 } },
	{ .name = "IPv6 last fragment of a datagram with options",
	  .hex = "60000000 000b 2c 40" IP6 "3c00 05a8 01020304"
		 "000102",
	  "[fd00::1]:0",
	  "[fd00::2]:0",
	  51,
	  0,
	  48,
	  3,
	  { .protocol = IPPROTO_DSTOPTS, .ttl = 64, .fragment_id = 0x01020304, .fragment_offset = 1448 } },
};

static const struct {
	const char *name, *hex;
	int want;
} bad[] = {
	{ "nothing", "", PACKET_CUT },
	{ "IP version 0", "05000021 00000000 40110000" IP4 UDP, PACKET_MALFORMED },
	{ "IP version 5", "55000021 00000000 40110000" IP4 UDP, PACKET_MALFORMED },
	{ "IPv4 header of 16 bytes", "44000021 00000000 40110000" IP4 UDP, PACKET_MALFORMED },
	{ "IPv4 header longer than the packet", "4f000021 00000000 40110000" IP4 UDP, PACKET_CUT },
	{ "IPv4 header longer than its length says", "4f000021 00000000 40110000" IP4 UDP UDP UDP UDP,
	  PACKET_MALFORMED },
	{ "IPv4 length 0", "45000000 00000000 40110000" IP4 UDP, PACKET_MALFORMED },
	{ "IPv4 length 19", "45000013 00000000 40110000" IP4 UDP, PACKET_MALFORMED },
	{ "IPv4 length 1 too long", "45000022 00000000 40110000" IP4 UDP, PACKET_CUT },
	{ "IPv4 without a UDP header", "45000014 00000000 40110000" IP4, PACKET_CUT },
	{ "UDP header of 7 bytes", "4500001b 00000000 40110000" IP4 UDP, PACKET_CUT },
	{ "UDP length 0", "45000021 00000000 40110000" IP4 "03e8 0035 0000 0000 68656c6c6f", PACKET_MALFORMED },
	{ "UDP length 7", "45000021 00000000 40110000" IP4 "03e8 0035 0007 0000 68656c6c6f", PACKET_MALFORMED },
	{ "UDP length 1 too long", "45000021 00000000 40110000" IP4 "03e8 0035 000e 0000 68656c6c6f", PACKET_CUT },
	{ "UDP length into the padding", "45000021 00000000 40110000" IP4 "03e8 0035 000e 0000 68656c6c6f00",
	  PACKET_CUT },
	{ "TCP header of 19 bytes", "45000027 00000000 40060000" IP4 TCP, PACKET_CUT },
	{ "TCP offset of 4 words", "45000028 00000000 40060000" IP4 "9c400050 000003e8 000007d0 4010ffff 00000000",
	  PACKET_MALFORMED },
	{ "TCP options cut", "45000028 00000000 40060000" IP4 "9c400050 000003e8 000007d0 6010ffff 00000000",
	  PACKET_CUT },
	{ "ICMP header of 7 bytes", "4500001b 00000000 40010000" IP4 "08000000 00010002", PACKET_CUT },
	{ "IPv4 GRE", "4500001c 00000000 402f0000" IP4 "00000000 00000000", PACKET_UNSUPPORTED },
	{ "IPv4 ICMPv6", "4500001c 00000000 403a0000" IP4 "80000000 00010002", PACKET_UNSUPPORTED },
	{ "IPv4 destination options", "4500001c 00000000 403c0000" IP4 "11000000 00000000", PACKET_UNSUPPORTED },
	{ "IPv4 later fragment of GRE", "4500001c 00000010 402f0000" IP4 "00000000 00000000", PACKET_UNSUPPORTED },
	{ "IPv4 later fragment of options", "4500001c 00000010 403c0000" IP4 "00000000 00000000", PACKET_UNSUPPORTED },
	{ "IPv4 empty fragment", "45000014 00070010 40110000" IP4, PACKET_MALFORMED },
	{ "IPv4 fragment of 9 bytes that isn't last", "4500001d 00072010 40110000" IP4 "000102030405060708",
	  PACKET_MALFORMED },
	{ "IPv4 fragment past 65535", "4500001c 00071fff 40110000" IP4 "0001020304050607", PACKET_MALFORMED },
	{ "IPv4 first fragment with a bad UDP length", "4500001c 00072000 40110000" IP4 "03e8 0035 0007 0000",
	  PACKET_MALFORMED },
	{ "IPv6 payload 1 too long", "60000000 000e 11 40" IP6 UDP, PACKET_CUT },
	{ "IPv6 payload length 0", "60000000 0000 11 40" IP6 UDP, PACKET_CUT },
	{ "IPv6 jumbogram", "60000000 0000 00 40" IP6 "1100 c20400010000" UDP, PACKET_CUT },
	{ "IPv6 from a mapped address",
	  "60000000 000d 11 40 00000000000000000000ffff0a000001 fd000000000000000000000000000002" UDP,
	  PACKET_MALFORMED },
	{ "IPv6 to a mapped address",
	  "60000000 000d 11 40 fd000000000000000000000000000002 00000000000000000000ffff0a000001" UDP,
	  PACKET_MALFORMED },
	{ "IPv6 no next header", "60000000 0000 3b 40" IP6, PACKET_UNSUPPORTED },
	{ "IPv6 ICMP of IPv4", "60000000 0008 01 40" IP6 "08000000 00010002", PACKET_UNSUPPORTED },
	{ "IPv6 later fragment of ICMP of IPv4", "60000000 0010 2c 40" IP6 "0100 0008 00000001 0001020304050607",
	  PACKET_UNSUPPORTED },
	{ "IPv6 authentication header",
	  "60000000 0025 33 40" IP6 "1104 0000"
	  "0000000000000000000000000000000000000000" UDP,
	  PACKET_UNSUPPORTED },
	{ "IPv6 ESP", "60000000 000d 32 40" IP6 UDP, PACKET_UNSUPPORTED },
	{ "IPv6 shim6", "60000000 000d 8c 40" IP6 UDP, PACKET_UNSUPPORTED },
	{ "IPv6 hop-by-hop options second", "60000000 001d 3c 40" IP6 "0000 010400000000 1100 010400000000" UDP,
	  PACKET_MALFORMED },
	{ "IPv6 options longer than the packet", "60000000 0015 3c 40" IP6 "1102 010400000000" UDP, PACKET_CUT },
	{ "IPv6 options of 7 bytes", "60000000 0007 3c 40" IP6 "1100 0104000000", PACKET_CUT },
	{ "IPv6 options, then nothing", "60000000 0008 3c 40" IP6 "1100 010400000000", PACKET_CUT },
	{ "IPv6 segments left", "60000000 001d 2b 40" IP6 "1101 0401 0000000000000000 00000000" UDP,
	  PACKET_UNSUPPORTED },
	{ "IPv6 fragment header of 7 bytes", "60000000 0007 2c 40" IP6 "1100 0000 000000", PACKET_CUT },
	{ "IPv6 two fragment headers", "60000000 001d 2c 40" IP6 "2c00 0000 00000001 1100 0000 00000001" UDP,
	  PACKET_MALFORMED },
	{ "IPv6 empty fragment", "60000000 0008 2c 40" IP6 "1100 0008 00000001", PACKET_MALFORMED },
	{ "IPv6 fragment of 9 bytes that isn't last", "60000000 0011 2c 40" IP6 "1100 0009 00000001 000102030405060708",
	  PACKET_MALFORMED },
	{ "IPv6 fragment past 65535", "60000000 0010 2c 40" IP6 "1100 fff8 00000001 0001020304050607",
	  PACKET_MALFORMED },
	{ "IPv6 first fragment ends in its options", "60000000 0010 2c 40" IP6 "3c00 0001 00000001 1101 010400000000",
	  PACKET_CUT },
};

static void check_fields(const char *name, const struct packet *got, const struct packet *want)
{
	tap_ok(got->protocol == want->protocol && got->ttl == want->ttl && got->tos == want->tos, "%s: IP fields",
	       name);
	tap_ok(got->more_fragments == want->more_fragments && got->fragment_offset == want->fragment_offset &&
		   got->fragment_id == want->fragment_id &&
		   packet_is_fragment(got) == (want->more_fragments || want->fragment_offset),
	       "%s: fragment", name);
	tap_ok(got->tcp_flags == want->tcp_flags && got->tcp_seq == want->tcp_seq && got->tcp_ack == want->tcp_ack,
	       "%s: TCP fields", name);
	tap_ok(got->icmp_type == want->icmp_type && got->icmp_code == want->icmp_code &&
		   got->echo_id == want->echo_id && got->echo_seq == want->echo_seq,
	       "%s: ICMP fields", name);
}

static void test_good(size_t row)
{
	uint8_t bytes[256], *at;
	size_t len = hex_bytes(good[row].hex, bytes, sizeof(bytes)), wrong = 0;
	const char *name = good[row].name;
	char text[ENDPOINT_TEXT];
	struct packet p;

	at = guard_copy(bytes, len);
	tap_int(packet_parse(at, len, &p), 0, "%s", name);
	tap_ok(p.ip == at && p.len == good[row].len, "%s: length", name);
	tap_int(p.dont_fragment, at[0] >> 4 == 4 ? (at[6] & 0x40) != 0 : !p.fragment_id, "%s: may it be fragmented", name);
	tap_str(endpoint_format(&p.src, text), good[row].src, "%s: source", name);
	tap_str(endpoint_format(&p.dst, text), good[row].dst, "%s: destination", name);
	tap_int(p.transport ? p.transport - at : 0, good[row].transport, "%s: transport", name);
	tap_int(p.payload - at, good[row].payload, "%s: payload", name);
	tap_int(p.payload_len, good[row].payload_len, "%s: payload's length", name);
	check_fields(name, &p, &good[row].want);
	if (strncmp(name, "kernel", 6) == 0)
		tap_int(verify(at, &p), 0, "%s: checksums", name);
	for (size_t cut = 0; cut < p.len; cut++)
		wrong += packet_parse(guard_copy(bytes, cut), cut, &p) != PACKET_CUT;
	tap_int(wrong, 0, "%s: every cut of it", name);
}

/* A capture that kept the headers, and none of the payload, some of it, all. */
static void test_head(size_t row)
{
	uint8_t bytes[256], *at;
	size_t len = hex_bytes(good[row].hex, bytes, sizeof(bytes)), wrong = 0, whole;
	struct packet p;
	bool fragment;

	len = good[row].len < len ? good[row].len : len;
	at = guard_copy(bytes, len);
	tap_ok(packet_parse_head(at, len, len, &p) == 0 && p.missing == 0, "%s: a head that is all", good[row].name);
	fragment = packet_is_fragment(&p);
	whole = p.payload_len;
	for (size_t cut = 0; cut < len; cut++) {
		int r;

		at = guard_copy(bytes, cut);
		r = packet_parse_head(at, cut, len, &p);
		if (fragment || cut < good[row].payload)
			wrong += r != PACKET_CUT;
		else
			wrong += r != 0 || p.missing != len - cut || p.payload + p.payload_len > at + cut ||
				 p.payload_len + p.missing < whole;
	}
	tap_int(wrong, 0, "%s: every cut of it as a head", good[row].name);
}

/* Too long for the length in its header. */
static void test_big(void)
{
	static const struct {
		const char *name, *hex;
		size_t payload;
	} big[] = {
		{ "IPv4", "45000000 00074000 40060000" IP4 TCP, 40 },
		{ "IPv6", "60000000 0000 06 40" IP6 TCP, 60 },
		{ "IPv6 with an option", "60000000 0000 00 40" IP6 "0600 c20400030000" TCP, 68 },
	};

	for (size_t i = 0; i < COUNT(big); i++) {
		static uint8_t bytes[196608];
		const char *name = big[i].name;
		struct packet p;

		memset(bytes, 'x', sizeof(bytes));
		hex_bytes(big[i].hex, bytes, sizeof(bytes));
		tap_int(packet_parse_head(bytes, sizeof(bytes), sizeof(bytes), &p), 0, "%s of 192 KiB", name);
		tap_ok(p.len == sizeof(bytes) && p.missing == 0, "%s of 192 KiB: length", name);
		tap_ok(p.payload == bytes + big[i].payload && p.payload_len == sizeof(bytes) - big[i].payload, "%s of 192 KiB: payload", name);
		tap_int(packet_parse_head(bytes, 100, sizeof(bytes), &p), 0, "%s of 192 KiB, cut", name);
		tap_ok(p.payload_len == 100 - big[i].payload && p.missing == sizeof(bytes) - 100, "%s of 192 KiB, cut: what is missing", name);
		tap_ok(packet_parse_head(bytes, 65535, 65535, &p) < 0, "%s: no length, but not too long", name);
		tap_ok(packet_parse_head(bytes, sizeof(bytes), 0xffffffff, &p) < 0, "%s of 4 GiB", name);
		tap_ok(packet_parse(bytes, sizeof(bytes), &p) < 0, "%s of 192 KiB, not captured", name);
	}
}

/* Each byte set to each value: nothing is read beyond the end, nothing points there. */
static void test_mutations(size_t row)
{
	uint8_t bytes[256], *at, was;
	size_t len = hex_bytes(good[row].hex, bytes, sizeof(bytes)), wrong = 0;
	struct packet p;

	at = guard_copy(bytes, len);
	for (size_t i = 0; i < len; i++) {
		was = at[i];
		for (int value = 0; value < 256; value++) {
			at[i] = (uint8_t)value;
			if (packet_parse(at, len, &p) == 0)
				wrong += p.len > len || p.payload < at || p.payload + p.payload_len > at + p.len;
		}
		at[i] = was;
	}
	tap_int(wrong, 0, "%s: every value of every byte", good[row].name);
}

static void test_bad(size_t row)
{
	uint8_t bytes[256];
	size_t len = hex_bytes(bad[row].hex, bytes, sizeof(bytes));
	struct packet p;

	tap_int(packet_parse(guard_copy(bytes, len), len, &p), bad[row].want, "%s", bad[row].name);
}

int main(void)
{
	for (size_t i = 0; i < COUNT(good); i++) {
		test_good(i);
		test_head(i);
		test_mutations(i);
	}
	test_big();
	for (size_t i = 0; i < COUNT(bad); i++)
		test_bad(i);
	return tap_done();
}
