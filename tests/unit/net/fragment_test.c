// SPDX-License-Identifier: MIT
#include "net/fragment.h"

#include <netinet/in.h>
#include <stdlib.h>

#include "guard.h"
#include "hex.h"
#include "net/bytes.h"
#include "tap.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

enum { PIECES_MAX = 2048 };

static uint8_t pattern(size_t at)
{
	return (uint8_t)(at * 7 + at / 251);
}

/* One hand-made fragment of a UDP datagram; @salt changes its data. Returns its length. */
static size_t make_fragment(uint8_t *out, bool v4, uint32_t id, size_t offset, size_t len, bool more, uint8_t salt)
{
	static const uint8_t ip4[20] = { 0x45, [8] = 64, IPPROTO_UDP, [12] = 10, 0, 0, 1, 10, 0, 0, 2 };
	static const uint8_t ip6[48] = {
		0x60, [6] = IPPROTO_FRAGMENT, 64, [8] = 0xfd, [23] = 1, 0xfd, [39] = 2, [40] = IPPROTO_UDP
	};
	size_t header = v4 ? sizeof(ip4) : sizeof(ip6);

	memcpy(out, v4 ? ip4 : ip6, header);
	if (v4) {
		put16(out + 2, (uint16_t)(header + len));
		put16(out + 4, (uint16_t)id);
		put16(out + 6, (uint16_t)(offset / 8 | (more ? 0x2000 : 0)));
	} else {
		put16(out + 4, (uint16_t)(8 + len));
		put16(out + 42, (uint16_t)(offset | more));
		put32(out + 44, id);
	}
	for (size_t i = 0; i < len; i++)
		out[header + i] = (uint8_t)(pattern(offset + i) + salt);
	return header + len;
}

static size_t add(struct fragments *f, const uint8_t *bytes, size_t len, uint64_t now, const uint8_t **ret)
{
	struct packet p;

	if (packet_parse(guard_copy(bytes, len), len, &p) < 0) {
		tap_ok(0, "a fragment that doesn't parse");
		return 0;
	}
	return fragments_add(f, &p, now, ret);
}

/* The pieces of one datagram, in the order of arrival: offset, length, '>' when more follow, '.' when it is the last;
 * 'x' has other data than belongs there. @whole: how long the data is once it is complete; 0 when it never is. */
static const struct {
	const char *name, *pieces;
	size_t whole;
} arrivals[] = {
	{ "in order", "0+16> 16+8> 24+5.", 29 },
	{ "reversed", "24+5. 16+8> 0+16>", 29 },
	{ "middle last", "0+16> 24+5. 16+8>", 29 },
	{ "first one shorter than its UDP header's datagram", "8+8. 0+8>", 16 },
	{ "one twice", "0+16> 0+16> 16+8.", 24 },
	{ "the last twice", "16+7. 16+7. 0+16>", 23 },
	{ "a part of one again", "0+16> 8+8> 16+8.", 24 },
	{ "none is last", "0+16> 16+8>", 0 },
	{ "none is first", "8+16> 24+8.", 0 },
	{ "a hole", "0+8> 16+8.", 0 },
	{ "same place, other data", "0+16> 0+16>x 16+8.", 0 },
	{ "overlap by one unit", "0+16> 8+16> 24+8.", 0 },
	{ "overlap around one", "8+8> 0+24> 24+8.", 0 },
	{ "overlap, then all again", "0+16> 8+16> 0+16> 16+8.", 0 },
	{ "two ends, the second nearer", "0+8> 16+8. 8+8.", 0 },
	{ "two ends, the second further", "0+8> 16+8. 16+16. 8+8>", 0 },
	{ "data behind the end", "0+8> 8+8. 16+8>", 16 },
	{ "data behind the end, before it is whole", "16+8. 24+8> 0+16>", 0 },
	{ "an end before what is there", "24+8> 8+8. 0+8>", 0 },
	{ "an end where data is, then another", "8+8> 8+8. 16+8. 0+8>", 0 },
	{ "an end right where data is", "8+8> 8+8. 0+8>", 0 },
	{ "last unit in part, then whole", "8+3. 8+8> 0+8>", 0 },
	{ "up to the last byte", "32000+33000. 0+16000> 16000+16000>", 65000 },
	{ "the IP header makes it too long", "0+32000> 32000+33535.", 0 },
};

struct piece {
	size_t offset, len;
	bool more;
	uint8_t salt;
};

