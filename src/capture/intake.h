// SPDX-License-Identifier: MIT
/* From captured bytes to TCP segments and datagrams: checksums, IP fragments, and who sent it. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/reassembly.h"
#include "net/packet.h"

/* How a packet passed. */
enum passage { PASSAGE_IN, PASSAGE_OUT, PASSAGE_LO };

struct captured {
	const uint8_t *data; /* from the IP header on */
	size_t len, wire_len; /* captured; what it was */
	enum passage passage;
	bool summed; /* its checksum needs no look */
	uint64_t now_ms;
};

struct intake_events {
	/* Whether the local @port is one that is watched: decides who is the server on lo. */
	bool (*is_watched)(void *arg, uint8_t protocol, uint16_t port);
	/* A whole TCP segment or datagram with the right checksum. Valid during the call. */
	void (*on_packet)(void *arg, const struct packet *p, enum side from);
};

struct intake;

enum { INTAKE_FRAGMENTED = 64 }; /* datagrams being put together at a time */

/* NULL without memory. */
struct intake *intake_new(const struct intake_events *events, void *arg);
void intake_free(struct intake *in);
void intake_add(struct intake *in, const struct captured *c);
/* Packets that were no use: malformed, or their checksum was wrong. */
uint64_t intake_unusable(const struct intake *in);
