// SPDX-License-Identifier: MIT
/* TCP connections out of captured packets: what each side sent, in order, as the other side received it. Pure: packets in, events out;
 * no descriptors, and no clock but the @now that is passed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/packet.h"

enum side { SIDE_CLIENT, SIDE_SERVER };
enum { SIDES = 2 };

/* What is kept, at most. A connection beyond a number takes the place of the one of its kind that was silent longest. */
enum {
	REASSEMBLY_OPENING = 4096,	/* connections whose handshake isn't over: a flood of SYNs drives out its own kind */
	REASSEMBLY_OPEN = 65536,	/* connections */
	REASSEMBLY_CLOSED = 1024,	/* those that ended, so that late packets of theirs are no news */
	REASSEMBLY_HALF_BYTES = 8 << 20, /* that wait for an acknowledgement, of one direction of a connection */
	REASSEMBLY_BYTES = 64 << 20,	/* … in all */
};

enum reassembly_close {
	CLOSE_ENDED,	 /* both sides said FIN, and the other had it */
	CLOSE_RESET,	 /* by either side */
	CLOSE_FORGOTTEN, /* no room, no packet of its end came by, or its addresses are another connection's now */
};

/* No call back into the reassembly from inside. */
struct reassembly_events {
	/* The handshake is over; or, with @middle, packets of a connection came whose beginning wasn't seen: its data goes on from here.
	 * Returns the owner's name for it, which the others get. */
	void *(*on_open)(void *arg, const struct endpoint ends[SIDES], bool middle);
	/* Begins where a segment began, but for acknowledgements in the middle of one. */
	void (*on_data)(void *arg, void *owner, enum side from, const uint8_t *data, size_t len);
	/* @len bytes of @from are missing, or not certain (two versions of them came, or too many waited). Goes on behind them. */
	void (*on_gap)(void *arg, void *owner, enum side from, size_t len);
	void (*on_end)(void *arg, void *owner, enum side from); /* a FIN */
	void (*on_close)(void *arg, void *owner, enum reassembly_close why);
};

struct reassembly;

/* Events of data, gap and end come for the sides in @wanted alone; of the others, heads of packets (packet_parse_head()) are enough.
 * NULL without memory. */
struct reassembly *reassembly_new(const bool wanted[SIDES], const struct reassembly_events *events, void *arg);
/* Without events. */
void reassembly_free(struct reassembly *r);
/* One TCP packet, no fragment, its checksum right. @from is who sent it as far as the caller knows; a connection whose beginning was seen
 * knows better. @now in any unit, for reassembly_expire(). */
void reassembly_packet(struct reassembly *r, const struct packet *p, enum side from, uint64_t now);
/* Asks of up to @max open connections that were silent since @before, the longest first, whether they are gone; those close. */
void reassembly_expire(struct reassembly *r, uint64_t before, uint64_t now, size_t max,
		       bool (*is_gone)(void *arg, const struct endpoint ends[SIDES]));
size_t reassembly_count(const struct reassembly *r); /* open ones */
size_t reassembly_bytes(const struct reassembly *r); /* that wait */
