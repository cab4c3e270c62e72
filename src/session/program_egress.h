// SPDX-License-Identifier: MIT
/* The egress to the program: connections and datagrams that arrive in the twin, from whatever address their client has. */
#pragma once

#include "net/loop.h"
#include "net/packet.h"
#include "relay/egress.h"
#include "session/gate.h"

/* TCP leaves from the sockets of @tcp (transparent ones of the relay namespace; stays the caller's and outlives this), UDP as packets by
 * way of *@gate. "Local" is the client's address, a wish in its port alone. NULL without memory. */
struct egress *program_egress_new(struct egress *tcp, struct gate **gate);
/* Closes every port, without events. */
void program_egress_free(struct egress *e);
/* The program is gone: every port is broken. */
void program_egress_break_ports(struct egress *e);
/* A packet from the twin: true when it was an answer to a client of a port here, or an error about a datagram of one. */
bool program_egress_on_packet(struct egress *e, const struct packet *p);
