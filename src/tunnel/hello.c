// SPDX-License-Identifier: MIT
/* The codec of the hello. The magic has a byte above 127, a CR LF and a ^Z, so that a transport that isn't clean (a terminal) shows
 * at once. */
#include "tunnel/hello.h"

#include <assert.h>

#include "tunnel/writing.h"

static const uint8_t magic[HELLO_MAGIC] = { 0x89, 'm', 'r', 'd', 't', '\r', '\n', 0x1a };

ssize_t hello_decode(const uint8_t *data, size_t len, struct hello *ret)
{
	struct hello h = { 0 };
	uint16_t whole;

	if (len && memcmp(data, magic, len < sizeof(magic) ? len : sizeof(magic)) != 0)
		return HELLO_NOT_OURS;
	if (len < sizeof(magic) + 2)
		return 0;
	whole = get16(data + 8);
	if (whole < HELLO_LEN || whole > HELLO_MAX)
		return HELLO_BAD_LENGTH;
	if (len < whole)
		return 0;
	h.lowest = get16(data + 10);
	h.highest = get16(data + 12);
	if (!h.lowest || h.lowest > h.highest)
		return HELLO_BAD_VERSIONS;
	h.role = data[14];
	h.flags = get32(data + 16);
	h.streams = get32(data + 20);
	h.tail = get32(data + 24);
	memcpy(h.token, data + 32, sizeof(h.token));
	h.position = get64(data + 48);
	*ret = h;
	return whole;
}

void hello_encode(const struct hello *h, uint8_t *out)
{
	uint8_t *p = write_bytes(out, magic, sizeof(magic));

	p = write_u16(write_u16(write_u16(p, HELLO_LEN), h->lowest), h->highest);
	p = write_u8(write_u8(p, h->role), 0);
	p = write_u32(write_u32(write_u32(write_u32(p, h->flags), h->streams), h->tail), 0);
	p = write_u64(write_bytes(p, h->token, sizeof(h->token)), h->position);
	p = write_u64(p, 0);
	assert(p == out + HELLO_LEN);
}

uint16_t hello_version(const struct hello *a, const struct hello *b)
{
	uint16_t low = a->lowest > b->lowest ? a->lowest : b->lowest, high = a->highest < b->highest ? a->highest : b->highest;

	return low <= high ? high : 0;
}
