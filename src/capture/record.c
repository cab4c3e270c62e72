// SPDX-License-Identifier: MIT
/* Records of a capture stream, big-endian. */
#include "capture/record.h"

#include "net/bytes.h"

enum { SUMMED = 128 };

size_t capture_request_encode(const struct capture_request *r, uint8_t *out)
{
	uint8_t *at = out + 4;

	for (size_t p = 0; p < 2; p++) {
		put16(out + 2 * p, (uint16_t)r->n[p]);
		for (size_t i = 0; i < r->n[p]; i++, at += 2)
			put16(at, r->ports[p][i]);
	}
	return (size_t)(at - out);
}

int capture_request_decode(const uint8_t *data, size_t len, struct capture_request *ret)
{
	const uint8_t *at = data + 4;
	size_t n[2];

	if (len < 4)
		return 0;
	n[0] = get16(data);
	n[1] = get16(data + 2);
	if (n[0] + n[1] > CAPTURE_REQUEST_PORTS)
		return -1;
	if (len < 4 + 2 * (n[0] + n[1]))
		return 0;
	for (int p = 0; p < 2; p++) {
		ret->n[p] = n[p];
		for (size_t i = 0; i < n[p]; i++, at += 2)
			ret->ports[p][i] = get16(at);
	}
	return (int)(at - data);
}

void record_encode_header(const struct record *r, uint8_t out[RECORD_HEADER])
{
	put32(out, (uint32_t)r->len);
	out[4] = r->kind;
	out[5] = (uint8_t)(r->type | (r->summed ? SUMMED : 0));
	put16(out + 6, r->hatype);
	put32(out + 8, r->link);
	put32(out + 12, r->wire_len);
	put32(out + 16, (uint32_t)(r->time >> 32));
	put32(out + 20, (uint32_t)r->time);
}

long record_decode(const uint8_t *data, size_t len, struct record *ret)
{
	uint32_t behind;

	if (len < RECORD_HEADER)
		return 0;
	behind = get32(data);
	if (behind > RECORD_DATA_MAX)
		return -1;
	if (len < RECORD_HEADER + (size_t)behind)
		return 0;
	*ret = (struct record){ .kind = data[4], .type = data[5] & (SUMMED - 1), .summed = data[5] & SUMMED, .hatype = get16(data + 6),
				.link = get32(data + 8), .wire_len = get32(data + 12),
				.time = (uint64_t)get32(data + 16) << 32 | get32(data + 20), .data = data + RECORD_HEADER, .len = behind };
	return (long)(RECORD_HEADER + behind);
}
