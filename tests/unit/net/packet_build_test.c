// SPDX-License-Identifier: MIT
#include "net/packet.h"

#include <errno.h>
#include <netinet/in.h>

#include "guard.h"
#include "hex.h"
#include "net/bytes.h"
#include "net/checksum.h"
#include "tap.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* Hex of what many rows share. The addresses are 10.0.0.1 and 10.0.0.2, fd00::1 and fd00::2. */
#define IP4 "0a000001 0a000002"
#define IP6 "fd000000000000000000000000000001 fd000000000000000000000000000002"
#define UDP "03e8 0035 000d 1234 68656c6c6f"
#define TCP "9c40 0050 000003e8 000007d0 5010 ffff 0000 0000"

static void test_sums(void)
{
	static const uint8_t rfc[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 }; /* RFC 1071 §3 */
	static uint8_t data[65536];
	size_t wrong = 0;

	tap_int(packet_sum_fold(packet_sum_add(0, rfc, sizeof(rfc))), 0x220d, "RFC 1071's example");
	tap_int(packet_sum_fold(packet_sum_add(0, rfc, 0)), 0xffff, "the sum of nothing");
	tap_int(packet_sum_add(0, "\x12", 1), 0x1200, "the sum of one byte");
	tap_int(packet_sum_fold(packet_sum_add(packet_sum_add(0, rfc, 2), rfc + 2, 6)), 0x220d, "in two parts");
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 167 + (i >> 5));
	for (size_t start = 0; start < 9; start++)
		for (size_t len = 0; len < 200; len++)
			wrong += packet_sum_fold(packet_sum_add(0, guard_copy(data + start, len), len)) !=
				 plain_checksum(0, data + start, len);
	tap_int(wrong, 0, "any start, any length");
	tap_int(packet_sum_fold(packet_sum_add(0, data, 65535)), plain_checksum(0, data, 65535), "a long one");
	memset(data, 0xff, sizeof(data));
	tap_int(packet_sum_fold(packet_sum_add(0, data, 65535)), plain_checksum(0, data, 65535), "carries all the way");
	tap_int(packet_sum_fold(UINT64_MAX), 0, "the largest sum");
}

/* @field: offset of the checksum in the packet; @want: 0 for "the right one", else what stands there afterwards. */
static const struct {
	const char *name, *hex;
	size_t field;
	int want;
} sums[] = {
	{ "UDP, IPv4", "45000021 00000000 40110000" IP4 UDP, 26, 0 },
	{ "UDP, IPv4, odd payload in padding", "45000021 00000000 40110000" IP4 UDP "ffffff", 26, 0 },
	{ "UDP, IPv4, sent without", "45000021 00000000 40110000" IP4 "03e8 0035 000d 0000 68656c6c6f", 26, 0x10000 },
	/* The words add up to ffff: the sum would be 0, which says "none". */
	{ "UDP, IPv4, sum of 0", "4500001e 00000000 40110000" IP4 "03e8 0035 000a 1234 e7ba", 26, 0xffff },
	{ "UDP, IPv6, sum of 0", "60000000 000a 11 40" IP6 "03e8 0035 000a 1234 01b9", 46, 0xffff },
	{ "UDP, IPv6, 0 in the field", "60000000 000d 11 40" IP6 "03e8 0035 000d 0000 68656c6c6f", 46, 0 },
	{ "UDP, IPv6, extension headers", "60000000 0015 3c 40" IP6 "1100 010400000000" UDP, 54, 0 },
	{ "TCP, IPv4", "4500002b 00000000 40060000" IP4 TCP "616263", 36, 0 },
	{ "TCP, IPv6", "60000000 0017 06 40" IP6 TCP "616263", 56, 0 },
	{ "TCP, IPv4, sum of 0", "4500002a 00000000 40060000" IP4 TCP "f387", 36, 0x10000 },
	{ "ICMP", "4500001f 00000000 40010000" IP4 "08001234 00010002 616263", 22, 0 },
	{ "ICMPv6", "60000000 000b 3a 40" IP6 "80001234 00010002 616263", 42, 0 },
	{ "first fragment", "4500001c 00002000 40110000" IP4 "03e8 0035 0100 1234", 26, 0x1234 },
	{ "later fragment", "4500001c 00000010 40110000" IP4 "03e8 0035 0100 1234", 26, 0x1234 },
};

