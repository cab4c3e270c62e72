// SPDX-License-Identifier: MIT
/* Captured packets: a packet socket of the calling process's network namespace whose packets the kernel writes to a ring of memory
 * (packet(7), TPACKET_V3). All interfaces, also those that appear later. */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "net/addr.h"

/* A packet waits up to RING_RETIRE_MS for others that fill its block (the more gather, the longer their reader works at a stretch, and stands in
 * the target's way: 40 ms cost it twice the p99); a reader may sleep for RING_BLOCKS times that before any is lost. A block
 * has room for the longest packet that is in use: 192 KiB with Cilium's "BIG TCP" (the kernel allows 512, and would cut it here). */
enum { RING_BLOCK = 256 << 10, RING_BLOCKS = 64, RING_RETIRE_MS = 25 };

/* In three steps, of which processes that share the socket may each do one. The socket; -1 with @err, which names the capability that @what
 * needs when that is missing. */
int ring_open(const char *what, struct error *err);
/* Its ring. The kernel waits here until no packet is on its way that could know of another one: some ten milliseconds. */
int ring_make(int fd, struct error *err);
/* From here on it sees packets; none is taken before ring_filter(). */
int ring_bind(int fd, struct error *err);
/* Puts a filter in the place of the one before; no packet is lost in between. */
int ring_filter(int fd, const struct sock_filter *filter, size_t n, struct error *err);
/* Packets that the filter wanted and that found no room, since the last call (from whatever process). */
uint64_t ring_lost(int fd);

struct ring;

/* Maps the ring of @fd, which stays the caller's. NULL with @err. */
struct ring *ring_map(int fd, struct error *err);

struct ring_packet {
	const uint8_t *data; /* from the IP header on */
	size_t len, wire_len; /* captured; what it was */
	uint64_t time;	      /* ns since 1970 */
	uint32_t link;	      /* index */
	uint16_t hatype, protocol; /* ARPHRD_…, ETH_P_… */
	uint8_t type;	      /* PACKET_HOST, PACKET_OUTGOING … */
	bool summed;	      /* its checksum is right, or was left to a card */
	bool on_lo;
};

/* Gives the packets of at most @max blocks that are ready. True: there are more. */
bool ring_read(struct ring *r, size_t max, void (*on_packet)(void *arg, const struct ring_packet *p), void *arg);
