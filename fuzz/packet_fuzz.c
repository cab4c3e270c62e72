// SPDX-License-Identifier: MIT
/* One IP packet: what is parsed lies within it, and everything that answers it is a packet in turn, with its checksum
 * right. */
#include "net/packet.h"

#include <netinet/in.h>
#include <string.h>

#include "fuzz.h"
#include "net/bytes.h"

/* The sum as RFC 1071 defines it, word by word. */
static uint32_t plain_sum(uint32_t sum, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void check_bounds(const struct packet *p, size_t size)
{
	const uint8_t *end = p->ip + p->len;

	fuzz_check(p->len <= size);
	fuzz_check(p->payload > p->ip && p->payload <= end && p->payload_len <= (size_t)(end - p->payload));
	fuzz_check(ip_is_v4(&p->src.ip) == ip_is_v4(&p->dst.ip));
	fuzz_check(ip_is_v4(&p->src.ip) == (p->ip[0] >> 4 == 4));
	if (packet_is_fragment(p))
		fuzz_check(p->payload_len && p->fragment_offset + p->payload_len <= 65535);
	else
		fuzz_check(p->transport > p->ip && p->transport < p->payload && p->fragment_offset == 0);
	if (p->fragment_offset)
		fuzz_check(!p->transport && !p->src.port && !p->dst.port);
}

static void check_sum(const uint8_t *data, size_t len)
{
	struct packet p;
	uint32_t sum = 0;

	fuzz_check(packet_parse(data, len, &p) == 0);
	if (data[0] >> 4 == 4)
		fuzz_check(plain_sum(0, data, (data[0] & 15) * 4u) == 0xffff);
	if (p.protocol != IPPROTO_ICMP) {
		len = (size_t)(p.payload - p.transport) + p.payload_len;
		sum = (uint32_t)len + p.protocol;
		sum = data[0] >> 4 == 4 ? plain_sum(sum, data + 12, 8) : plain_sum(sum, data + 8, 32);
	} else {
		len = p.len - (size_t)(p.transport - data);
	}
	fuzz_check(plain_sum(sum, p.transport, len) == 0xffff);
}

/* Fills in the checksum of a copy. */
static void complete(const struct packet *p)
{
	static uint8_t copy[PACKET_MAX];
	bool unsummed;

	memcpy(copy, p->ip, p->len);
	unsummed = p->protocol == IPPROTO_UDP && ip_is_v4(&p->src.ip) && p->transport && get16(p->transport + 6) == 0;
	packet_complete_sum(copy, p);
	if (packet_is_fragment(p) || unsummed) {
		fuzz_check(memcmp(copy, p->ip, p->len) == 0);
		return;
	}
	if (p->ip[0] >> 4 == 4) {
		put16(copy + 10, 0);
		put16(copy + 10, packet_sum_fold(packet_sum_add(0, copy, (copy[0] & 15) * 4u)));
	}
	check_sum(copy, p->len);
}

static void reset(const struct packet *p)
{
	static uint8_t out[PACKET_MAX];
	size_t len = packet_build_reset(out, p);
	struct packet back;

	fuzz_check(!len == (p->protocol != IPPROTO_TCP || !p->transport || p->tcp_flags & TCP_RST));
	if (!len)
		return;
	check_sum(out, len);
	packet_parse(out, len, &back);
	fuzz_check(endpoint_equal(&back.src, &p->dst) && endpoint_equal(&back.dst, &p->src) &&
		   back.tcp_flags & TCP_RST);
}

static void refuse(const struct packet *p, bool replace)
{
	static uint8_t out[PACKET_MAX];
	bool v4 = ip_is_v4(&p->src.ip);
	struct icmp_error e = { .offender = p->dst.ip, .type = v4 ? 3 : 1, .code = 3 };
	struct ip inner = p->src.ip;
	size_t len, quote = v4 ? 28 : 48;

	inner.b[15] ^= 1;
	len = packet_build_icmp_error(out, &e, p, replace ? &inner : NULL, replace ? &inner : NULL);
	fuzz_check(len || p->fragment_offset || p->protocol == IPPROTO_ICMP || p->protocol == IPPROTO_ICMPV6);
	if (!len)
		return;
	fuzz_check(len <= (v4 ? 576 : 1280));
	check_sum(out, len);
	if (replace)
		fuzz_check(memcmp(out + quote + (v4 ? 12 : 8), inner.b + (v4 ? 12 : 0), v4 ? 4 : 16) == 0);
	else
		fuzz_check(memcmp(out + quote, p->ip, len - quote) == 0);
}

static void rebuild_udp(const struct packet *p)
{
	static uint8_t out[PACKET_MAX];
	struct packet_sum sum;
	struct packet back;
	size_t len;

	for (int complete = 0; complete < 2; complete++) {
		len = packet_build_udp(out, &p->src, &p->dst, (struct packet_marks){ .ttl = p->ttl, .tos = p->tos }, p->payload,
				       p->payload_len, complete ? NULL : &sum);
		fuzz_check(len && packet_parse(out, len, &back) == 0);
		fuzz_check(endpoint_equal(&back.src, &p->src) && endpoint_equal(&back.dst, &p->dst));
		fuzz_check(back.tos == p->tos && back.ttl == (p->ttl ? p->ttl : 64) &&
			   back.payload_len == p->payload_len);
		fuzz_check(memcmp(back.payload, p->payload, p->payload_len) == 0);
		if (!complete)
			packet_complete_sum(out, &back);
		check_sum(out, len);
	}
}

/* The end may be missing. */
static void check_head(const uint8_t *data, size_t size, size_t wire_len)
{
	struct packet p;

	if (packet_parse_head(data, size, wire_len, &p) < 0)
		return;
	fuzz_check(p.payload > data && p.payload <= data + size && p.payload_len <= (size_t)(data + size - p.payload));
	fuzz_check(p.len - p.missing <= size && (!p.missing || p.len - p.missing == size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct packet p, again;

	check_head(data, size, size);
	check_head(data, size, size + 66000);
	if (packet_parse(data, size, &p) < 0)
		return 0;
	check_bounds(&p, size);
	fuzz_check(packet_parse(data, p.len, &again) == 0);
	fuzz_check(again.len == p.len && again.payload == p.payload && again.payload_len == p.payload_len);
	fuzz_check(packet_parse(data, p.len - 1, &again) < 0);
	complete(&p);
	reset(&p);
	refuse(&p, false);
	refuse(&p, true);
	if (p.protocol == IPPROTO_UDP && !packet_is_fragment(&p))
		rebuild_udp(&p);
	return 0;
}
