// SPDX-License-Identifier: MIT
/* What a session wants of the target's incoming traffic, and what the agent says to it (docs/protocol.md, INFO topics 4 to 9).
 *
 * A subscription stands for one port of the target's. The session sends SUBSCRIBE when the program begins to listen, again with the same
 * id when its listeners change, and UNSUBSCRIBE when the last one is gone. The agent answers each SUBSCRIBE with SUBSCRIBED. EXPECT, a byte, may
 * come before: the mode of those that will follow. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "net/addr.h"

enum { INFO_SUBSCRIBE = 4, INFO_UNSUBSCRIBE = 5, INFO_SUBSCRIBED = 6, INFO_COUNTERS = 7, INFO_NOTICE = 8, INFO_EXPECT = 9, INFO_SLOW = 10 };

/* SUBSCRIPTION_CHECK: nothing is subscribed, the agent only says whether it could use the filter and the options, those for all ports. */
enum subscription_mode { SUBSCRIPTION_MIRROR = 1, SUBSCRIPTION_STEAL = 2, SUBSCRIPTION_CHECK = 3 };

/* What becomes of an unfiltered steal of a port that somebody else steals (feature.network.incoming.on_concurrent_steal). */
enum concurrent_steal { CONCURRENT_ABORT = 1, CONCURRENT_CONTINUE = 2, CONCURRENT_OVERRIDE = 3 };

enum { SUBSCRIPTION_LISTENERS = 64, SUBSCRIPTION_NODES = 16, SUBSCRIPTION_FILTER_MAX = 1 << 20, SUBSCRIPTION_WHO_MAX = 255 };

/* A socket that the program listens on: as it is bound in the twin. "Any" is the wildcard address; @v6only says that :: takes no IPv4. */
struct listener {
	struct endpoint at;
	bool v6only, full; /* @full: nobody accepts, and its queue takes no more */
	bool several;	   /* sockets are there, each with a queue (SO_REUSEPORT) */
};

/* All pointers are owned by the struct (subscription_fini). */
struct subscription {
	uint32_t id;	  /* the session's own, never used twice */
	uint8_t protocol; /* IPPROTO_TCP, IPPROTO_UDP */
	uint16_t port;	  /* of the target's; the listeners' may be another (port_mapping) */
	enum subscription_mode mode;
	enum concurrent_steal on_concurrent;
	bool flush;	   /* reset the connections that the target has on this port */
	char *http_filter; /* JSON, the object feature.network.incoming.http_filter; NULL: everything */
	char *http_options; /* JSON, http/options.h; NULL: the defaults */
	char *who;	   /* the session in words, for messages to others: user, machine, program */
	struct listener *listeners;
	size_t n_listeners;
	uint8_t probes;	  /* a set of PROBE_…: of the kubelet's, which stay the target's (http/probe.h) */
	struct ip *nodes; /* addresses that the kubelet asks from */
	size_t n_nodes;
	const struct ip *twin; /* the addresses that the twin has, somebody else's and not sent; NULL: any may be meant */
	size_t n_twin;
};

void subscription_fini(struct subscription *s);
/* Where the connection that @client made to @destination (in the target) is to be delivered in the twin: *ret_local is the address to
 * connect from (the client's own, or a loopback alias of net/loopback.h), *ret_remote where to. The listener is the one that the kernel
 * would choose for @destination with the listener's port; else one on a loopback address of the family, then of the other one. An
 * address that the target has only since the twin was made is delivered to one that both have.
 * False when none of the listeners can take it. */
bool subscription_deliver(const struct subscription *s, const struct endpoint *client,
			  const struct endpoint *destination, struct endpoint *ret_local, struct endpoint *ret_remote);

/* Whether one of the listeners can take what is meant for an address of the family, so that it is worth asking for those. */
bool subscription_takes(const struct subscription *s, bool v4);
/* The listener that gets all of those, and has one queue for them; NULL when there are several, or none. */
const struct listener *subscription_only_listener(const struct subscription *s, bool v4);
/* It could, but all those listeners are full. */
bool subscription_is_full(const struct subscription *s, bool v4);

/* Encoded bytes are the caller's; NULL without memory. Decoders: 0, or -1 with @err; unknown fields are passed over. */
uint8_t *subscription_encode(const struct subscription *s, size_t *ret_len);
int subscription_decode(const uint8_t *data, size_t len, struct subscription *ret, struct error *err);

enum { UNSUBSCRIBE_LEN = 4 };
size_t unsubscribe_encode(uint32_t id, uint8_t ret[UNSUBSCRIBE_LEN]);
int unsubscribe_decode(const uint8_t *data, size_t len, uint32_t *ret_id, struct error *err);

/* SUBSCRIBED. @refused is set, with the reason and advice in words, when the port isn't subscribed. */
struct subscribed {
	uint32_t id;
	struct error refused;
};
uint8_t *subscribed_encode(const struct subscribed *s, size_t *ret_len);
int subscribed_decode(const uint8_t *data, size_t len, struct subscribed *ret, struct error *err);

/* NOTICE: a line for the user, sent as it is. What is longer is cut, control characters are replaced. */
enum { NOTICE_MAX = 1023 };
void notice_decode(const uint8_t *data, size_t len, char ret[NOTICE_MAX + 1]);

/* COUNTERS: totals since the session began (counter.def). Those that a peer doesn't know are passed over. From the session, empty: it asks for
 * them now. */
enum counter {
#define COUNTER(NAME, number, text) COUNTER_##NAME = (number),
#include "tunnel/counter.def"
#undef COUNTER
};
enum { COUNTERS = 64, COUNTERS_MAX = COUNTERS * 10 }; /* numbers are below; bytes of a message */
/* Those that are 0 are left out. */
size_t counters_encode(const uint64_t totals[COUNTERS], uint8_t *ret, size_t size);
int counters_decode(const uint8_t *data, size_t len, uint64_t ret_totals[COUNTERS], struct error *err);
const char *counter_text(unsigned int number); /* NULL: unknown */
