// SPDX-License-Identifier: MIT
/* The gate: packets between the twin and the session. */
#pragma once

#include "net/loop.h"
#include "net/packet.h"
#include "twin/build.h"

struct gate;

struct gate_events {
	/* A whole packet from the twin (fragments are put together before). @p points into memory that is valid during the call. */
	void (*on_packet)(void *arg, const struct packet *p);
	/* A connection came to a transparent listener; @fd is the callee's. */
	void (*on_connection)(void *arg, int fd, const struct endpoint *from);
};

/* Takes the twin's packet sockets and listeners over. NULL with @err. */
struct gate *gate_new(struct loop *loop, struct twin *twin, const struct gate_events *events, void *arg, struct error *err);
void gate_free(struct gate *g);

/* Room for a packet of PACKET_MAX bytes that gate_send() sends from; what stood there is gone with the next call. */
uint8_t *gate_buffer(struct gate *g);
/* Sends the packet of @len bytes that stands in the gate's buffer to the twin, at the latest at the end of this turn of the loop. */
void gate_send(struct gate *g, size_t len, struct packet_sum sum);
/* Gives a SYN from the twin back to the relay namespace, where a listener takes it, and accepts what is ready then. */
void gate_give_back(struct gate *g, const uint8_t *syn, size_t len);

/* Sends what is collected now. */
void gate_flush(struct gate *g);
/* Handles every packet that the twin has sent so far. */
void gate_read_all(struct gate *g);