/* Takes one piece off *spec; false at its end. */
static bool read_piece(const char **spec, struct piece *ret)
{
	char end;
	int used;

	if (sscanf(*spec, "%zu+%zu%c%n", &ret->offset, &ret->len, &end, &used) != 3)
		return false;
	*spec += used;
	ret->more = end == '>';
	ret->salt = **spec == 'x';
	*spec += ret->salt;
	return true;
}

static void test_arrival(size_t row, bool v4)
{
	static uint8_t bytes[PACKET_MAX];
	struct fragments *f = fragments_new(4);
	const uint8_t *whole = NULL;
	size_t len = 0, want = arrivals[row].whole, header = v4 ? 20 : 40, n;
	struct piece piece;
	bool same = true;

	/* IPv6 counts its header apart, so that 65535 bytes of data fit: not too long there. */
	if (!want && !v4 && strstr(arrivals[row].name, "IP header"))
		want = 65535;
	for (const char *spec = arrivals[row].pieces; read_piece(&spec, &piece) && !len;) {
		n = make_fragment(bytes, v4, 77, piece.offset, piece.len, piece.more, piece.salt);
		len = add(f, bytes, n, 5, &whole);
	}
	tap_int(len, want ? header + want : 0, "%s, IPv%d: length", arrivals[row].name, v4 ? 4 : 6);
	if (len && want) {
		for (size_t i = 0; i < want; i++)
			same &= whole[header + i] == pattern(i);
		tap_ok(same, "%s: data", arrivals[row].name);
		tap_int(whole[v4 ? 9 : 6], IPPROTO_UDP, "%s: protocol", arrivals[row].name);
		tap_int(get16(whole + (v4 ? 2 : 4)), v4 ? len : len - 40, "%s: length field", arrivals[row].name);
		tap_int(v4 ? get16(whole + 6) : 0, 0, "%s: no fragment", arrivals[row].name);
		tap_int(v4 ? packet_sum_fold(packet_sum_add(0, whole, 20)) : 0, 0, "%s: header checksum",
			arrivals[row].name);
	}
	fragments_free(f);
}

/* Two datagrams that differ in one thing, their pieces interleaved: no piece may get into the other. */
static void test_keys(void)
{
	static const struct {
		const char *name;
		bool v4;
		size_t at; /* the byte that is changed */
		bool same; /* and still the same datagram's */
	} rows[] = {
		{ "IPv4 identification", true, 5, false },
		{ "IPv4 protocol", true, 9, false },
		{ "IPv4 source", true, 15, false },
		{ "IPv4 destination", true, 19, false },
		{ "IPv4 tos", true, 1, true },
		{ "IPv6 identification", false, 44, false },
		{ "IPv6 source", false, 8, false },
		{ "IPv6 destination", false, 39, false },
		{ "IPv6 flow label", false, 3, true },
		{ "IPv6 hop limit", false, 7, true },
		{ "IPv6 later next header", false, 40, true },
	};
	uint8_t first[100], second[100];

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fragments *f = fragments_new(4);
		size_t n = make_fragment(first, rows[i].v4, 1, 0, 16, true, 0), m;
		const uint8_t *whole;

		m = make_fragment(second, rows[i].v4, 1, 16, 8, false, 0);
		second[rows[i].at] = rows[i].at == 9 || rows[i].at == 40 ? IPPROTO_TCP : second[rows[i].at] ^ 1;
		add(f, first, n, 0, &whole);
		tap_int(add(f, second, m, 0, &whole) != 0, rows[i].same, "another %s", rows[i].name);
		if (rows[i].same)
			tap_int(whole[rows[i].v4 ? 9 : 6], IPPROTO_UDP, "another %s: first one's headers count",
				rows[i].name);
		fragments_free(f);
	}
}

static void test_time_and_room(void)
{
	uint8_t first[100], last[100];
	size_t n = make_fragment(first, true, 1, 0, 16, true, 0), m = make_fragment(last, true, 1, 16, 8, false, 0);
	struct fragments *f = fragments_new(3);
	const uint8_t *whole;

	add(f, first, n, 1000, &whole);
	tap_int(add(f, last, m, 1000 + FRAGMENT_TIMEOUT_MS - 1, &whole), 44, "in time");
	add(f, first, n, 1000, &whole);
	tap_int(add(f, last, m, 1000 + FRAGMENT_TIMEOUT_MS, &whole), 0, "too late");
	tap_int(add(f, first, n, 1000 + FRAGMENT_TIMEOUT_MS, &whole), 44, "the late one starts anew");
	for (uint32_t id = 1; id <= 4; id++)
		add(f, first, make_fragment(first, true, id, 0, 16, true, 0), 5000, &whole);
	for (uint32_t id = 4; id >= 1; id--) {
		m = make_fragment(last, true, id, 16, 8, false, 0);
		tap_int(add(f, last, m, 5000, &whole), id == 1 ? 0 : 44, "of 4 in room for 3: number %u", id);
	}
	fragments_free(f);
	fragments_free(NULL);
}

