// SPDX-License-Identifier: MIT
/* An accepted connection that may be a probe of the kubelet's, until its first bytes have told. They are looked at where they are, in the
 * kernel: whoever gets the connection then gets all of them. */
#pragma once

#include "http/probe.h"
#include "net/loop.h"

struct probe_hold {
	struct loop *loop;
	struct watch watch;
	struct timer timer;
	unsigned int kinds;
	bool from_node;
	void (*on_known)(struct probe_hold *h, enum probe is);
};

/* The owner fills in all but watch and timer, which are zero. on_known is called once, never from here, and never with PROBE_MORE; a client that
 * says nothing for HOLD_TIME is none. @fd stays the owner's. Returns 0 or -errno. */
int probe_hold_start(struct probe_hold *h, int fd);
/* on_known won't be called. */
void probe_hold_stop(struct probe_hold *h);
