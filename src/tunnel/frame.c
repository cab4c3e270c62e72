// SPDX-License-Identifier: MIT
/* The codec of the frames. What their limits are stands in frame.def alone. */
#include "tunnel/frame.h"

#include <assert.h>
#include <errno.h>

#include "tunnel/writing.h"

enum scope { TUNNEL, STREAM };

struct rule {
	const char *name;
	enum scope scope;
	uint32_t fixed, least, most;
};

static const struct rule rules[] = {
#define FRAME(name, number, scope, fixed, least, most) [number] = { #name, scope, fixed, least, most },
#include "tunnel/frame.def"
#undef FRAME
};

#define FRAME(name, number, scope, fixed, least, most)                                                                 \
	static_assert(fixed + most <= FRAME_BODY_MAX && FRAME_HEADER + fixed <= FRAME_HEAD_MAX, #name " fits");
#include "tunnel/frame.def"
#undef FRAME

static const struct rule *rule_find(uint16_t type)
{
	return type < sizeof(rules) / sizeof(rules[0]) && rules[type].name ? &rules[type] : NULL;
}

static uint32_t rule_longest(const struct rule *r)
{
	return r->most ? r->fixed + r->most : FRAME_GROWTH;
}

/* Returns 0 or a frame_error. */
static int header_check(const struct rule *r, const struct frame *f, uint32_t body)
{
	if (body > FRAME_BODY_MAX)
		return FRAME_LONG;
	if (!r)
		return f->flags & FRAME_MAY_IGNORE ? 0 : FRAME_UNKNOWN;
	if (body < r->fixed + r->least)
		return FRAME_SHORT;
	if (body > rule_longest(r))
		return FRAME_LONG;
	return (r->scope == STREAM) == (f->stream != 0) ? 0 : FRAME_SCOPE;
}

static const uint8_t *get_endpoint(const uint8_t *p, struct endpoint *ret)
{
	memcpy(ret->ip.b, p, sizeof(ret->ip.b));
	ret->port = get16(p + 16);
	return p + 18;
}

static uint8_t *put_endpoint(uint8_t *p, const struct endpoint *e)
{
	return write_u16(write_bytes(p, e->ip.b, sizeof(e->ip.b)), e->port);
}

static void fields_decode(struct frame *f, const uint8_t *p)
{
	switch ((enum frame_type)f->type) {
	case FRAME_OPEN:
		f->open.kind = get16(p);
		f->open.window = get32(p + 4);
		get_endpoint(get_endpoint(p + 8, &f->open.local), &f->open.remote);
		break;
	case FRAME_OPENED:
	case FRAME_CREDIT:
	case FRAME_RECALL:
	case FRAME_RETURN:
		f->amount = get32(p);
		break;
	case FRAME_RESET:
		f->error = frame_reset_errno(get32(p));
		break;
	case FRAME_DATAGRAM:
		p = get_endpoint(p, &f->datagram.peer);
		f->datagram.marks = (struct packet_marks){ .ttl = p[0], .tos = p[1], .dont_fragment = f->flags & FRAME_WHOLE };
		break;
	case FRAME_DATAGRAM_ERROR:
		p = get_endpoint(p, &f->datagram_error.peer);
		f->datagram_error.icmp = (struct icmp_error){ .type = p[0], .code = p[1], .info = get32(p + 2) };
		memcpy(f->datagram_error.icmp.offender.b, p + 6, sizeof(f->datagram_error.icmp.offender.b));
		break;
	case FRAME_PING:
	case FRAME_PONG:
	case FRAME_ACK:
		f->number = get64(p);
		break;
	case FRAME_INFO:
		f->topic = get16(p);
		break;
	case FRAME_DATA:
	case FRAME_END:
	case FRAME_CLOSE:
		break;
	}
}

ssize_t frame_decode(const uint8_t *data, size_t len, struct frame *ret)
{
	struct frame f = { 0 };
	const struct rule *r;
	uint32_t body, fixed;
	int error;

	if (len < FRAME_HEADER)
		return 0;
	body = get32(data);
	f.stream = get32(data + 4);
	f.type = get16(data + 8);
	f.flags = get16(data + 10);
	r = rule_find(f.type);
	error = header_check(r, &f, body);
	if (error)
		return error;
	if (len - FRAME_HEADER < body)
		return 0;
	fixed = r ? r->fixed : 0;
	if (!r || r->most) {
		f.payload = data + FRAME_HEADER + fixed;
		f.payload_len = body - fixed;
	}
	fields_decode(&f, data + FRAME_HEADER);
	*ret = f;
	return (ssize_t)(FRAME_HEADER + body);
}

static uint8_t *fields_encode(const struct frame *f, uint8_t *p)
{
	const struct icmp_error *icmp = &f->datagram_error.icmp;

	switch ((enum frame_type)f->type) {
	case FRAME_OPEN:
		p = write_u32(write_u16(write_u16(p, f->open.kind), 0), f->open.window);
		return put_endpoint(put_endpoint(p, &f->open.local), &f->open.remote);
	case FRAME_OPENED:
	case FRAME_CREDIT:
	case FRAME_RECALL:
	case FRAME_RETURN:
		return write_u32(p, f->amount);
	case FRAME_RESET:
		return write_u32(p, frame_reset_number(f->error));
	case FRAME_DATAGRAM:
		p = put_endpoint(p, &f->datagram.peer);
		return write_u8(write_u8(p, f->datagram.marks.ttl), f->datagram.marks.tos);
	case FRAME_DATAGRAM_ERROR:
		p = write_u8(write_u8(put_endpoint(p, &f->datagram_error.peer), icmp->type), icmp->code);
		return write_bytes(write_u32(p, icmp->info), icmp->offender.b, sizeof(icmp->offender.b));
	case FRAME_PING:
	case FRAME_PONG:
	case FRAME_ACK:
		return write_u64(p, f->number);
	case FRAME_INFO:
		return write_u16(p, f->topic);
	case FRAME_DATA:
	case FRAME_END:
	case FRAME_CLOSE:
		break;
	}
	return p;
}

size_t frame_encode(const struct frame *f, uint8_t *out)
{
	const struct rule *r = rule_find(f->type);
	uint8_t *end;

	assert(r && f->payload_len <= r->most && f->payload_len >= r->least);
	write_u16(write_u16(write_u32(write_u32(out, (uint32_t)(r->fixed + f->payload_len)), f->stream), f->type), f->flags);
	end = fields_encode(f, out + FRAME_HEADER);
	assert(end == out + FRAME_HEADER + r->fixed);
	return (size_t)(end - out);
}

size_t frame_length(const uint8_t *header)
{
	return FRAME_HEADER + (size_t)get32(header);
}

const char *frame_name(uint16_t type)
{
	const struct rule *r = rule_find(type);

	return r ? r->name : NULL;
}

const char *frame_strerror(int error)
{
	switch ((enum frame_error)error) {
	case FRAME_SHORT:
		return "a frame shorter than its fields";
	case FRAME_LONG:
		return "a frame longer than allowed";
	case FRAME_UNKNOWN:
		return "a frame of unknown type";
	case FRAME_SCOPE:
		return "a frame with a stream where none belongs, or without where one does";
	}
	return "no error";
}

static const int reset_errnos[] = {
#define RESET(number, error) [number] = error,
#include "tunnel/reset.def"
#undef RESET
};

uint32_t frame_reset_number(int error)
{
	uint32_t n = sizeof(reset_errnos) / sizeof(reset_errnos[0]);

	while (n-- > 0)
		if (reset_errnos[n] == error && error)
			return n;
	return frame_reset_number(EIO);
}

int frame_reset_errno(uint32_t number)
{
	if (number < sizeof(reset_errnos) / sizeof(reset_errnos[0]) && reset_errnos[number])
		return reset_errnos[number];
	return ECONNRESET;
}
