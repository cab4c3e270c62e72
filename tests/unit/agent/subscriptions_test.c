// SPDX-License-Identifier: MIT
/* The registry of subscriptions: order, rivals, watchers that refuse. */
#include "agent/subscriptions.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "tap.h"

/* Stands for a session; the registry knows it by its address alone. */
struct client {
	struct subscriber_set subscribers;
	char name[16];
	uint32_t lost; /* the id that it lost last */
	struct error why;
};

/* Writes down what it is told. */
struct watcher {
	struct subscriptions_watcher base;
	const char *name;
	uint16_t refused_port;
};

static char told[1024];

static void tell(const struct subscriptions_watcher *w, const char *what, const struct subscriber *s)
{
	size_t used = strlen(told);

	snprintf(told + used, sizeof(told) - used, "%s%s:%s %u", used ? ", " : "", ((const struct watcher *)(const void *)w)->name, what,
		 s->want.port);
}

static int on_add(struct subscriptions_watcher *w, struct subscriber *s, struct error *err)
{
	tell(w, "add", s);
	return s->want.port == ((struct watcher *)(void *)w)->refused_port ? error_set(err, 0, "not that one") : 0;
}

static void on_change(struct subscriptions_watcher *w, struct subscriber *s)
{
	tell(w, "change", s);
}

static void on_remove(struct subscriptions_watcher *w, struct subscriber *s)
{
	tell(w, "remove", s);
}

static void on_lost(struct client *c, uint32_t id, const struct error *why)
{
	c->lost = id;
	c->why = *why;
}

static void client_init(struct client *c, const char *name)
{
	*c = (struct client){ 0 };
	snprintf(c->name, sizeof(c->name), "%s", name);
	if (subscriber_set_init(&c->subscribers) < 0)
		abort();
}

struct wish {
	uint32_t id;
	uint16_t port;
	enum subscription_mode mode;
	enum concurrent_steal on_concurrent;
	const char *filter;
	uint8_t protocol;
};

static int put(struct subscriptions *r, struct client *c, const struct wish *w, struct error *err)
{
	struct subscription want = { .id = w->id, .protocol = w->protocol ? w->protocol : IPPROTO_TCP, .port = w->port, .mode = w->mode,
				     .on_concurrent = w->on_concurrent, .who = strdup(c->name) };

	*err = (struct error){ 0 };
	if (w->filter)
		want.http_filter = strdup(w->filter);
	return subscriptions_put(r, c, &c->subscribers, &want, err);
}

/* "ann bob": whose they are, in order. */
static const char *order(const struct subscriptions *r, uint16_t port)
{
	static char text[256];

	text[0] = '\0';
	for (struct subscriber *s = subscribers_of(r, IPPROTO_TCP, port); s; s = subscribers_next(r, s))
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", text[0] ? " " : "", s->client->name);
	return text;
}

