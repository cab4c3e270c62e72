// SPDX-License-Identifier: MIT
/* The nftables rules that give the agent the target's new connections. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "net/addr.h"

struct steal_rules;
struct steal_lookup;

/* Ports of the agent's listeners, by enum steal_family; 0 where there is none. */
enum steal_family { STEAL_V4, STEAL_V6 };
struct steal_listeners {
	uint16_t tcp[2], udp[2];
};

/* The rules are there, for no port yet, until they are freed or this process dies. @redirect: without tproxy, by NAT. @lookup, the caller's, is
 * told the same; or NULL. NULL with @err. */
struct steal_rules *steal_rules_new(const struct steal_listeners *listeners, bool redirect, struct steal_lookup *lookup, struct error *err);
void steal_rules_free(struct steal_rules *r);
/* What of a port is the agent's: new connections to it, or datagrams for it. */
struct steal_port {
	uint8_t protocol;
	uint16_t port;
	bool taken[2]; /* by enum steal_family; */
	bool full[2];  /* nobody is answered for now, */
	uint16_t own[2]; /* by family: port of the listener that it has for itself (steal_queue.h), or 0 */
	struct ip *left; /* but not at these addresses, which are the target's */
	size_t n_left;
};
/* From now on. Returns 0, or -1 with @err: then all is as it was. */
int steal_rules_set(struct steal_rules *r, const struct steal_port *p, struct error *err);
/* While paused, none of the ports is the agent's. */
void steal_rules_pause(struct steal_rules *r, bool on);

/* A connection of the agent's from there is about to be made, in a client's name, or is over. */
void steal_rules_pass(struct steal_rules *r, const struct endpoint *from, bool on);

/* A connection of the agent's in a client's name. What its packets mean to the rules ends with steal_rules_forget(). */
struct pass_key {
	struct endpoint client, destination;
};
enum { FORGET_MAX = 256 };
void steal_rules_forget(struct steal_rules *r, const struct pass_key *keys, size_t n);
