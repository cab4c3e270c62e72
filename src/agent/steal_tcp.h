// SPDX-License-Identifier: MIT
/* Stolen TCP connections: accepted, offered to the subscribers of their port in turn, and else passed on to the target's own program. */
#pragma once

#include <stdint.h>

#include "agent/steal_queue.h"
#include "agent/steal_rules.h"
#include "agent/subscriptions.h"
#include "net/loop.h"

struct passes;
struct steal_http;
struct steal_tcp;

struct steal_tcp_events {
	/* Descriptors get scarce: there are enough for those who are in the queue, and no more should come. */
	void (*on_scarce)(void *arg);
	void *arg;
};

/* Opens the listeners. @http takes the connections of ports with a filter. @redirect: as steal_rules_new(). NULL with @err. */
struct steal_tcp *steal_tcp_new(struct loop *loop, const struct subscriptions *subscriptions, struct steal_http *http,
				const struct steal_tcp_events *events, bool redirect, struct error *err);
void steal_tcp_free(struct steal_tcp *t);
/* The port of a listener, 0 when there is none (a host without IPv6). */
uint16_t steal_tcp_port(const struct steal_tcp *t, enum steal_family family);
/* A listener, or -1. */
int steal_tcp_listener(const struct steal_tcp *t, enum steal_family family);
/* Gives the port listeners of its own, as steal_queues_set() does (steal_queue.h); without tproxy there are none. */
void steal_tcp_queue(struct steal_tcp *t, uint16_t port, const struct steal_aim aims[2], uint16_t ret_ports[2]);
/* From now on connections are accepted. @passes stays the caller's. */
int steal_tcp_start(struct steal_tcp *t, struct passes *passes, struct error *err);
/* Whoever waits for this subscriber's answer goes on to the next. It is listed no more. */
void steal_tcp_drop(struct steal_tcp *t, const struct subscriber *s);
/* Accepts what is in the listeners' queues now. Returns how many connections are taken and in nobody else's hands yet: they wait for an answer. */
size_t steal_tcp_accept_waiting(struct steal_tcp *t);
/* True when there are descriptors to spare again. */
bool steal_tcp_can_take(struct steal_tcp *t);