static void test_rivals(void)
{
	static const struct wish mirror = { 1, 80, SUBSCRIPTION_MIRROR, CONCURRENT_ABORT, NULL, 0 };
	static const struct wish steal = { 2, 80, SUBSCRIPTION_STEAL, CONCURRENT_ABORT, NULL, 0 };
	static const struct wish filtered = { 3, 80, SUBSCRIPTION_STEAL, CONCURRENT_ABORT, "{}", 0 };
	static const struct wish behind = { 4, 80, SUBSCRIPTION_STEAL, CONCURRENT_CONTINUE, NULL, 0 };
	static const struct wish instead = { 5, 80, SUBSCRIPTION_STEAL, CONCURRENT_OVERRIDE, NULL, 0 };
	static const struct wish udp = { 6, 80, SUBSCRIPTION_STEAL, CONCURRENT_ABORT, NULL, IPPROTO_UDP };
	struct subscriptions *r = subscriptions_new(on_lost);
	struct client ann, bob, cid;
	struct error err;

	client_init(&ann, "ann");
	client_init(&bob, "bob");
	client_init(&cid, "cid");
	tap_int(put(r, &ann, &mirror, &err), 0, "a mirror");
	tap_int(put(r, &bob, &mirror, &err), 0, "another");
	tap_int(put(r, &ann, &steal, &err), 0, "a steal beside them");
	tap_int(put(r, &bob, &filtered, &err), 0, "a filtered steal");
	tap_int(put(r, &bob, &udp, &err), 0, "a steal of the same port of UDP");
	tap_int(put(r, &bob, &steal, &err), -1, "a second steal of all");
	tap_ok(strstr(err.text, "TCP port 80 is stolen by ann since 20"), "is refused with the first one's name and time: %s", err.text);
	tap_ok(strstr(err.hint, "on_concurrent_steal"), "and with advice");
	tap_str(order(r, 80), "ann bob ann bob", "in order of subscription");
	tap_int(put(r, &cid, &behind, &err), 0, "one that stands behind");
	tap_int(put(r, &cid, &instead, &err), 0, "one that takes over");
	tap_str(order(r, 80), "ann bob bob cid", "the steals of all before it have gone");
	tap_int(ann.lost, 2, "whose it was hears of it");
	tap_str(ann.why.text, "TCP port 80 was taken over by cid", "and why");
	tap_int(cid.lost, 4, "also of one that stood behind");
	subscriptions_end_client(r, (const struct client *)(const void *)&bob, &bob.subscribers);
	tap_str(order(r, 80), "ann cid", "a session that went");
	tap_ok(!subscriber_set_count(&bob.subscribers), "has none");
	subscriptions_drop(r, &ann.subscribers, 99);
	subscriptions_drop(r, &ann.subscribers, 1);
	subscriptions_drop(r, &cid.subscribers, 5);
	tap_ok(!subscribers_of(r, IPPROTO_TCP, 80), "the last one goes");
	tap_ok(!subscriber_set_count(&ann.subscribers) && !subscriber_set_count(&cid.subscribers), "none is left");
	subscriber_set_fini(&ann.subscribers);
	subscriber_set_fini(&bob.subscribers);
	subscriber_set_fini(&cid.subscribers);
	subscriptions_free(r);
}

static void test_watchers(void)
{
	static const struct wish steal = { 1, 80, SUBSCRIPTION_STEAL, CONCURRENT_ABORT, NULL, 0 };
	static const struct wish moved = { 1, 81, SUBSCRIPTION_STEAL, CONCURRENT_ABORT, NULL, 0 };
	static const struct wish refused = { 2, 90, SUBSCRIPTION_STEAL, CONCURRENT_ABORT, NULL, 0 };
	static const struct wish refused_again = { 1, 90, SUBSCRIPTION_STEAL, CONCURRENT_ABORT, NULL, 0 };
	struct watcher a = { { .on_add = on_add, .on_change = on_change, .on_remove = on_remove }, "a", 0 };
	struct watcher b = { { .on_add = on_add, .on_change = on_change, .on_remove = on_remove }, "b", 90 };
	struct watcher silent = { { .on_add = NULL }, "-", 0 };
	struct subscriptions *r = subscriptions_new(on_lost);
	struct client ann;
	struct error err;

	client_init(&ann, "ann");
	subscriptions_watch(r, &a.base);
	subscriptions_watch(r, &silent.base);
	subscriptions_watch(r, &b.base);
	tap_int(put(r, &ann, &steal, &err), 0, "a subscription");
	tap_int(put(r, &ann, &steal, &err), 0, "the same again");
	tap_str(told, "a:add 80, b:add 80, a:change 80, b:change 80", "is a change of its listeners");
	told[0] = '\0';
	subscriptions_look_again(r, &ann.subscribers);
	tap_str(told, "a:change 80, b:change 80", "as is what else they depend on");
	told[0] = '\0';
	tap_int(put(r, &ann, &moved, &err), 0, "the same id with another port");
	tap_str(told, "a:remove 80, b:remove 80, a:add 81, b:add 81", "is another one");
	told[0] = '\0';
	tap_int(put(r, &ann, &refused, &err), -1, "one that a watcher refuses");
	tap_str(err.text, "not that one", "with its reason");
	tap_str(told, "a:add 90, b:add 90, a:remove 90", "those before it are told");
	tap_ok(!subscribers_of(r, IPPROTO_TCP, 90), "and it isn't there");
	tap_int(put(r, &ann, &refused_again, &err), -1, "one that becomes one that is refused");
	tap_ok(!subscriber_set_count(&ann.subscribers), "has gone");
	told[0] = '\0';
	subscriber_set_fini(&ann.subscribers);
	subscriptions_free(r);
}

