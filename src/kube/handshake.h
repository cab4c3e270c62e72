// SPDX-License-Identifier: MIT
/* WebSocket's opening handshake (RFC 6455 §4). Pure functions. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/base64.h"

enum { HANDSHAKE_KEY = BASE64_ROOM(16), HANDSHAKE_ANSWER_MAX = 65536 };

/* The answer to "GET … Upgrade: websocket". */
struct handshake_answer {
	int status;
	char accept[64], protocol[64]; /* headers; "" when not there */
	size_t body; /* where it begins */
	size_t body_len;
};

/* The key that goes with these random bytes, and the accept value that the server must give for it. */
void handshake_key(const uint8_t random[16], char ret_key[HANDSHAKE_KEY], char ret_accept[BASE64_ROOM(20)]);
/* Returns the bytes of the whole answer (with 101: of its head; else with the body, as Content-Length or chunks tell it), 0 when more is
 * needed, -1 when it is no HTTP/1.1. With chunks, @data is put together in place. */
ssize_t handshake_parse(char *data, size_t len, struct handshake_answer *ret);
