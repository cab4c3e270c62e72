// SPDX-License-Identifier: MIT
/* The frames of the tunnel as bytes (docs/protocol.md). Pure functions. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "net/addr.h"
#include "net/packet.h"

enum frame_type {
#define FRAME(name, number, scope, fixed, least, most) FRAME_##name = number,
#include "tunnel/frame.def"
#undef FRAME
};

enum {
	FRAME_MAY_IGNORE = 1, /* whoever doesn't know the type passes the frame over */
	FRAME_MORE = 2,	      /* INFO: the message goes on in the next INFO frame */
	FRAME_DRY = 4,	      /* DATA: the sender has no credit left behind this frame */
	FRAME_URGENT = 16,    /* DATA: its one byte is urgent (TCP's; RFC 6093) */
	FRAME_WHOLE = 8,      /* DATAGRAM: "don't fragment"; a frame that is decoded has it in its marks, too */
};

enum {
	FRAME_HEADER = 12,
	FRAME_HEAD_MAX = FRAME_HEADER + 44, /* the longest header with fixed fields */
	FRAME_GROWTH = 256,		    /* most bytes of a body without payload; those behind the known fields are passed over */
	FRAME_BODY_MAX = 65536 + 64,	    /* most bytes behind the header, whatever the type */
	FRAME_DATA_MAX = 65536,
	FRAME_INFO_MAX = 65536,
	FRAME_CLOSE_MAX = 1024,
};

enum frame_error {
	FRAME_SHORT = -1,   /* the length is less than the fields of the type take */
	FRAME_LONG = -2,    /* the length is more than the type may have */
	FRAME_UNKNOWN = -3, /* a type we don't know and may not ignore */
	FRAME_SCOPE = -4,   /* a frame of the tunnel names a stream, or one of a stream names none */
};

/* One frame. The member that is in use follows from @type; unknown types have their whole body as payload. */
struct frame {
	uint16_t type, flags;
	uint32_t stream;
	union {
		struct {
			uint16_t kind; /* enum stream_kind; one that we don't know is refused, not an error */
			uint32_t window;
			struct endpoint local, remote;
		} open;
		uint32_t amount; /* OPENED: the window; CREDIT: bytes more; RECALL: bytes to keep; RETURN: bytes given back */
		int error;	 /* RESET: an errno */
		struct {
			struct endpoint peer;
			struct packet_marks marks;
		} datagram;
		struct {
			struct endpoint peer;
			struct icmp_error icmp;
		} datagram_error;
		uint64_t number; /* PING, PONG: a cookie; ACK: a position */
		uint16_t topic;	 /* INFO */
	};
	const uint8_t *payload; /* points into the decoded bytes */
	size_t payload_len;
};

/* Decodes the frame at the start of @data. Returns the bytes it takes, 0 when it isn't whole yet, or a negative frame_error, as
 * soon as the header shows it. @ret is set with a positive result only. */
ssize_t frame_decode(const uint8_t *data, size_t len, struct frame *ret);
/* Writes header and fixed fields (at most FRAME_HEAD_MAX bytes) and returns their length. The @payload_len bytes of payload
 * belong directly behind them and are the caller's to put there. */
size_t frame_encode(const struct frame *f, uint8_t *out);
/* Bytes of the whole frame of which @header are the first FRAME_HEADER bytes; not checked. */
size_t frame_length(const uint8_t *header);
/* "OPEN"; NULL for unknown types. */
const char *frame_name(uint16_t type);
/* What a frame_error means, for a message. */
const char *frame_strerror(int error);

/* An errno as a number on the wire (EIO's when it has none) and back (ECONNRESET for unknown numbers). */
uint32_t frame_reset_number(int error);
int frame_reset_errno(uint32_t number);