struct pieces {
	size_t n, len[PIECES_MAX], mtu;
	uint8_t *bytes[PIECES_MAX];
	bool too_long;
};

static void keep_piece(void *arg, const uint8_t *piece, size_t len)
{
	struct pieces *all = arg;

	all->too_long |= len > all->mtu;
	if (all->n == PIECES_MAX)
		abort();
	all->bytes[all->n] = malloc(len);
	memcpy(all->bytes[all->n], piece, len);
	all->len[all->n++] = len;
}

/* The n-th piece to arrive, in one of three orders. */
static size_t nth(size_t i, size_t n, int order)
{
	if (order == 0)
		return i;
	if (order == 1)
		return n - 1 - i;
	return i < (n + 1) / 2 ? 2 * i : 2 * (i - (n + 1) / 2) + 1;
}

/* Cuts @packet at @mtu and puts it together again; the length of what comes out, 0 for nothing, with *ret a copy. */
static size_t cut_and_join(const uint8_t *packet, size_t len, size_t mtu, int order, size_t *ret_pieces, uint8_t *ret)
{
	static struct pieces all;
	struct fragments *f = fragments_new(1);
	const uint8_t *whole = NULL;
	size_t out = 0;

	all = (struct pieces){ .mtu = mtu };
	*ret_pieces = fragment_cut(guard_copy(packet, len), len, mtu, 0xabcd1234, keep_piece, &all);
	if (*ret_pieces != all.n || all.too_long)
		tap_ok(0, "%zu pieces said, %zu given, too long: %d", *ret_pieces, all.n, all.too_long);
	for (size_t i = 0; i < all.n; i++) {
		size_t k = nth(i, all.n, order);

		if (out)
			tap_ok(0, "whole before the last piece");
		out = add(f, all.bytes[k], all.len[k], 0, &whole);
	}
	if (out)
		memcpy(ret, whole, out);
	for (size_t i = 0; i < all.n; i++)
		free(all.bytes[i]);
	fragments_free(f);
	return out;
}

/* Of a UDP datagram whose checksum was left out: comes back complete, else byte for byte. */
static void test_round_trip(size_t payload, size_t mtu, bool v4, int order)
{
	static uint8_t data[65536], packet[PACKET_MAX], want[PACKET_MAX], got[PACKET_MAX];
	struct endpoint src = { .port = 1000 }, dst = { .port = 53 };
	struct packet_sum sum;
	size_t len, n, pieces, room = (mtu - (v4 ? 20 : 48)) / 8 * 8;

	ip_parse(v4 ? "10.0.0.1" : "fd00::1", &src.ip);
	ip_parse(v4 ? "10.0.0.2" : "fd00::2", &dst.ip);
	for (size_t i = 0; i < payload; i++)
		data[i] = pattern(i);
	len = packet_build_udp(packet, &src, &dst, (struct packet_marks){ .ttl = 33, .tos = 8 }, data, payload, &sum);
	packet_build_udp(want, &src, &dst, (struct packet_marks){ .ttl = 33, .tos = 8 }, data, payload, NULL);
	if (v4) {
		put16(want + 4, 0x1234);
		put16(want + 6, 0);
		put16(want + 10, 0);
		put16(want + 10, packet_sum_fold(packet_sum_add(0, want, 20)));
	}
	n = cut_and_join(packet, len, mtu, order, &pieces, got);
	tap_ok(n == len && memcmp(got, want, n) == 0 && pieces == (8 + payload + room - 1) / room,
	       "IPv%d, %zu bytes at mtu %zu, order %d", v4 ? 4 : 6, payload, mtu, order);
}

static void test_round_trips(void)
{
	static const size_t sizes[] = { 1500, 1473, 3000, 65000, 65507 }, mtus[] = { 68, 576, 1280, 1499, 1500 };

	for (size_t i = 0; i < COUNT(sizes); i++)
		for (size_t k = 0; k < COUNT(mtus); k++)
			for (int order = 0; order < 3; order++) {
				test_round_trip(sizes[i], mtus[k], true, order);
				if (mtus[k] >= 576)
					test_round_trip(sizes[i], mtus[k], false, order);
			}
	test_round_trip(65527, 1280, false, 2);
	test_round_trip(65507, 65534, true, 0);
}

