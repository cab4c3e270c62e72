// SPDX-License-Identifier: MIT
/* Datagrams that follow each other from one port to one peer, and leave with one system call. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/addr.h"
#include "net/packet.h"

struct train;
struct socket_port;

struct train *train_new(void);
void train_free(struct train *t);
/* A datagram that was sent: more of its kind in this turn of the loop may follow as a train. */
void train_open(struct train *t, struct socket_port *p, const struct endpoint *to, struct packet_marks marks, size_t len);
/* Takes a copy of the datagram when it may follow; it leaves with the train, at the end of the turn at the latest. Otherwise what was
 * taken leaves now, and false: the caller sends this one. */
bool train_add(struct train *t, struct socket_port *p, const struct endpoint *to, struct packet_marks marks, const void *data, size_t len);
/* What was taken for @p leaves now; it is about to lose its socket. */
void train_leave(struct train *t, const struct socket_port *p);
