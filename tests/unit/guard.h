// SPDX-License-Identifier: MIT
/* Bytes that end right before a page that can't be touched: reading one too many is a crash, without any sanitizer. */
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { GUARD_ROOM = 1 << 18 };

/* A copy of the @len bytes (at most GUARD_ROOM); valid until the next call. */
static inline uint8_t *guard_copy(const void *data, size_t len)
{
	static uint8_t *room;

	if (!room) {
		room = mmap(NULL, GUARD_ROOM + 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (room == MAP_FAILED || mprotect(room + GUARD_ROOM, 65536, PROT_NONE) < 0)
			abort();
	}
	if (len > GUARD_ROOM)
		abort();
	if (len)
		memcpy(room + GUARD_ROOM - len, data, len);
	return room + GUARD_ROOM - len;
}
