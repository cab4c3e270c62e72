// SPDX-License-Identifier: MIT
/* Datagrams to the first of several addresses that does not refuse them. */
#pragma once

#include "relay/egress.h"

enum { TALK_ADDRESSES = 8, TALK_FAMILIES = 2 };

struct talk;

/* The way by one family. */
struct talk_port {
	struct talk *talk;
	struct port *port; /* NULL: none yet */
	bool broken;	   /* with the next datagram it is closed, and there is another one */
};

/* Embedded; zero but for what talk_init() sets. */
struct talk {
	struct egress *egress;
	const struct talk_events *events;
	void *arg;
	struct endpoint to[TALK_ADDRESSES];
	size_t n, at;
	bool heard; /* it has answered: that address stays, until it refuses */
	struct talk_port ports[TALK_FAMILIES];
};

/* None of them may close the talk from inside the call, except through loop_defer(). */
struct talk_events {
	void (*on_answer)(void *arg, struct packet_marks marks, const uint8_t *data, size_t len);
	/* All addresses have refused, or the one that had answered; as port_events.on_error. The next datagram begins anew. */
	void (*on_refused)(void *arg, const struct icmp_error *error, const uint8_t *data, size_t len);
	/* The other side had no socket for it, or has none any more: datagrams are lost. May be NULL. */
	void (*on_broken)(void *arg, int error);
};

void talk_init(struct talk *t, struct egress *egress, const struct ip *ips, size_t n, uint16_t port, const struct talk_events *events, void *arg);
/* Returns 0, or the errno of the last address that was tried. */
int talk_send(struct talk *t, struct packet_marks marks, const void *data, size_t len);
void talk_close(struct talk *t);
