// SPDX-License-Identifier: MIT
#include "capture/intake.h"

#include <netinet/in.h>
#include <stdlib.h>

#include "guard.h"
#include "net/bytes.h"
#include "net/fragment.h"
#include "tap.h"

enum { WATCHED = 8080, OTHER = 40000 };

static struct {
	size_t n, payload;
	enum side from;
	uint8_t first;
} seen;

static bool is_watched(void *arg, uint8_t protocol, uint16_t port)
{
	return port == WATCHED;
}

static void on_packet(void *arg, const struct packet *p, enum side from)
{
	seen.n++;
	seen.payload = p->payload_len;
	seen.from = from;
	seen.first = p->payload_len ? p->payload[0] : 0;
}

static const struct intake_events events = { is_watched, on_packet };

/* A packet with its checksum right. */
static size_t make(uint8_t *out, bool v4, bool tcp, uint16_t source, uint16_t destination, size_t payload)
{
	struct endpoint a = { .port = source }, b = { .port = destination };
	static uint8_t bytes[70000];
	struct packet p;
	size_t len;

	memset(bytes, 'x', sizeof(bytes));
	ip_parse(v4 ? "10.0.0.1" : "fd00::1", &a.ip);
	ip_parse(v4 ? "10.0.0.2" : "fd00::2", &b.ip);
	len = packet_build_udp(out, &a, &b, (struct packet_marks){ 0 }, bytes, payload, NULL);
	if (!tcp)
		return len;
	/* TCP's header is 12 bytes longer, and those come out of the payload. */
	out[v4 ? 9 : 6] = IPPROTO_TCP;
	memset(out + (v4 ? 20 : 40) + 4, 0, 16);
	out[(v4 ? 20 : 40) + 12] = 5 << 4;
	out[(v4 ? 20 : 40) + 13] = TCP_ACK;
	if (packet_parse(out, len, &p) < 0)
		abort();
	packet_complete_sum(out, &p);
	return len;
}

static bool add(struct intake *in, const uint8_t *data, size_t len, enum passage passage, bool summed)
{
	const struct captured c = { .data = guard_copy(data, len), .len = len, .wire_len = len, .passage = passage, .summed = summed };

	seen.n = 0;
	intake_add(in, &c);
	return seen.n == 1;
}

static void test_sums(struct intake *in, bool v4, bool tcp)
{
	uint8_t bytes[PACKET_MAX];
	size_t len = make(bytes, v4, tcp, OTHER, WATCHED, 101), wrong = 0, header = v4 ? 20 : 40;
	uint64_t before = intake_unusable(in);
	const char *name = tcp ? "TCP" : "UDP";

	tap_ok(add(in, bytes, len, PASSAGE_IN, false), "%s over IPv%d, its checksum right", name, v4 ? 4 : 6);
	for (size_t i = header + 8; i < len; i++) {
		bytes[i] ^= 0x10;
		wrong += add(in, bytes, len, PASSAGE_IN, false);
		bytes[i] ^= 0x10;
	}
	tap_int(wrong, 0, "%s over IPv%d: no bit of it may be another", name, v4 ? 4 : 6);
	tap_int(intake_unusable(in) - before, len - header - 8, "and those are counted");
	bytes[len - 1] ^= 1;
	tap_ok(add(in, bytes, len, PASSAGE_IN, true), "a card has looked at it");
	tap_ok(add(in, bytes, len, PASSAGE_LO, false), "it never left the machine");
}

static void test_sides(struct intake *in)
{
	uint8_t bytes[PACKET_MAX];
	size_t len = make(bytes, true, true, OTHER, WATCHED, 50);

	tap_ok(add(in, bytes, len, PASSAGE_IN, true) && seen.from == SIDE_CLIENT, "what comes in is a client's");
	tap_ok(add(in, bytes, len, PASSAGE_LO, true) && seen.from == SIDE_CLIENT, "on lo: what goes to a watched port");
	tap_ok(!add(in, bytes, len, PASSAGE_OUT, true), "what leaves for such a port elsewhere is none of it");
	len = make(bytes, true, true, WATCHED, OTHER, 50);
	tap_ok(add(in, bytes, len, PASSAGE_OUT, true) && seen.from == SIDE_SERVER, "what leaves from it is the target's");
	tap_ok(add(in, bytes, len, PASSAGE_LO, true) && seen.from == SIDE_SERVER, "on lo, too");
	tap_ok(!add(in, bytes, len, PASSAGE_IN, true), "what comes in from such a port elsewhere is none of it");
	len = make(bytes, true, true, WATCHED, WATCHED, 50);
	tap_ok(add(in, bytes, len, PASSAGE_LO, true) && seen.from == SIDE_CLIENT, "on lo from such a port to such a port");
	len = make(bytes, true, true, OTHER, WATCHED, 500);
	tap_ok(add(in, bytes, 60, PASSAGE_IN, false) && seen.payload == 20, "a head can't be summed and is taken as it is");
}

struct pieces {
	struct intake *in;
	size_t n, given;
	uint8_t spoil; /* a bit of the last byte of each */
};

static void give_piece(void *arg, const uint8_t *piece, size_t len)
{
	struct pieces *p = arg;
	uint8_t copy[2000];

	memcpy(copy, piece, len);
	copy[len - 1] ^= p->spoil;
	p->n++;
	p->given += add(p->in, copy, len, PASSAGE_IN, false);
}

static void test_fragments(struct intake *in, bool v4)
{
	uint8_t bytes[PACKET_MAX];
	size_t len = make(bytes, v4, false, OTHER, WATCHED, 5000);
	struct pieces p = { .in = in };

	fragment_cut(bytes, len, 1400, 7, give_piece, &p);
	tap_ok(p.n == 4 && p.given == 1 && seen.payload == 5000, "IPv%d: four fragments are one datagram", v4 ? 4 : 6);
	p = (struct pieces){ .in = in, .spoil = 1 };
	fragment_cut(bytes, len, 1400, 8, give_piece, &p);
	tap_int(p.given, 0, "IPv%d: its checksum is looked at", v4 ? 4 : 6);
}

static void test_udp_without_sum(struct intake *in)
{
	uint8_t bytes[PACKET_MAX];
	size_t len = make(bytes, true, false, OTHER, WATCHED, 10);

	put16(bytes + 26, 0);
	tap_ok(add(in, bytes, len, PASSAGE_IN, false), "UDP over IPv4 needs none");
	len = make(bytes, false, false, OTHER, WATCHED, 10);
	put16(bytes + 46, 0);
	tap_ok(!add(in, bytes, len, PASSAGE_IN, false), "over IPv6 it does");
}

int main(void)
{
	struct intake *in = intake_new(&events, NULL);

	for (int i = 0; i < 4; i++)
		test_sums(in, i & 1, i & 2);
	test_sides(in);
	for (int v4 = 0; v4 < 2; v4++)
		test_fragments(in, v4);
	test_udp_without_sum(in);
	intake_free(in);
	return tap_done();
}
