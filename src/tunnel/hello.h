// SPDX-License-Identifier: MIT
/* The hello that each direction of the byte stream starts with (docs/protocol.md). Pure functions. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { HELLO_MAGIC = 8, HELLO_LEN = 64, HELLO_MAX = 1024, HELLO_TOKEN = 16 };
enum { HELLO_SESSION = 1, HELLO_AGENT = 2 };
enum {
	HELLO_CAN_RESUME = 1, /* keeps a tail and sends ACK, if the peer does */
	HELLO_RESUMES = 2,    /* this byte stream goes on where an earlier one with the same token broke */
};

enum hello_error {
	HELLO_NOT_OURS = -1,	 /* other bytes than the magic */
	HELLO_BAD_LENGTH = -2,
	HELLO_BAD_VERSIONS = -3, /* none, or the lowest above the highest */
};

struct hello {
	uint16_t lowest, highest; /* versions */
	uint8_t role;
	uint32_t flags;
	uint32_t streams; /* most streams that the sender takes */
	uint32_t tail;	  /* bytes that the sender keeps until they are acknowledged */
	uint8_t token[HELLO_TOKEN];
	uint64_t position; /* bytes of frames that the sender has received on earlier byte streams of this tunnel */
};

/* Returns the bytes it takes, 0 when it isn't whole yet, or a negative hello_error at the first byte that shows it. */
ssize_t hello_decode(const uint8_t *data, size_t len, struct hello *ret);
/* Writes HELLO_LEN bytes. */
void hello_encode(const struct hello *h, uint8_t *out);
/* The version that both speak, the highest; 0 when there is none. */
uint16_t hello_version(const struct hello *a, const struct hello *b);