static void test_complete(size_t row)
{
	uint8_t bytes[256], was[256];
	size_t len = hex_bytes(sums[row].hex, bytes, sizeof(bytes)), changed = 0;
	struct packet p;

	memcpy(was, bytes, len);
	packet_parse(bytes, len, &p);
	packet_complete_sum(bytes, &p);
	if (sums[row].want) {
		tap_int(get16(bytes + sums[row].field), sums[row].want & 0xffff, "checksum: %s", sums[row].name);
	} else {
		if (bytes[0] >> 4 == 4)
			put16(bytes + 10, plain_checksum(0, bytes, 20));
		tap_int(verify(bytes, &p), 0, "checksum: %s", sums[row].name);
		if (bytes[0] >> 4 == 4)
			memcpy(bytes + 10, was + 10, 2);
	}
	for (size_t i = 0; i < len; i++)
		changed += bytes[i] != was[i] && (i < sums[row].field || i > sums[row].field + 1);
	tap_int(changed, 0, "checksum: %s: nothing else changes", sums[row].name);
}

static struct endpoint endpoint(const char *ip, uint16_t port)
{
	struct endpoint e = { .port = port };

	if (!ip_parse(ip, &e.ip))
		abort();
	return e;
}

static const struct {
	const char *name, *src, *dst;
	size_t payload, want;
	struct packet_marks marks;
} datagrams[] = {
	{ "IPv4", "10.0.0.1", "10.0.0.2", 5, 33, { .ttl = 0, .tos = 0 } },
	{ "IPv4, empty", "10.0.0.1", "10.0.0.2", 0, 28, { .ttl = 1, .tos = 0xff } },
	{ "IPv4, largest", "10.0.0.1", "10.0.0.2", 65507, 65535, { .ttl = 255, .tos = 3 } },
	{ "IPv4, too long", "10.0.0.1", "10.0.0.2", 65508, 0, { .ttl = 0, .tos = 0 } },
	{ "IPv4, far too long", "10.0.0.1", "10.0.0.2", SIZE_MAX - 20, 0, { .ttl = 0, .tos = 0 } },
	{ "IPv6", "fd00::1", "fd00::2", 5, 53, { .ttl = 0, .tos = 0 } },
	{ "IPv6, empty", "fd00::1", "fd00::2", 0, 48, { .ttl = 1, .tos = 0xff } },
	{ "IPv6, largest", "fd00::1", "fd00::2", 65527, 65575, { .ttl = 255, .tos = 3 } },
	{ "IPv6, too long", "fd00::1", "fd00::2", 65528, 0, { .ttl = 0, .tos = 0 } },
	{ "IPv6, far too long", "fd00::1", "fd00::2", SIZE_MAX - 4, 0, { .ttl = 0, .tos = 0 } },
	{ "from IPv4 to IPv6", "10.0.0.1", "fd00::2", 5, 0, { .ttl = 0, .tos = 0 } },
	{ "from IPv6 to IPv4", "fd00::1", "10.0.0.2", 5, 0, { .ttl = 0, .tos = 0 } },
};

static void test_build_udp(size_t row)
{
	static uint8_t data[65536], out[PACKET_MAX];
	struct endpoint src = endpoint(datagrams[row].src, 40000), dst = endpoint(datagrams[row].dst, 65535);
	const char *name = datagrams[row].name;
	size_t n = datagrams[row].payload, len;
	struct packet_sum sum;
	struct packet p;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 31 + 7);
	for (int complete = 0; complete < 2; complete++) {
		memset(out, 0xaa, sizeof(out));
		len =
		    packet_build_udp(out, &src, &dst, datagrams[row].marks, n ? data : NULL, n, complete ? NULL : &sum);
		tap_int(len, datagrams[row].want, "UDP %s: length", name);
		if (!len)
			continue;
		tap_int(packet_parse(guard_copy(out, len), len, &p), 0, "UDP %s: parses", name);
		tap_ok(endpoint_equal(&p.src, &src) && endpoint_equal(&p.dst, &dst), "UDP %s: addresses", name);
		tap_ok(p.ttl == (datagrams[row].marks.ttl ? datagrams[row].marks.ttl : 64) &&
			   p.tos == datagrams[row].marks.tos,
		       "UDP %s: marks", name);
		tap_ok(p.payload_len == n && memcmp(p.payload, data, n) == 0, "UDP %s: payload", name);
		tap_ok(p.fragment_id == 0 && (out[0] >> 4 == 6 || get16(out + 6) == 0x4000), "UDP %s: atomic", name);
		if (!complete) {
			/* What a receiver of the virtio header does: sum from start to the end, into the field. */
			tap_ok(p.transport == p.ip + sum.start && sum.offset == 6, "UDP %s: where the sum goes", name);
			put16(out + sum.start + sum.offset, plain_checksum(0, out + sum.start, len - sum.start));
			packet_parse(out, len, &p);
		}
		tap_int(verify(p.ip, &p), 0, "UDP %s: checksums", name);
	}
}

