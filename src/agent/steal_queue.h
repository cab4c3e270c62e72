// SPDX-License-Identifier: MIT
/* Listeners of the agent's for single ports, each with as much room as the queue of the program's own listener has. */
#pragma once

#include <stdint.h>

#include "agent/steal_rules.h"
#include "net/addr.h"
#include "net/loop.h"

struct sock_diag;
struct steal_queue;
struct steal_queues;

struct steal_queues_events {
	/* @fd is its own. Sooner or later steal_queue_arrived() follows, unless @closed came before. */
	void (*on_accepted)(void *arg, struct steal_queue *q, int fd, const struct endpoint *client);
	void (*on_scarce)(void *arg);
	/* It is no more. */
	void (*on_closed)(void *arg, struct steal_queue *q);
	void *arg;
};

/* A listener of the program's, and whom to ask about it: the kernel of its twin, by a socket that isn't owned and there until another place is
 * named. NULL: there is none. */
struct steal_aim {
	struct sock_diag *twin;
	struct endpoint listener;
};

/* @ipv6: the host has it. NULL without memory. */
struct steal_queues *steal_queues_new(struct loop *loop, bool ipv6, const struct steal_queues_events *events);
void steal_queues_free(struct steal_queues *s);
/* From now on the target's @port has those, by family (one for both where that is the program's), and the kernel is asked. @ret_ports: where they
 * listen, at AGENT_ADDRESS4 (steal_rules.h); 0: none. Those before go on to take who is on the way, and end. */
void steal_queues_set(struct steal_queues *s, uint16_t port, const struct steal_aim aims[2], uint16_t ret_ports[2]);
/* What is in the queues now, as far as there is room. */
void steal_queues_accept(struct steal_queues *s);

/* A connection of its, or the attempt at one, is in the program's queue, or over. */
void steal_queue_arrived(struct steal_queue *q);
/* Where it listens itself. */
const struct endpoint *steal_queue_at(const struct steal_queue *q);
