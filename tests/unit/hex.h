// SPDX-License-Identifier: MIT
/* Bytes written as hex in a table. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Reads "4500 0021" (spaces are free) to @out; returns how many bytes. Anything else ends the test. */
static inline size_t hex_bytes(const char *hex, uint8_t *out, size_t room)
{
	size_t n = 0;
	unsigned int byte;
	int used;

	for (;; n++, hex += used) {
		while (*hex == ' ')
			hex++;
		if (!*hex)
			return n;
		if (n == room || sscanf(hex, "%2x%n", &byte, &used) != 1 || used != 2) {
			fprintf(stderr, "not hex: %s\n", hex);
			abort();
		}
		out[n] = (uint8_t)byte;
	}
}