/* Packets as hex, cut into pieces of 56 or 80 bytes: with extension headers that every piece repeats, and that only the
 * first has.
 * @pieces of 0: can't be cut. */
static const struct {
	const char *name, *packet;
	size_t mtu, pieces;
} cuts[] = {
#define IP6   "fd000000000000000000000000000001 fd000000000000000000000000000002"
#define UDP32 "03e8 0035 0020 0000 000102030405060708090a0b0c0d0e0f1011121314151617"
#define IP4   "0a000001 0a000002"
	{ "IPv4", "45000034 00000000 40110000" IP4 UDP32, 36, 2 },
	{ "IPv4, fits", "45000034 00000000 40110000" IP4 UDP32, 52, 0 },
	{ "IPv4, fits but for what is behind it", "45000034 00000000 40110000" IP4 UDP32 "0000", 52, 0 },
	{ "IPv4, 8 bytes a piece", "45000034 00000000 40110000" IP4 UDP32, 28, 4 },
	{ "IPv4, no room for 8 bytes", "45000034 00000000 40110000" IP4 UDP32, 27, 0 },
	{ "IPv4 with options", "46000038 00000000 40110000" IP4 "94040000" UDP32, 40, 2 },
	{ "IPv4 that may not be fragmented", "45000034 00004000 40110000" IP4 UDP32, 36, 2 },
	{ "IPv4 fragment", "45000034 00002000 40110000" IP4 UDP32, 36, 0 },
	{ "IPv4 TCP, checksum in the third piece",
	  "45000030 00000000 40060000" IP4 "03e80050 00000001 00000000 50020000 00000000 6162636465666768", 28, 4 },
	{ "not a packet", "55000034 00000000 40110000" IP4 UDP32, 36, 0 },
	{ "IPv6", "60000000 0020 11 40" IP6 UDP32, 64, 2 },
	{ "IPv6, no room for 8 bytes", "60000000 0020 11 40" IP6 UDP32, 55, 0 },
	{ "IPv6, 8 bytes a piece", "60000000 0020 11 40" IP6 UDP32, 56, 4 },
	{ "IPv6 with hop-by-hop options", "60000000 0028 00 40" IP6 "1100 050200000100" UDP32, 72, 2 },
	{ "IPv6 with destination options, in the first", "60000000 0028 3c 40" IP6 "1100 010400000000" UDP32, 64, 3 },
	{ "IPv6 with destination options that don't fit the first",
	  "60000000 0028 3c 40" IP6 "1100 010400000000" UDP32, 63, 0 },
	{ "IPv6 with routing header, repeated",
	  "60000000 0038 00 40" IP6 "3c00 010400000000 2b00 010400000000 1100 040000000000" UDP32, 80, 4 },
	{ "IPv6 atomic fragment", "60000000 0028 2c 40" IP6 "1100 0000 00000007" UDP32, 64, 0 },
	{ "IPv6 fragment", "60000000 0028 2c 40" IP6 "1100 0001 00000007" UDP32, 64, 0 },
};

static void test_cuts(void)
{
	uint8_t packet[200], want[200], got[PACKET_MAX];
	size_t len, n, pieces;
	struct packet p;

	for (size_t i = 0; i < COUNT(cuts); i++) {
		len = hex_bytes(cuts[i].packet, packet, sizeof(packet));
		n = cut_and_join(packet, len, cuts[i].mtu, 1, &pieces, got);
		tap_int(pieces, cuts[i].pieces, "cut: %s", cuts[i].name);
		if (!cuts[i].pieces || !pieces)
			continue;
		memcpy(want, packet, len);
		packet_parse(want, len, &p);
		packet_complete_sum(want, &p);
		if (packet[0] >> 4 == 4) {
			put16(want + 4, 0x1234);
			put16(want + 6, 0);
			put16(want + 10, packet_sum_fold(packet_sum_add(0, want, (packet[0] & 15) * 4u)));
		}
		tap_ok(n == len && memcmp(want, got, len) == 0, "cut and joined: %s", cuts[i].name);
	}
}

int main(void)
{
	for (size_t i = 0; i < COUNT(arrivals); i++) {
		test_arrival(i, true);
		test_arrival(i, false);
	}
	test_keys();
	test_time_and_room();
	test_round_trips();
	test_cuts();
	return tap_done();
}
