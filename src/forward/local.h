// SPDX-License-Identifier: MIT
/* -L: a place on this machine from which connections or datagrams go on from the target. */
#pragma once

#include <stdbool.h>

#include "forward/lookup.h"
#include "forward/rule.h"
#include "net/loop.h"
#include "relay/egress.h"

struct local;

/* What it works with; all outlives it. Both point to NULL while there is no agent. */
struct local_context {
	struct loop *loop;
	struct egress **target;
	struct lookup **lookup;
};

struct local_ops {
	/* Listens at once; the rule gets what is so: the port in place of 0, the family that there is. It stays the caller's and outlives it. NULL
	 * with @err. */
	struct local *(*listen)(const struct local_context *c, struct forward_rule *rule, struct error *err);
	/* The agent is there: connections that have waited are served, too. Or it is gone, before its egress is: what needed it ends. */
	void (*set_agent)(struct local *l, bool there);
	void (*free)(struct local *l);
};

/* First member of each kind. */
struct local {
	const struct local_ops *ops;
};

extern const struct local_ops local_tcp, local_udp;

/* A bound socket, non-blocking, of @type (SOCK_STREAM, SOCK_DGRAM) for the rule, whose port 0 becomes the real one, and whose [::] becomes
 * 0.0.0.0 where the kernel has no IPv6. -1 with @err. */
int local_bind(struct forward_rule *rule, int type, struct error *err);
/* Says on stderr why something didn't reach where the rule leads; not a thousand times a second. */
void local_complain(const struct forward_rule *rule, const char *why);
