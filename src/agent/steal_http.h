// SPDX-License-Identifier: MIT
/* HTTP filters of stolen ports: which sessions have a say in a connection, and the connections on ports where a filter has one. */
#pragma once

#include <stdbool.h>

#include "agent/subscriptions.h"
#include "net/loop.h"

struct passes;
struct steal_http;

/* @root: the target's root directory, the caller's, or -1. NULL without memory. */
struct steal_http *steal_http_new(struct loop *loop, int root);
/* Subscribers are gone by then. */
void steal_http_free(struct steal_http *h);
/* A steal of a TCP port, with a filter or without, joins those of its port. -1 with @err: the filter is none. */
int steal_http_add(struct steal_http *h, struct subscriber *s, struct error *err);
/* Does nothing for one that isn't there. */
void steal_http_remove(struct steal_http *h, const struct subscriber *s);
/* Whether the agent could use the filter and the options, those for all ports. */
int steal_http_check(const struct steal_http *h, const struct subscription *want, struct error *err);
/* Whether it takes connections of the port. */
bool steal_http_has(const struct steal_http *h, uint16_t port);
/* Connections that it serves. */
size_t steal_http_count(void);
/* An accepted connection. */
struct steal_taken {
	int fd;
	struct endpoint client, destination;
	bool keeps_probes, probing; /* as in struct http_peers */
};
/* Takes it over when a filter is on its port, or it is @probing, and passes what nobody wants by @passes. False: it is none of ours. */
bool steal_http_take(struct steal_http *h, struct passes *passes, const struct steal_taken *taken);
