// SPDX-License-Identifier: MIT
/* Writing fields one behind the other: each function returns the place behind what it wrote. Numbers are big-endian. */
#pragma once

#include <stddef.h>
#include <string.h>

#include "net/bytes.h"

static inline uint8_t *write_u8(uint8_t *p, uint8_t v)
{
	*p = v;
	return p + 1;
}

static inline uint8_t *write_u16(uint8_t *p, uint16_t v)
{
	put16(p, v);
	return p + 2;
}

static inline uint8_t *write_u32(uint8_t *p, uint32_t v)
{
	put32(p, v);
	return p + 4;
}

static inline uint8_t *write_u64(uint8_t *p, uint64_t v)
{
	return write_u32(write_u32(p, (uint32_t)(v >> 32)), (uint32_t)v);
}

static inline uint8_t *write_bytes(uint8_t *p, const void *data, size_t len)
{
	if (len)
		memcpy(p, data, len);
	return p + len;
}

static inline uint64_t get64(const uint8_t *p)
{
	return (uint64_t)get32(p) << 32 | get32(p + 4);
}