/* A payload for which the checksum comes out as 0 is found among all two-byte ones. */
static void test_udp_zero_sum(const char *src_ip, const char *dst_ip)
{
	struct endpoint src = endpoint(src_ip, 1), dst = endpoint(dst_ip, 2);
	uint8_t out[PACKET_MAX], data[2];
	int zeros = 0, ones = 0;

	for (uint32_t i = 0; i < 65536; i++) {
		put16(data, (uint16_t)i);
		packet_build_udp(out, &src, &dst, (struct packet_marks){ 0 }, data, 2, NULL);
		zeros += get16(out + (out[0] == 0x45 ? 26 : 46)) == 0;
		ones += get16(out + (out[0] == 0x45 ? 26 : 46)) == 0xffff;
	}
	tap_ok(zeros == 0 && ones >= 1, "UDP from %s: no checksum is 0", src_ip);
}

static void test_build_echo(const char *src_ip, const char *dst_ip, bool reply, size_t payload, size_t want)
{
	static uint8_t data[65536], out[PACKET_MAX];
	struct endpoint src = endpoint(src_ip, 0), dst = endpoint(dst_ip, 0);
	bool v4 = ip_is_v4(&src.ip);
	uint8_t type = v4 ? (reply ? 0 : 8) : (reply ? 129 : 128);
	struct packet p;
	size_t len;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)i;
	memset(out, 0xaa, sizeof(out));
	len = packet_build_echo(out, &src.ip, &dst.ip, (struct packet_marks){ .ttl = 3, .tos = 4 }, reply, 0xabcd, 0x1234, data,
				payload);
	tap_int(len, want, "echo from %s, %zu bytes: length", src_ip, payload);
	if (!len)
		return;
	tap_int(packet_parse(out, len, &p), 0, "echo from %s, %zu bytes: parses", src_ip, payload);
	tap_ok(p.icmp_type == type && p.icmp_code == 0 && p.echo_id == 0xabcd && p.echo_seq == 0x1234 && p.ttl == 3 &&
		   p.tos == 4 && ip_equal(&p.src.ip, &src.ip) && ip_equal(&p.dst.ip, &dst.ip),
	       "echo from %s: fields", src_ip);
	tap_ok(p.payload_len == payload && memcmp(p.payload, data, payload) == 0, "echo from %s: payload", src_ip);
	tap_int(verify(out, &p), 0, "echo from %s: checksums", src_ip);
}

/* RFC 9293 §3.10.7.1. @flags of 0: no answer. */
static const struct {
	const char *name, *hex;
	uint8_t flags;
	uint32_t seq, ack;
} resets[] = {
	{ "SYN", "45090028 00000000 40060000" IP4 "9c400050 000003e8 00000000 5002ffff 00000000", TCP_RST | TCP_ACK, 0,
	  1001 },
	{ "SYN with data", "4500002b 00000000 40060000" IP4 "9c400050 000003e8 00000000 5002ffff 00000000 616263",
	  TCP_RST | TCP_ACK, 0, 1004 },
	{ "last sequence number", "45000028 00000000 40060000" IP4 "9c400050 ffffffff 00000000 5002ffff 00000000",
	  TCP_RST | TCP_ACK, 0, 0 },
	{ "FIN", "45000028 00000000 40060000" IP4 "9c400050 000003e8 00000000 5001ffff 00000000", TCP_RST | TCP_ACK, 0,
	  1001 },
	{ "nothing but data", "4500002b 00000000 40060000" IP4 "9c400050 000003e8 00000000 5000ffff 00000000 616263",
	  TCP_RST | TCP_ACK, 0, 1003 },
	{ "ACK", "45000028 00000000 40060000" IP4 "9c400050 000003e8 000007d0 5010ffff 00000000", TCP_RST, 2000, 0 },
	{ "SYN and ACK", "45000028 00000000 40060000" IP4 "9c400050 000003e8 000007d0 5012ffff 00000000", TCP_RST, 2000,
	  0 },
	{ "RST", "45000028 00000000 40060000" IP4 "9c400050 000003e8 00000000 5004ffff 00000000", 0, 0, 0 },
	{ "RST and ACK", "45000028 00000000 40060000" IP4 "9c400050 000003e8 00000000 5014ffff 00000000", 0, 0, 0 },
	{ "UDP", "45000021 00000000 40110000" IP4 UDP, 0, 0, 0 },
	{ "later fragment", "45000028 00000010 40060000" IP4 "9c400050 000003e8 00000000 5002ffff 00000000", 0, 0, 0 },
	{ "half a header", "4500001c 00002000 40060000" IP4 "9c400050 000003e8", 0, 0, 0 },
	{ "SYN, IPv6", "60900000 0014 06 40" IP6 "9c400050 000003e8 00000000 5002ffff 00000000", TCP_RST | TCP_ACK, 0,
	  1001 },
	{ "ACK, IPv6", "60000000 0014 06 40" IP6 "9c400050 000003e8 000007d0 5010ffff 00000000", TCP_RST, 2000, 0 },
};

