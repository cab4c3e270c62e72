// SPDX-License-Identifier: MIT
/* The bytes of every bulk stream: 64-bit words, each the number of its place, so that a lost, doubled, moved or changed byte
 * shows at its offset. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { PATTERN_CHUNK = 64 << 10 };
#define PATTERN_RIGHT UINT64_MAX

/* Writes the stream's bytes from @offset on. */
void pattern_fill(void *buf, size_t len, uint64_t offset);
/* Returns the stream offset of the first wrong byte in @buf, which starts at @offset, or PATTERN_RIGHT. */
uint64_t pattern_check(const void *buf, size_t len, uint64_t offset);
