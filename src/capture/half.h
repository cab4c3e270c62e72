// SPDX-License-Identifier: MIT
/* One direction of a TCP connection, put together from its segments as its receiver does it. Pure: no descriptors, no clock. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

/* Embedded; half_start() makes it whole. Sequence numbers are compared as RFC 9293 §3.4 says. */
struct half {
	struct list waiting; /* segments from @next on, in order, without overlaps */
	size_t bytes;	     /* that wait */
	uint32_t next;	     /* the first byte not given yet */
	uint32_t acked;	     /* the receiver has all before it */
	uint32_t fin;	     /* the sequence number that FIN takes */
	bool has_acked, has_fin, ended;
};

/* The stream begins (or goes on, seen from here) at @next. Nothing may wait. */
void half_start(struct half *h, uint32_t next);
/* Forgets what waits. */
void half_clear(struct half *h);

enum half_error {
	HALF_CONFLICT = -1, /* other bytes than those that wait for the same place */
	HALF_MEMORY = -2,
};
/* Takes a copy of a segment's bytes; those given already and those that wait already are passed over. Returns how many bytes more wait
 * now, or a negative half_error, and some of it may wait then. */
int half_add(struct half *h, uint32_t seq, const uint8_t *data, size_t len);
/* A FIN stands at @seq. */
void half_add_fin(struct half *h, uint32_t seq);
/* The receiver said that it has all before @ack. An older one is passed over. */
void half_ack(struct half *h, uint32_t ack);
/* The first sequence number that isn't there: what waits without a hole ends before it. */
uint32_t half_end(const struct half *h);
/* The last one that was seen. */
uint32_t half_last(const struct half *h);

struct half_events {
	void (*on_data)(void *arg, const uint8_t *data, size_t len);
	/* The receiver has @len bytes that never came by here; the stream goes on behind them. */
	void (*on_gap)(void *arg, size_t len);
	void (*on_end)(void *arg); /* the FIN, once */
};
/* Gives what the receiver acknowledged, and returns how many bytes fewer wait now. */
size_t half_give(struct half *h, const struct half_events *events, void *arg);