static void test_reset(size_t row)
{
	uint8_t bytes[256], out[PACKET_MAX];
	size_t n = hex_bytes(resets[row].hex, bytes, sizeof(bytes)), len;
	struct packet syn, p;

	packet_parse(bytes, n, &syn);
	memset(out, 0xaa, sizeof(out));
	len = packet_build_reset(out, &syn);
	tap_int(len, !resets[row].flags ? 0 : bytes[0] >> 4 == 4 ? 40 : 60, "reset of %s: length", resets[row].name);
	if (!len)
		return;
	tap_int(packet_parse(out, len, &p), 0, "reset of %s: parses", resets[row].name);
	tap_ok(endpoint_equal(&p.src, &syn.dst) && endpoint_equal(&p.dst, &syn.src) && p.ttl == 64, "reset of %s: ends",
	       resets[row].name);
	tap_int(p.tcp_flags, resets[row].flags, "reset of %s: flags", resets[row].name);
	tap_int(p.tcp_seq, resets[row].seq, "reset of %s: sequence", resets[row].name);
	tap_int(p.tcp_ack, resets[row].ack, "reset of %s: acknowledgement", resets[row].name);
	tap_int(p.tos, syn.tos & 0xfc, "reset of %s: tos without ECN", resets[row].name);
	tap_int(verify(out, &p), 0, "reset of %s: checksums", resets[row].name);
}

