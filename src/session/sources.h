// SPDX-License-Identifier: MIT
/* The agents that are asked for the program's incoming traffic: the target's, or with all replicas one for each pod. What the program listens on is
 * wanted of all of them. */
#pragma once

#include "base/list.h"
#include "session/wants.h"
#include "tunnel/subscription.h"

struct source {
	struct list node;
	struct wants *wants; /* NULL: it was left, and only counts */
	struct mux **mux;
	uint64_t counters[COUNTERS]; /* the agent's last word */
	uint64_t asked;		     /* how often that was asked for */
};

struct sources {
	struct list all;
	struct list left; /* agents that others follow: what is open there goes on */
	uint64_t before[COUNTERS]; /* counted by agents that are gone */
	bool awaited;		   /* there will be more: until then what is wanted is asked for */
	bool used;		   /* something was subscribed at one that is gone */
};

void sources_init(struct sources *s);
/* The arguments are wants_new()'s. NULL without memory. */
struct source *sources_add(struct sources *s, struct mux **mux, const struct incoming_options *options, const struct kube_probes *probes);
/* Its agent is lost, or it is told nothing more. */
void sources_drop(struct sources *s, struct source *source);
void sources_fini(struct sources *s);

/* Another agent is behind @source's mux. The one before is behind @old still, and what is returned stands for it until it is dropped; NULL: it is
 * gone (@old is NULL), or there is no memory. */
struct source *sources_move(struct sources *s, struct source *source, struct mux **old);

/* As in wants.h, for all of them. */
void sources_update(struct sources *s, struct wanted *wanted, size_t n);
void sources_add_wanted(struct sources *s, const struct wanted *wanted);
void sources_retry(struct sources *s, int protocol, uint16_t port);
/* All have it. */
bool sources_has(const struct sources *s, int protocol, uint16_t port);
bool sources_listens(const struct sources *s, int protocol, uint16_t local_port);
bool sources_used(const struct sources *s);
size_t sources_count(const struct sources *s);
/* EADDRINUSE when none gives the port. */
int sources_state(const struct sources *s, int protocol, uint16_t port);

/* INFO_COUNTERS of one; and what all have counted. */
void sources_on_counters(struct source *source, const uint8_t *data, size_t len);
/* Asks all for it; have all answered, who are there still? */
void sources_ask_counters(struct sources *s);
bool sources_have_told(const struct sources *s);
uint64_t sources_counter(const struct sources *s, unsigned int counter);
