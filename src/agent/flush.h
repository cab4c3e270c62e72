// SPDX-License-Identifier: MIT
/* The end of connections that the target has on a port, on request: whoever reconnects is then stolen. */
#pragma once

#include <stdint.h>

struct passes;
struct sock_diag;

/* Resets both ends of each TCP connection to the local @port, but for those that the agent took or made itself. Returns how many. */
unsigned int flush_connections(struct sock_diag *d, const struct passes *passes, uint16_t port);