/* @quoted: how many bytes of the original come back; 0 when there is no answer. */
static const struct {
	const char *name, *hex;
	size_t payload; /* zero bytes behind the hex; lengths in headers are set to fit */
	const char *offender, *inner_src, *inner_dst;
	size_t quoted;
} quotes[] = {
	{ "short, IPv4", "45000021 00000000 40110000" IP4 UDP, 0, "10.9.9.9", NULL, NULL, 33 },
	{ "as long as there is room, IPv4", "45000000 00000000 40110000" IP4 UDP, 515, "10.9.9.9", NULL, NULL, 548 },
	{ "long, IPv4", "45000000 00000000 40110000" IP4 UDP, 1400, "10.9.9.9", NULL, NULL, 548 },
	{ "short, IPv6", "60000000 000d 11 40" IP6 UDP, 0, "fd09::9", NULL, NULL, 53 },
	{ "as long as there is room, IPv6", "60000000 0000 11 40" IP6 UDP, 1179, "fd09::9", NULL, NULL, 1232 },
	{ "long, IPv6", "60000000 0000 11 40" IP6 UDP, 1400, "fd09::9", NULL, NULL, 1232 },
	{ "other source", "45000021 00000000 40110000" IP4 UDP, 0, "10.9.9.9", "127.0.0.1", NULL, 33 },
	{ "other destination", "45000021 00000000 40110000" IP4 UDP, 0, "10.9.9.9", NULL, "127.0.0.7", 33 },
	{ "both, with options", "47000029 00070000 07110000" IP4 "94040000 01010101" UDP, 0, "10.9.9.9", "127.0.0.1",
	  "127.0.0.7", 41 },
	{ "both, IPv6", "60000000 000d 11 40" IP6 UDP, 0, "fd09::9", "::1", "::2", 53 },
	{ "TCP", "45000028 00000000 40060000" IP4 TCP, 0, "10.9.9.9", NULL, NULL, 40 },
	{ "echo request", "4500001c 00000000 40010000" IP4 "08000000 00010002", 0, "10.9.9.9", NULL, NULL, 28 },
	{ "echo request, IPv6", "60000000 0008 3a 40" IP6 "80000000 00010002", 0, "fd09::9", NULL, NULL, 48 },
	{ "first fragment", "4500001c 00002000 40110000" IP4 "03e8 0035 0100 0000", 0, "10.9.9.9", NULL, NULL, 28 },
	{ "later fragment", "4500001c 00000010 40110000" IP4 "03e8 0035 0100 0000", 0, "10.9.9.9", NULL, NULL, 0 },
	{ "unreachable", "4500001c 00000000 40010000" IP4 "03010000 00010002", 0, "10.9.9.9", NULL, NULL, 0 },
	{ "source quench", "4500001c 00000000 40010000" IP4 "04000000 00010002", 0, "10.9.9.9", NULL, NULL, 0 },
	{ "redirect", "4500001c 00000000 40010000" IP4 "05000000 00010002", 0, "10.9.9.9", NULL, NULL, 0 },
	{ "time exceeded", "4500001c 00000000 40010000" IP4 "0b000000 00010002", 0, "10.9.9.9", NULL, NULL, 0 },
	{ "parameter problem", "4500001c 00000000 40010000" IP4 "0c000000 00010002", 0, "10.9.9.9", NULL, NULL, 0 },
	{ "unreachable, IPv6", "60000000 0008 3a 40" IP6 "01000000 00010002", 0, "fd09::9", NULL, NULL, 0 },
	{ "error of any kind, IPv6", "60000000 0008 3a 40" IP6 "7f000000 00010002", 0, "fd09::9", NULL, NULL, 0 },
	{ "offender of the other family", "45000021 00000000 40110000" IP4 UDP, 0, "fd09::9", NULL, NULL, 0 },
	{ "source of the other family", "45000021 00000000 40110000" IP4 UDP, 0, "10.9.9.9", "::1", NULL, 0 },
	{ "destination of the other family", "60000000 000d 11 40" IP6 UDP, 0, "fd09::9", NULL, "10.0.0.1", 0 },
};

static void check_quote(size_t row, const struct packet *error, const struct packet *original)
{
	bool v4 = ip_is_v4(&original->src.ip);
	size_t addresses = v4 ? 12 : 8, size = v4 ? 4 : 16, header = v4 ? (original->ip[0] & 15) * 4u : 40;
	struct endpoint src = original->src, dst = original->dst;
	uint8_t want[PACKET_MAX];
	unsigned int n;

	memcpy(want, original->ip, original->len);
	if (quotes[row].inner_src)
		src = endpoint(quotes[row].inner_src, 0);
	if (quotes[row].inner_dst)
		dst = endpoint(quotes[row].inner_dst, 0);
	memcpy(want + addresses, ip_bytes(&src.ip, &n), size);
	memcpy(want + addresses + size, ip_bytes(&dst.ip, &n), size);
	if (v4 && (quotes[row].inner_src || quotes[row].inner_dst)) {
		put16(want + 10, 0);
		put16(want + 10, plain_checksum(0, want, header));
	}
	tap_ok(error->payload_len == quotes[row].quoted && memcmp(error->payload, want, quotes[row].quoted) == 0,
	       "error about %s: quote", quotes[row].name);
}

