// SPDX-License-Identifier: MIT
#include "pattern.h"

#include <endian.h>
#include <string.h>

enum { WORD = 8 };

/* Odd multiplier: each of the eight bytes of a word changes from word to word, and words are distinct. */
static uint64_t word_at(uint64_t index)
{
	return htole64(index * 0x9e3779b97f4a7c15ULL);
}

/* The part of word @offset / 8 from @offset on, at most @len bytes. Returns how many were written. */
static size_t partial_word(uint8_t *out, size_t len, uint64_t offset)
{
	uint64_t word = word_at(offset / WORD);
	size_t skip = offset % WORD, n = WORD - skip;

	if (n > len)
		n = len;
	memcpy(out, (uint8_t *)&word + skip, n);
	return n;
}

void pattern_fill(void *buf, size_t len, uint64_t offset)
{
	uint8_t *p = buf;
	size_t n = offset % WORD ? partial_word(p, len, offset) : 0;
	uint64_t index = (offset + n) / WORD;

	for (; n + WORD <= len; n += WORD, index++) {
		uint64_t word = word_at(index);

		memcpy(p + n, &word, WORD);
	}
	if (n < len)
		partial_word(p + n, len - n, offset + n);
}

/* Byte by byte, where it is known or likely that something is wrong, and at the ends. */
static uint64_t check_bytes(const uint8_t *p, size_t len, uint64_t offset)
{
	for (size_t i = 0; i < len; i++) {
		uint64_t word = word_at((offset + i) / WORD);

		if (p[i] != ((uint8_t *)&word)[(offset + i) % WORD])
			return offset + i;
	}
	return PATTERN_RIGHT;
}

uint64_t pattern_check(const void *buf, size_t len, uint64_t offset)
{
	const uint8_t *p = buf;
	size_t head = -offset % WORD < len ? -offset % WORD : len;
	size_t words = (len - head) / WORD;
	uint64_t index = (offset + head) / WORD, wrong = 0, at;

	at = check_bytes(p, head, offset);
	if (at != PATTERN_RIGHT)
		return at;
	for (size_t i = 0; i < words; i++) {
		uint64_t word;

		memcpy(&word, p + head + i * WORD, WORD);
		wrong |= word ^ word_at(index + i);
	}
	if (wrong)
		return check_bytes(p, len, offset);
	return check_bytes(p + head + words * WORD, len - head - words * WORD, offset + head + words * WORD);
}
