// SPDX-License-Identifier: MIT
/* What the program listens on is reached on this machine's 127.0.0.1 and ::1, too: by a browser, a debugger, curl. */
#pragma once

#include "net/loop.h"
#include "net/sock_diag.h"
#include "relay/egress.h"
#include "session/incoming_options.h"

struct publisher;

/* @program: the egress to the program. All arguments outlive it. NULL without memory. */
struct publisher *publisher_new(struct loop *loop, struct egress *program, const struct incoming_options *options);
/* Resets connections that are not handed over yet. */
void publisher_free(struct publisher *p);

/* Publishes what is new among the program's TCP listeners, and ends what isn't among them any more. */
void publisher_update(struct publisher *p, const struct diag_socket *sockets, size_t n);
/* The same for one more: of a port that isn't published. */
void publisher_add(struct publisher *p, const struct diag_socket *socket);
bool publisher_has(const struct publisher *p, uint16_t port);
size_t publisher_count(const struct publisher *p);
/* Why the local @port could not be published where listen_ports says; else 0. */
int publisher_error(const struct publisher *p, uint16_t port);