static void test_icmp_error(size_t row)
{
	static uint8_t bytes[4096], out[PACKET_MAX];
	size_t n = hex_bytes(quotes[row].hex, bytes, sizeof(bytes)) + quotes[row].payload, len, ip;
	struct icmp_error e = {
		.offender = endpoint(quotes[row].offender, 0).ip, .type = 3, .code = 9, .info = 0x01020304
	};
	struct endpoint src = { 0 }, dst = { 0 };
	bool v4 = bytes[0] >> 4 == 4;
	struct packet original, error;

	ip = v4 ? (bytes[0] & 15) * 4u : 40;
	if (quotes[row].payload) {
		memset(bytes + n - quotes[row].payload, 0x5a, quotes[row].payload);
		put16(bytes + (v4 ? 2 : 4), (uint16_t)(v4 ? n : n - 40));
		put16(bytes + ip + 4, (uint16_t)(n - ip));
	}
	if (quotes[row].inner_src)
		src = endpoint(quotes[row].inner_src, 0);
	if (quotes[row].inner_dst)
		dst = endpoint(quotes[row].inner_dst, 0);
	tap_int(packet_parse(guard_copy(bytes, n), n, &original), 0, "error about %s: original", quotes[row].name);
	memset(out, 0xaa, sizeof(out));
	len = packet_build_icmp_error(out, &e, &original, quotes[row].inner_src ? &src.ip : NULL,
				      quotes[row].inner_dst ? &dst.ip : NULL);
	tap_int(len, quotes[row].quoted ? quotes[row].quoted + (v4 ? 28 : 48) : 0, "error about %s: length",
		quotes[row].name);
	if (!len)
		return;
	tap_int(packet_parse(out, len, &error), 0, "error about %s: parses", quotes[row].name);
	tap_ok(ip_equal(&error.src.ip, &e.offender) && ip_equal(&error.dst.ip, &original.src.ip) &&
		   error.icmp_type == 3 && error.icmp_code == 9 && get32(error.transport + 4) == 0x01020304,
	       "error about %s: fields", quotes[row].name);
	tap_int(verify(out, &error), 0, "error about %s: checksums", quotes[row].name);
	check_quote(row, &error, &original);
}

/* @want of 0: it is refused. The whole payload counts in the quoted lengths, also where it is cut off. */
static void test_icmp_error_udp(const char *name, const char *offender, const char *src_ip, const char *dst_ip,
				size_t payload, size_t want)
{
	static uint8_t data[65536], out[PACKET_MAX], udp[PACKET_MAX];
	struct endpoint src = endpoint(src_ip, 1000), dst = endpoint(dst_ip, 53);
	struct icmp_error e = { .offender = endpoint(offender, 0).ip, .type = 1, .code = 4 };
	struct ip outer = endpoint(ip_is_v4(&e.offender) ? "10.0.0.77" : "fd00::77", 0).ip;
	struct packet error;
	size_t len, quoted;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 3);
	len = packet_build_icmp_error_udp(out, &e, &outer, &src, &dst, data, payload);
	tap_int(len, want, "error about lost UDP, %s: length", name);
	if (!len)
		return;
	tap_int(packet_parse(guard_copy(out, len), len, &error), 0, "error about lost UDP, %s: parses", name);
	tap_ok(ip_equal(&error.src.ip, &e.offender) && ip_equal(&error.dst.ip, &outer) && error.icmp_type == 1 &&
		   error.icmp_code == 4,
	       "error about lost UDP, %s: fields", name);
	tap_int(verify(out, &error), 0, "error about lost UDP, %s: checksums", name);
	quoted = error.payload_len;
	packet_build_udp(udp, &src, &dst, (struct packet_marks){ 0 }, data, payload, NULL);
	put16(udp + (udp[0] == 0x45 ? 26 : 46), 0); /* the quote has no checksum, as from a sender that left it out */
	tap_ok(memcmp(error.payload, udp, quoted) == 0, "error about lost UDP, %s: quote", name);
}

/* From Linux' icmp_err_convert and tab_unreach; that sockets report them is tested in packet_kernel_test.c. */
/* SYNs with data; @header: what is left. */
static const struct {
	const char *name, *hex;
	size_t header;
} cuts[] = {
	{ "IPv4", "4500002b 00000000 40060000" IP4 TCP "616263", 40 },
	{ "IPv4, options", "4600002f 00000000 40060000" IP4 "01010101" TCP "616263", 44 },
	{ "IPv4, no data", "45000028 00000000 40060000" IP4 TCP, 40 },
	{ "IPv6", "60000000 0017 06 40" IP6 TCP "616263", 60 },
	{ "IPv6, extension header", "60000000 001f 3c 40" IP6 "0600 010400000000" TCP "616263", 68 },
};

static void test_cut_payload(size_t row)
{
	uint8_t bytes[128];
	size_t len = hex_bytes(cuts[row].hex, bytes, sizeof(bytes));
	struct packet p, q;

	packet_parse(bytes, len, &p);
	len = packet_cut_payload(bytes, &p);
	tap_int(len, cuts[row].header, "cut %s: length", cuts[row].name);
	tap_int(packet_parse(guard_copy(bytes, len), len, &q), 0, "cut %s: parses", cuts[row].name);
	tap_int(q.payload_len, 0, "cut %s: no payload", cuts[row].name);
	packet_parse(bytes, len, &q);
	packet_complete_sum(bytes, &q);
	tap_int(verify(bytes, &q), 0, "cut %s: checksums", cuts[row].name);
}

