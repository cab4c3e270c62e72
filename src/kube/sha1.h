// SPDX-License-Identifier: MIT
/* SHA-1 (RFC 3174), for WebSocket's opening handshake, which asks for it. Good for nothing else. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { SHA1_LEN = 20 };

void sha1(const void *data, size_t len, uint8_t out[SHA1_LEN]);
