// SPDX-License-Identifier: MIT
/* Base64 (RFC 4648): the usual alphabet (§4), and base64url without padding (§5). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What @n bytes become, with a NUL. */
#define BASE64_ROOM(n) (((n) + 2) / 3 * 4 + 1)

/* Writes BASE64_ROOM(@len). */
void base64_encode(const uint8_t *data, size_t len, char *out);
/* White space is passed over; padding must be right. The bytes are NUL-terminated and the caller's; NULL when it isn't base64, or
 * without memory. */
char *base64_decode(const char *text, size_t *ret_len);
/* False when it isn't base64url, or more than @max bytes. */
bool base64url_decode(const char *text, size_t len, uint8_t *ret, size_t max, size_t *ret_len);
