// SPDX-License-Identifier: MIT
/* Connections to the target's own program in a client's name: what the agent took and nobody wants goes where it would have gone.
 *
 * They come from the client's own address. Their port is another one, since the client's stands for its connection to us. */
#pragma once

#include "net/loop.h"
#include "relay/egress.h"

struct passes;
struct steal_rules;

/* The rules stay the caller's and outlive it. NULL with @err. */
struct passes *passes_new(struct loop *loop, struct steal_rules *rules, struct error *err);
/* Resets what is left. */
void passes_free(struct passes *p);
/* As egress_ops.dial, from @client's address to @destination. The dial is joined, taken or abandoned as any other. */
int passes_dial(struct passes *p, const struct endpoint *client, const struct endpoint *destination, dial_done_fn done, void *arg,
		struct dial **ret_dial);
/* True while packets of one of them may still come. */
bool passes_busy(struct passes *p);
/* True when the connection of the target's program with those ends is one of ours. */
bool passes_has(const struct passes *p, const struct endpoint *client, const struct endpoint *destination);
