// SPDX-License-Identifier: MIT
/* Segments of one connection, made by hand: offsets are counted from the first byte of each side, sequence numbers begin where the test
 * says. */
#pragma once

#include <netinet/in.h>
#include <stdint.h>

#include "net/packet.h"

enum { SEGMENT_BYTES = 1 << 16 };

/* What stands at an offset of a stream; @salt makes another stream. */
static inline uint8_t segment_byte(uint32_t at, uint8_t salt)
{
	return (uint8_t)(at * 7 + at / 251 + salt);
}

static inline struct endpoint segment_end(uint8_t host, uint16_t port)
{
	return (struct endpoint){ .ip = { { [10] = 0xff, 0xff, 10, 0, 0, host } }, .port = port };
}

struct segment_spec {
	uint8_t from, flags, salt; /* from: 0 client, 1 server */
	uint32_t offset, len, ack; /* offset: -1 is the SYN's; ack: an offset of the other side's */
};

/* The payload is valid until the next call. @first: sequence numbers of both sides' first bytes. */
static inline struct packet segment_packet(const struct segment_spec *s, const uint32_t first[2])
{
	static uint8_t bytes[SEGMENT_BYTES];
	struct endpoint ends[2] = { segment_end(1, 40000), segment_end(2, 80) };

	for (uint32_t i = 0; i < s->len; i++)
		bytes[i] = segment_byte(s->flags & TCP_SYN ? i : s->offset + i, (uint8_t)(s->salt + 100 * s->from));
	return (struct packet){
		.protocol = IPPROTO_TCP, .src = ends[s->from], .dst = ends[!s->from], .transport = bytes, .payload = bytes,
		.payload_len = s->len, .tcp_flags = s->flags, .tcp_seq = first[s->from] + s->offset, .tcp_ack = first[!s->from] + s->ack,
	};
}
