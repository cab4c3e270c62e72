// SPDX-License-Identifier: MIT
/* Base64 (RFC 4648 §4). */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* White space is passed over; padding must be right. The bytes are NUL-terminated and the caller's; NULL when it isn't base64, or
 * without memory. */
char *base64_decode(const char *text, size_t *ret_len);
enum { BASE64_ROOM_OF_20 = 29, BASE64_ROOM_OF_16 = 25 };
/* Writes 4 characters for every 3 bytes begun, and a NUL. */
void base64_encode(const uint8_t *data, size_t len, char *out);