/* Two sessions number theirs as they like. */
static void test_many(void)
{
	enum { MANY = 2000, ODD = 777 };
	struct subscriptions *r = subscriptions_new(on_lost);
	struct client ann, bob;
	struct error err;
	int refused = 0;

	client_init(&ann, "ann");
	client_init(&bob, "bob");
	for (uint32_t i = 1; i <= MANY; i++) {
		const struct wish steal = { i, (uint16_t)i, SUBSCRIPTION_STEAL, CONCURRENT_ABORT, NULL, 0 };
		const struct wish mirror = { MANY - i, (uint16_t)i, SUBSCRIPTION_MIRROR, CONCURRENT_ABORT, NULL, 0 };

		refused += put(r, &ann, &steal, &err) < 0 || put(r, &bob, &mirror, &err) < 0;
	}
	tap_int(refused, 0, "two thousand ports of two sessions");
	tap_int((int)subscriber_set_count(&ann.subscribers), MANY, "are all there");
	tap_str(order(r, ODD), "ann bob", "each of both");
	subscriptions_drop(r, &ann.subscribers, ODD);
	tap_str(order(r, ODD), "bob", "one that goes");
	tap_str(order(r, MANY - ODD), "ann bob", "isn't the other's of the same number");
	subscriptions_drop_all(r, &ann.subscribers);
	tap_int((int)subscriber_set_count(&ann.subscribers), 0, "all of a session go");
	tap_int((int)subscriber_set_count(&bob.subscribers), MANY, "and the other's stay");
	subscriptions_drop_all(r, &bob.subscribers);
	subscriber_set_fini(&ann.subscribers);
	subscriber_set_fini(&bob.subscribers);
	subscriptions_free(r);
}

/* What one session may have: ports, and bytes of filters. What it has already may change all the same. */
static void test_bounds(void)
{
	enum { LARGE = SUBSCRIPTION_FILTER_MAX, FIT = SUBSCRIPTIONS_TEXT_MAX / LARGE };
	struct subscriptions *r = subscriptions_new(on_lost);
	char *large = malloc(LARGE + 1);
	struct wish w = { 1, 1, SUBSCRIPTION_STEAL, CONCURRENT_ABORT, NULL, 0 };
	struct client ann;
	struct error err;
	int good = 0;

	client_init(&ann, "ann");
	memset(large, 'x', LARGE);
	large[LARGE] = '\0';
	for (; w.id <= SUBSCRIPTIONS_MAX; w.id++, w.port++)
		good += put(r, &ann, &w, &err) == 0;
	tap_int(good, SUBSCRIPTIONS_MAX, "as many ports as a session may have");
	tap_int(put(r, &ann, &w, &err), -1, "and one more");
	tap_str(err.text, "no more than 4096 ports can be subscribed", "why not");
	w.id = w.port = 7;
	tap_int(put(r, &ann, &w, &err), 0, "one of them changes");
	tap_int((int)subscriber_set_count(&ann.subscribers), SUBSCRIPTIONS_MAX, "and all are there");
	subscriptions_drop_all(r, &ann.subscribers);
	w.filter = large;
	for (w.id = 1, good = 0; w.id <= FIT; w.id++)
		good += put(r, &ann, &w, &err) == 0;
	tap_int(good, FIT, "as much of filters");
	tap_int(put(r, &ann, &w, &err), -1, "and one more");
	tap_str(err.text, "the filters and options of all ports are more than 64 MiB", "why not");
	w.id = 1;
	large[0] = 'y';
	tap_int(put(r, &ann, &w, &err), 0, "one of them becomes another");
	subscriptions_drop(r, &ann.subscribers, 2);
	w.id = FIT + 1;
	tap_int(put(r, &ann, &w, &err), 0, "one goes, and there is room again");
	subscriptions_drop_all(r, &ann.subscribers);
	tap_int((int)ann.subscribers.text, 0, "none is left");
	subscriber_set_fini(&ann.subscribers);
	subscriptions_free(r);
	free(large);
}

int main(void)
{
	test_rivals();
	test_watchers();
	test_many();
	test_bounds();
	return tap_done();
}
