// SPDX-License-Identifier: MIT
/* WebSocket's frames (RFC 6455 §5), as a client sees them. Pure functions. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum websocket_opcode {
	WEBSOCKET_CONTINUATION = 0,
	WEBSOCKET_TEXT = 1,
	WEBSOCKET_BINARY = 2,
	WEBSOCKET_CLOSE = 8,
	WEBSOCKET_PING = 9,
	WEBSOCKET_PONG = 10,
};

enum { WEBSOCKET_HEADER_MAX = 14, WEBSOCKET_CONTROL_MAX = 125 };

enum websocket_error {
	WEBSOCKET_RESERVED = -1,   /* reserved bits or an opcode that nobody agreed on */
	WEBSOCKET_MASKED = -2,	   /* a server masks nothing */
	WEBSOCKET_LENGTH = -3,	   /* not in the shortest form, or above 2^63 − 1 */
	WEBSOCKET_CONTROL = -4,	   /* a control frame that is long or in pieces */
	WEBSOCKET_ORDER = -5,	   /* a continuation of nothing, or a new message inside of one */
};

/* Zero-initialise. */
struct websocket_decoder {
	uint8_t opcode, message; /* of the frame; of the message that goes on (0: none) */
	bool final, in_frame, begun;
	uint64_t left; /* of the frame's payload */
	uint8_t control[WEBSOCKET_CONTROL_MAX];
	size_t control_len;
};

/* A piece of a message as it came, or a whole control frame. */
struct websocket_piece {
	enum websocket_opcode opcode; /* of the message, never CONTINUATION */
	bool first, last;	      /* piece of its message */
	const uint8_t *data;	      /* in the caller's bytes, or the decoder's for control frames */
	size_t len;
};

/* Decodes at the front of @data. Returns the bytes consumed, and *ret_has says whether there is a piece in @ret (an empty message is one);
 * 0 without a piece: more is needed. Negative: a websocket_error. */
ssize_t websocket_decode(struct websocket_decoder *d, const uint8_t *data, size_t len, struct websocket_piece *ret, bool *ret_has);
/* Writes the header of a final frame of @len bytes, masked with @mask, which goes in front of the payload. Returns its length. */
size_t websocket_encode_header(enum websocket_opcode opcode, size_t len, const uint8_t mask[4], uint8_t out[WEBSOCKET_HEADER_MAX]);
/* Masks @data in place; its first byte is the payload's at @offset. */
void websocket_mask(uint8_t *data, size_t len, const uint8_t mask[4], size_t offset);
const char *websocket_strerror(enum websocket_error error);
