// SPDX-License-Identifier: MIT
/* Addresses of the names in the outgoing filter, looked up by the session itself now and then: for destinations of which no answer to the program
 * told. Nobody ever waits for it. */
#pragma once

#include "net/loop.h"
#include "relay/egress.h"
#include "session/dns_rules.h"
#include "session/names.h"
#include "session/resolver.h"
#include "session/route.h"

struct background;

/* All stays the caller's and outlives it. */
struct background_context {
	struct loop *loop;
	const struct route_rules *rules;
	const struct dns_rules *dns;
	bool remote_dns;
	struct names *names;
	struct resolver *resolver; /* of this machine; NULL: its names are not looked up */
	struct egress **target;	   /* may become NULL when the session fails */
	const struct ip *server;   /* a name server of the target's; NULL: its names are not looked up */
};

/* @hosts: the target's hosts file, or NULL; names in it are known at once. NULL without memory. */
struct background *background_new(const struct background_context *context, const char *hosts);
/* No lookup goes on. */
/* The target is about to be reached another way. */
void background_move(struct background *b);
void background_free(struct background *b);