static const struct {
	int error;
	uint8_t type4, code4, type6, code6;
} errors[] = {
	{ ECONNREFUSED, 3, 3, 1, 4 }, { ENETUNREACH, 3, 6, 1, 0 }, { EADDRNOTAVAIL, 3, 6, 1, 0 }, { EHOSTUNREACH, 3, 10, 1, 3 },
	{ EACCES, 3, 13, 1, 1 },      { EPERM, 3, 13, 1, 1 },	   { EMSGSIZE, 3, 4, 2, 0 },
	{ EPROTO, 12, 0, 4, 0 },      { ENOPROTOOPT, 3, 2, 1, 3 }, { EHOSTDOWN, 3, 7, 1, 3 },
	{ ENONET, 3, 8, 1, 3 },	      { EOPNOTSUPP, 3, 5, 1, 3 },  { ETIMEDOUT, 3, 10, 1, 3 },
	{ 0, 3, 10, 1, 3 },	      { -1, 3, 10, 1, 3 },
};

static void test_errors(void)
{
	uint8_t type, code;

	for (size_t i = 0; i < COUNT(errors); i++) {
		packet_error_from_errno(errors[i].error, AF_INET, &type, &code);
		tap_ok(type == errors[i].type4 && code == errors[i].code4, "errno %d, IPv4", errors[i].error);
		packet_error_from_errno(errors[i].error, AF_INET6, &type, &code);
		tap_ok(type == errors[i].type6 && code == errors[i].code6, "errno %d, IPv6", errors[i].error);
	}
}

static void test_builders(void)
{
	for (size_t i = 0; i < COUNT(datagrams); i++)
		test_build_udp(i);
	test_udp_zero_sum("10.0.0.1", "10.0.0.2");
	test_udp_zero_sum("fd00::1", "fd00::2");
	test_build_echo("10.0.0.1", "10.0.0.2", false, 56, 84);
	test_build_echo("10.0.0.1", "10.0.0.2", true, 0, 28);
	test_build_echo("10.0.0.1", "10.0.0.2", true, 65507, 65535);
	test_build_echo("10.0.0.1", "10.0.0.2", true, 65508, 0);
	test_build_echo("fd00::1", "fd00::2", false, 57, 105);
	test_build_echo("fd00::1", "fd00::2", true, 65527, 65575);
	test_build_echo("fd00::1", "fd00::2", true, 65528, 0);
	test_build_echo("fd00::1", "10.0.0.2", true, 1, 0);
	test_build_echo("fd00::1", "fd00::2", true, SIZE_MAX, 0);
	for (size_t i = 0; i < COUNT(resets); i++)
		test_reset(i);
	for (size_t i = 0; i < COUNT(quotes); i++)
		test_icmp_error(i);
	test_icmp_error_udp("IPv4", "10.9.9.9", "10.0.0.1", "10.0.0.2", 5, 61);
	test_icmp_error_udp("IPv4, largest", "10.9.9.9", "10.0.0.1", "10.0.0.2", 65507, 576);
	test_icmp_error_udp("IPv4, too long", "10.9.9.9", "10.0.0.1", "10.0.0.2", 65508, 0);
	test_icmp_error_udp("IPv6", "fd09::9", "fd00::1", "fd00::2", 0, 96);
	test_icmp_error_udp("IPv6, largest", "fd09::9", "fd00::1", "fd00::2", 65527, 1280);
	test_icmp_error_udp("IPv6, far too long", "fd09::9", "fd00::1", "fd00::2", SIZE_MAX, 0);
	test_icmp_error_udp("offender of the other family", "10.9.9.9", "fd00::1", "fd00::2", 5, 0);
	test_icmp_error_udp("destination of the other family", "fd09::9", "fd00::1", "10.0.0.2", 5, 0);
}

int main(void)
{
	test_sums();
	for (size_t i = 0; i < COUNT(sums); i++)
		test_complete(i);
	for (size_t i = 0; i < COUNT(cuts); i++)
		test_cut_payload(i);
	test_builders();
	test_errors();
	return tap_done();
}
