// SPDX-License-Identifier: MIT
/* Datagrams to the first of several addresses that does not refuse them. */
#pragma once

#include "relay/egress.h"

enum { TALK_ADDRESSES = 8, TALK_FAMILIES = 2 };

/* Embedded; zero but for what talk_init() sets. */
struct talk {
	struct egress *egress;
	const struct talk_events *events;
	void *arg;
	struct endpoint to[TALK_ADDRESSES];
	size_t n, at;
	bool heard; /* it has answered: that address stays */
	struct port *ports[TALK_FAMILIES];
};

/* None of them may close the talk from inside the call, except through loop_defer(). */
struct talk_events {
	void (*on_answer)(void *arg, struct packet_marks marks, const uint8_t *data, size_t len);
	/* All addresses have refused; as port_events.on_error. */
	void (*on_refused)(void *arg, const struct icmp_error *error, const uint8_t *data, size_t len);
};

void talk_init(struct talk *t, struct egress *egress, const struct ip *ips, size_t n, uint16_t port, const struct talk_events *events, void *arg);
/* Returns 0 or an errno. */
int talk_send(struct talk *t, struct packet_marks marks, const void *data, size_t len);
void talk_close(struct talk *t);
