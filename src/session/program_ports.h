// SPDX-License-Identifier: MIT
/* The program's UDP sockets as an egress for datagrams: they arrive in the twin from whatever address their client has. */
#pragma once

#include "net/loop.h"
#include "net/packet.h"
#include "relay/egress.h"
#include "session/gate.h"

/* They go as packets by way of *@gate. A port's "local" is the client's address, whose port alone is a wish. Only ports can be opened. NULL
 * without memory. */
struct egress *program_ports_new(struct gate **gate);
/* Closes every port, without events. */
void program_ports_free(struct egress *e);
/* The program is gone: every port is broken. */
void program_ports_break(struct egress *e);
/* A packet from the twin: true when it was an answer to a client of a port here, or an error about a datagram of one. */
bool program_ports_on_packet(struct egress *e, const struct packet *p);
