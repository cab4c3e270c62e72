// SPDX-License-Identifier: MIT
/* Writing UTF-8, and telling what is none. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Writes the character, up to 4 bytes, and returns how many. @c is below 0x110000. */
static inline size_t utf8_put(char *out, uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* The length of the valid UTF-8 sequence at @data; 0: none. */
static inline size_t utf8_length(const uint8_t *data, size_t len)
{
	static const struct {
		uint8_t mask, lead, len;
		uint32_t least;
	} kinds[] = { { 0x80, 0, 1, 0 }, { 0xe0, 0xc0, 2, 0x80 }, { 0xf0, 0xe0, 3, 0x800 }, { 0xf8, 0xf0, 4, 0x10000 } };

	for (int i = 0; i < 4; i++) {
		uint32_t c = data[0] & (uint8_t)~kinds[i].mask;

		if ((data[0] & kinds[i].mask) != kinds[i].lead)
			continue;
		if (kinds[i].len > len)
			return 0;
		for (size_t k = 1; k < kinds[i].len; k++) {
			if ((data[k] & 0xc0) != 0x80)
				return 0;
			c = c << 6 | (data[k] & 0x3f);
		}
		return c < kinds[i].least || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : kinds[i].len;
	}
	return 0;
}
