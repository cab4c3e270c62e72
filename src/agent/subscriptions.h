// SPDX-License-Identifier: MIT
/* What the sessions want of the target's ports, in order of subscription, and who acts on it: steal, mirror, the HTTP filter.
 *
 * A watcher is told of each subscriber that comes, changes and goes. It may refuse one that comes. Traffic asks by port: subscribers_of(). */
#pragma once

#include <stdint.h>
#include <time.h>

#include "base/list.h"
#include "base/table.h"
#include "tunnel/subscription.h"

struct client;
struct subscriptions;

/* Of one session's at a time: how many, and the bytes of their filters and options. */
enum { SUBSCRIPTIONS_MAX = 4096, SUBSCRIPTIONS_TEXT_MAX = 64 << 20 };

/* A client's subscribers, the oldest first. */
struct subscriber_set {
	struct list all;
	struct table by_id;
	size_t text; /* bytes */
};

/* One session's wish. Valid until the watchers' on_remove returns. */
struct subscriber {
	struct list of_port;   /* among those of its protocol and port, the oldest first */
	struct subscriber_set *set; /* its client's */
	struct list of_client;	    /* in it, as is: */
	struct table_node by_id;
	struct client *client;
	struct subscription want;
	time_t since;
};

struct subscriptions_watcher {
	struct list node;
	/* It is listed already. -1 with @err refuses it; then those that were told before hear on_remove. May be NULL, as the others. */
	int (*on_add)(struct subscriptions_watcher *w, struct subscriber *s, struct error *err);
	/* The listeners are others now, and nothing else. */
	void (*on_change)(struct subscriptions_watcher *w, struct subscriber *s);
	/* It isn't listed any more. What refers to it lets go; connections that were handed over go on. */
	void (*on_remove)(struct subscriptions_watcher *w, struct subscriber *s);
	/* All of the client's are gone, and its programs have ended: nobody reads any more what was handed over. */
	void (*on_client_end)(struct subscriptions_watcher *w, const struct client *c);
	/* It will have subscriptions of that mode: what takes a while may be made ready until its end. */
	void (*on_expect)(struct subscriptions_watcher *w, const struct client *c, enum subscription_mode mode);
};

/* A subscription that the registry itself ends, since another takes its place. It has gone when this is called. */
typedef void (*subscription_lost_fn)(struct client *c, uint32_t id, const struct error *why);

/* NULL without memory. Watchers are told in the order in which they were added; they are there before the first subscriber. */
struct subscriptions *subscriptions_new(subscription_lost_fn on_lost);
void subscriptions_free(struct subscriptions *r);
void subscriptions_watch(struct subscriptions *r, struct subscriptions_watcher *w);

/* Returns 0 or -ENOMEM. It is empty when it is freed. */
int subscriber_set_init(struct subscriber_set *set);
void subscriber_set_fini(struct subscriber_set *set);
size_t subscriber_set_count(const struct subscriber_set *set);

/* Adds, or changes the one with that id in @set, which is @client's; owns what @want points to, always. Returns 0, or -1 with @err: then there is
 * none with that id. */
int subscriptions_put(struct subscriptions *r, struct client *client, struct subscriber_set *set, struct subscription *want, struct error *err);
/* Does nothing when there is none with that id. */
void subscriptions_drop(struct subscriptions *r, struct subscriber_set *set, uint32_t id);
/* Ends all in @set. */
void subscriptions_drop_all(struct subscriptions *r, struct subscriber_set *set);
/* The same when @client's programs have ended, too. */
void subscriptions_end_client(struct subscriptions *r, const struct client *client, struct subscriber_set *set);
/* What the watchers made of those in @set depends on more than these: they are told of a change of each. */
void subscriptions_look_again(struct subscriptions *r, struct subscriber_set *set);
/* @client says what it will want. */
void subscriptions_expect(struct subscriptions *r, const struct client *client, enum subscription_mode mode);

/* The first subscriber of a port, NULL when there is none; and the one after @s. */
struct subscriber *subscribers_of(const struct subscriptions *r, uint8_t protocol, uint16_t port);
struct subscriber *subscribers_next(const struct subscriptions *r, const struct subscriber *s);
/* Takes what is left over; HTTP filters take a part. */
bool subscriber_is_steal_of_all(const struct subscriber *s);
