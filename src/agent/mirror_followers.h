// SPDX-License-Identifier: MIT
/* The subscriptions that the mirroring process knows: of which port each is, its filter, and what is counted for it. */
#pragma once

#include "agent/mirror_message.h"
#include "base/list.h"
#include "http/filter.h"
#include "net/loop.h"
#include "tunnel/subscription.h"

/* One of them. */
struct follower {
	struct list node;
	uint32_t key;
	uint8_t protocol;
	uint16_t port;
	bool removed;  /* it gets no new connections */
	size_t copies; /* the process' */
	struct http_filter *filter; /* NULL: everything */
	size_t body_max;	    /* that it looks at */
	struct http_filter_trouble told;
	uint64_t counts[COUNTERS]; /* that the agent wasn't told of */
};

enum { FOLLOWED_PROTOCOLS = 2, FOLLOWED_PORTS = 65536, FOLLOWED_WORD = 64 };

/* Embedded. */
struct followers {
	struct loop *loop;
	void (*tell)(const struct mirror_message *m);
	struct list all;
	struct deferred tell_counts;
	uint64_t watched[FOLLOWED_PROTOCOLS][FOLLOWED_PORTS / FOLLOWED_WORD];
};

void followers_init(struct followers *fs, struct loop *loop, void (*tell)(const struct mirror_message *m));
/* As MIRROR_ADD says; @filter is the descriptor beside it, or -1. */
void followers_add(struct followers *fs, const struct mirror_message *m, int filter);
struct follower *followers_find(const struct followers *fs, uint32_t key);
/* Does anybody follow the port, those that are removed included? */
bool followers_watch(const struct followers *fs, uint8_t protocol, uint16_t port);
/* Does it get what comes to the port? */
bool follower_wants(const struct follower *f, uint8_t protocol, uint16_t port);
/* There may be one for each request: they are told together, behind the batch. */
void follower_count(struct followers *fs, struct follower *f, enum counter what);
/* It gets nothing new, and nothing is counted for it any more. */
void follower_remove(struct followers *fs, struct follower *f);
/* Frees one that is removed and has no copies any more, and says so. */
void follower_end_if_over(struct followers *fs, struct follower *f);
