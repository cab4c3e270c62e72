// SPDX-License-Identifier: MIT
/* What the agent and its mirroring process say to each other: one message a packet of a socket pair (SOCK_SEQPACKET), descriptors beside
 * it. Both are the same program, so they are plain structs. */
#pragma once

#include <stdint.h>

#include "net/addr.h"
#include "net/packet.h"

enum mirror_message_kind {
	/* From the agent. */
	MIRROR_ADD,    /* @key mirrors @protocol's port of @destination; its filter, if it has one, is the file beside it: @value bytes of bodies */
	MIRROR_REMOVE, /* @key mirrors no new connection; MIRROR_GONE follows when the last one is over */
	MIRROR_CUT,    /* the copies of @key, removed before, end now: the program has */
	MIRROR_DIALED, /* @copy is connected: the socket is beside it; or @value is the errno */
	/* From the mirroring process. */
	MIRROR_READY,	 /* the first one: the ring is there; or why it is not, as text behind the struct */
	MIRROR_DIAL,	 /* @copy of @key: a connection of @client to @destination, please */
	MIRROR_ABANDON,	 /* @copy is not wanted any more */
	MIRROR_COUNT,	 /* @value more of the counter @copy for @key */
	MIRROR_DATAGRAM, /* for @key, from @client to @destination; its bytes are behind the struct */
	MIRROR_GONE,	 /* @key is over */
};

struct mirror_message {
	uint32_t kind, key, copy;
	int32_t value;
	uint8_t protocol;
	struct packet_marks marks;
	struct endpoint client, destination;
};

enum { MIRROR_MESSAGE_MAX = sizeof(struct mirror_message) + 65536 };
