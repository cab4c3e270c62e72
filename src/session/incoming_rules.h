// SPDX-License-Identifier: MIT
/* Which of the program's sockets get the target's traffic, and of which of its ports. Pure functions. */
#pragma once

#include "net/sock_diag.h"
#include "session/incoming_options.h"

/* True with the target's port whose traffic @s is to get. */
bool incoming_rules_port(const struct incoming_options *o, const struct diag_socket *s, uint16_t *ret_port);
/* Whether the HTTP filter holds for the target's port @port. */
bool incoming_rules_filtered(const struct incoming_options *o, uint16_t port);
/* The port of this machine where the local @port must be published; 0: any will do. */
uint16_t incoming_rules_published(const struct incoming_options *o, uint16_t port);
