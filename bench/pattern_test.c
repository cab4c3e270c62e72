// SPDX-License-Identifier: MIT
/* The checker is what every bulk figure rests on: it must see each kind of damage that a relay can do, wherever reads are split. */
#include "pattern.h"

#include <stdlib.h>
#include <string.h>

#include "tap.h"

enum { SIZE = 4099 };

/* Checks @data as the stream's start, in reads of @piece bytes. */
static uint64_t check_in_pieces(const uint8_t *data, size_t len, size_t piece)
{
	uint64_t at = 0, wrong = PATTERN_RIGHT;

	for (; at < len && wrong == PATTERN_RIGHT; at += piece)
		wrong = pattern_check(data + at, len - at < piece ? len - at : piece, at);
	return wrong;
}

static void test_right(const uint8_t *data)
{
	uint8_t pieced[SIZE];
	int same = 1, right = 1;

	for (size_t piece = 1; piece < 70; piece++) {
		for (size_t at = 0; at < SIZE; at += piece)
			pattern_fill(pieced + at, SIZE - at < piece ? SIZE - at : piece, at);
		same &= memcmp(pieced, data, SIZE) == 0;
		right &= check_in_pieces(data, SIZE, piece) == PATTERN_RIGHT;
	}
	tap_ok(same, "filling in pieces of 1…69 bytes gives the same bytes");
	tap_ok(right, "checking in pieces of 1…69 bytes finds nothing");
	pattern_fill(pieced, SIZE, 1ULL << 40);
	tap_ok(pattern_check(pieced, SIZE, 1ULL << 40) == PATTERN_RIGHT, "right at 1 TiB");
	tap_ok(pattern_check(pieced, SIZE, 0) < 8, "bytes from 1 TiB are wrong at 0");
}

static void test_changed(uint8_t *data)
{
	int found = 1;

	for (size_t i = 0; i < SIZE; i++) {
		data[i] ^= 1;
		found &= check_in_pieces(data, SIZE, 1 + i % 61) == i && pattern_check(data, SIZE, 0) == i;
		data[i] ^= 1;
	}
	tap_ok(found, "a changed bit is found at its byte");
}

/* @skip bytes lost (or, negative, doubled) in the middle: found within a word after it. */
static void test_moved(const uint8_t *data, int skip)
{
	uint8_t moved[SIZE];
	size_t middle = SIZE / 2, from = (size_t)((long)middle + skip), n = SIZE - (from > middle ? from : middle);
	uint64_t wrong;

	memcpy(moved, data, middle);
	memcpy(moved + middle, data + from, n);
	wrong = pattern_check(moved, middle + n, 0);
	tap_ok(wrong >= middle && wrong < middle + 8, "%d bytes %s", abs(skip), skip > 0 ? "lost" : "doubled");
}

int main(void)
{
	uint8_t data[SIZE];

	pattern_fill(data, SIZE, 0);
	test_right(data);
	test_changed(data);
	for (int skip = 1; skip <= 1024; skip *= 4) {
		test_moved(data, skip);
		test_moved(data, -skip);
	}
	return tap_done();
}
