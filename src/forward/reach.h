// SPDX-License-Identifier: MIT
/* A connection to the first of several addresses that takes one. */
#pragma once

#include "net/loop.h"
#include "relay/egress.h"

enum { REACH_ADDRESSES = 8 };

/* Embedded; set all above the line, and zero the rest. */
struct reach {
	struct loop *loop;
	struct egress *egress;
	struct ip ips[REACH_ADDRESSES];
	size_t n;
	uint16_t port;
	dial_done_fn done; /* as of egress_ops.dial; the dial is in @dial */
	void *arg;
	/* ─── */
	size_t at; /* the address that is tried, or was reached */
	struct dial *dial;
	struct timer timer;
};

/* The first REACH_ADDRESSES of @ips are noted. */
void reach_set_addresses(struct reach *r, const struct ip *ips, size_t n);
/* Returns 0, EINPROGRESS or the errno of the last address that was tried, as egress_ops.dial does. */
int reach_start(struct reach *r);
/* In any state; nothing comes any more, and what is connected is reset. A dial that was joined or taken must have been set to NULL. */
void reach_abandon(struct reach *r);
