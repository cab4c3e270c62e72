// SPDX-License-Identifier: MIT
/* IP fragments: put together (a datagram too large for the veth arrives in two), and cut. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "net/packet.h"

struct fragments;

/* At most @max datagrams wait at a time, the oldest gives way; each for at most FRAGMENT_TIMEOUT_MS and in less than 70 KB.
 * NULL without memory. */
struct fragments *fragments_new(size_t max);
void fragments_free(struct fragments *f);
enum { FRAGMENT_TIMEOUT_MS = 1000 };

/* Takes one fragment in (a copy) at the time @now_ms. Returns the length of the packet that is now whole, with *ret pointing
 * to it until the next call; 0 when there is more to come or @p was dropped (overlap, too long, no memory).
 * Overlaps drop the whole datagram (RFC 5722). The whole packet has no fragment header and reads as if sent in one piece.
 * Of a @p that is no fragment, gives back the packet it was parsed from. */
size_t fragments_add(struct fragments *f, const struct packet *p, uint64_t now_ms, const uint8_t **ret);

/* Cuts @packet (@len bytes, checksums complete or left out) into pieces of at most @mtu bytes each and gives each to @emit; their
 * checksum is complete. "Don't fragment" is not minded, it is for routers. @id is the identification that they share (IPv4: its
 * lower 16 bits). Returns the number of pieces; 0 when nothing was emitted: @len fits @mtu, or it can't be cut (not a packet, a
 * fragment already, no room in @mtu for 8 bytes of data, or for all of IPv6's headers in the first piece). */
size_t fragment_cut(const uint8_t *packet, size_t len, size_t mtu, uint32_t id,
		    void (*emit)(void *arg, const uint8_t *piece, size_t piece_len), void *arg);
