// SPDX-License-Identifier: MIT
/* What a capture stream of the tunnel carries (docs/protocol.md): a request from the session, records from the agent. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { CAPTURE_REQUEST_PORTS = 400, CAPTURE_REQUEST_MAX = 4 + 2 * CAPTURE_REQUEST_PORTS, RECORD_HEADER = 24, RECORD_DATA_MAX = 0x40000 };

/* Ports by enum capture_protocol; none at all: those that the target listens on. */
struct capture_request {
	uint16_t ports[2][CAPTURE_REQUEST_PORTS];
	size_t n[2];
};

/* Returns the length written to @out, which has room for CAPTURE_REQUEST_MAX. */
size_t capture_request_encode(const struct capture_request *r, uint8_t *out);
/* Returns the bytes that it took, 0 for more, -1 when it can't be. */
int capture_request_decode(const uint8_t *data, size_t len, struct capture_request *ret);

enum record_kind {
	RECORD_PORTS = 1, /* the first: what is captured, as a request */
	RECORD_PACKET,
	RECORD_LOST,  /* @wire_len more packets found no room */
	RECORD_ERROR, /* the last: why there is no capture, as text; behind a 0 byte the advice */
};

struct record {
	uint8_t kind;
	uint8_t type;	 /* of a packet: PACKET_HOST, PACKET_OUTGOING …, of linux/if_packet.h; at most 127 */
	bool summed;	 /* its checksum needs no look: it is right, or was left to a card */
	uint16_t hatype; /* ARPHRD_… of the interface */
	uint32_t link;	 /* its index */
	uint32_t wire_len; /* of the packet when it wasn't cut */
	uint64_t time;	 /* ns since 1970 */
	const uint8_t *data; /* the packet from the IP header on */
	size_t len;
};

/* Writes the RECORD_HEADER bytes that stand before the data. */
void record_encode_header(const struct record *r, uint8_t out[RECORD_HEADER]);
/* Returns the bytes of the whole record, whose @data points into @data; 0 for more, -1 when it can't be. */
long record_decode(const uint8_t *data, size_t len, struct record *ret);
