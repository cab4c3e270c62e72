// SPDX-License-Identifier: MIT
/* WebSocket's frames. A message's payload is handed on as it comes, in pieces, so that none must fit into memory; a control frame, which may
 * come between the frames of a message, is kept until it is whole. */
#include "kube/websocket.h"

#include <string.h>

enum { FINAL = 0x80, RESERVED = 0x70, OPCODE = 0x0f, MASK = 0x80, CONTROL = 0x08 };

static bool is_control(uint8_t opcode)
{
	return opcode & CONTROL;
}

/* The length behind the first two bytes: 2 or 8 more. Returns 0, or WEBSOCKET_LENGTH. */
static int read_length(const uint8_t *data, size_t bytes, uint64_t *ret)
{
	uint64_t n = 0;

	for (size_t i = 0; i < bytes; i++)
		n = n << 8 | data[2 + i];
	if ((bytes == 2 && n < 126) || (bytes == 8 && (n <= 0xffff || n >> 63)))
		return WEBSOCKET_LENGTH;
	*ret = n;
	return 0;
}

static int check_header(const struct websocket_decoder *d, const uint8_t *data)
{
	uint8_t opcode = data[0] & OPCODE;

	if ((data[0] & RESERVED) || (opcode > WEBSOCKET_BINARY && opcode != WEBSOCKET_CLOSE && opcode != WEBSOCKET_PING && opcode != WEBSOCKET_PONG))
		return WEBSOCKET_RESERVED;
	if (is_control(opcode) && (!(data[0] & FINAL) || (data[1] & ~MASK) > WEBSOCKET_CONTROL_MAX))
		return WEBSOCKET_CONTROL;
	if (data[1] & MASK)
		return WEBSOCKET_MASKED;
	if (!is_control(opcode) && (opcode == WEBSOCKET_CONTINUATION) != (d->message != 0))
		return WEBSOCKET_ORDER;
	return 0;
}

/* Returns the header's length, 0 when it isn't whole, or an error. */
static ssize_t decode_header(struct websocket_decoder *d, const uint8_t *data, size_t len)
{
	size_t more;
	int r;

	if (len < 2)
		return 0;
	r = check_header(d, data);
	if (r < 0)
		return r;
	more = data[1] == 126 ? 2 : data[1] == 127 ? 8 : 0;
	if (len < 2 + more)
		return 0;
	d->left = data[1];
	if (more && (r = read_length(data, more, &d->left)) < 0)
		return r;
	d->in_frame = true;
	d->final = data[0] & FINAL;
	d->opcode = data[0] & OPCODE;
	d->control_len = 0;
	if (!is_control(d->opcode) && d->opcode != WEBSOCKET_CONTINUATION) {
		d->message = d->opcode;
		d->begun = false;
	}
	return (ssize_t)(2 + more);
}

/* A piece of a message. What is empty is worth one only when it begins or ends the message. */
static bool take_data(struct websocket_decoder *d, const uint8_t *data, size_t n, struct websocket_piece *ret)
{
	bool last = d->final && d->left == 0;
	bool has = n || last || (!d->begun && d->left == 0);

	*ret = (struct websocket_piece){ .opcode = d->message, .first = !d->begun, .last = last, .data = data, .len = n };
	d->begun |= has;
	if (last)
		d->message = 0;
	return has;
}

ssize_t websocket_decode(struct websocket_decoder *d, const uint8_t *data, size_t len, struct websocket_piece *ret, bool *ret_has)
{
	ssize_t header = d->in_frame ? 0 : decode_header(d, data, len);
	size_t n;

	*ret_has = false;
	if (header < 0 || !d->in_frame)
		return header;
	n = len - (size_t)header;
	n = n < d->left ? n : (size_t)d->left;
	d->left -= n;
	if (is_control(d->opcode)) {
		memcpy(d->control + d->control_len, data + header, n);
		d->control_len += n;
		*ret = (struct websocket_piece){ .opcode = d->opcode, .first = true, .last = true, .data = d->control, .len = d->control_len };
		*ret_has = d->left == 0;
	} else {
		*ret_has = take_data(d, data + header, n, ret);
	}
	d->in_frame = d->left > 0;
	return header + (ssize_t)n;
}

size_t websocket_encode_header(enum websocket_opcode opcode, size_t len, const uint8_t mask[4], uint8_t out[WEBSOCKET_HEADER_MAX])
{
	size_t n = 2, bytes = len < 126 ? 0 : len <= 0xffff ? 2 : 8;

	out[0] = (uint8_t)(FINAL | opcode);
	out[1] = (uint8_t)(MASK | (bytes == 0 ? len : bytes == 2 ? 126 : 127));
	for (size_t i = 0; i < bytes; i++)
		out[n++] = (uint8_t)((uint64_t)len >> 8 * (bytes - 1 - i));
	memcpy(out + n, mask, 4);
	return n + 4;
}

void websocket_mask(uint8_t *data, size_t len, const uint8_t mask[4], size_t offset)
{
	uint8_t turned[8];
	uint64_t eight, x;
	size_t i = 0;

	for (size_t k = 0; k < 8; k++)
		turned[k] = mask[(offset + k) & 3];
	memcpy(&eight, turned, 8);
	for (; i + 8 <= len; i += 8) {
		memcpy(&x, data + i, 8);
		x ^= eight;
		memcpy(data + i, &x, 8);
	}
	for (; i < len; i++)
		data[i] ^= turned[i & 7];
}

const char *websocket_strerror(enum websocket_error error)
{
	switch (error) {
	case WEBSOCKET_RESERVED:
		return "a frame of an unknown kind";
	case WEBSOCKET_MASKED:
		return "a masked frame from a server";
	case WEBSOCKET_LENGTH:
		return "a length in no proper form";
	case WEBSOCKET_CONTROL:
		return "a control frame that is long or in pieces";
	case WEBSOCKET_ORDER:
		return "frames of a message out of order";
	}
	return "unknown";
}
