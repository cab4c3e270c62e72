// SPDX-License-Identifier: MIT
/* The registry of subscriptions.
 *
 * One port may have many subscribers: mirrors see all, filtered steals take what matches, the first of them first, and one steal without a
 * filter takes the rest. A second steal of all is refused, or by its own wish ends the first, or stands behind it and takes over
 * when that one goes. */
#include "agent/subscriptions.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* The subscribers of one protocol and port; there while there are some. */
struct place {
	struct table_node node;
	struct list subscribers;
	uint32_t key;
};

struct subscriptions {
	struct table places;
	struct list watchers;
	subscription_lost_fn on_lost;
};

static uint32_t key_of(uint8_t protocol, uint16_t port)
{
	return (uint32_t)protocol << 16 | port;
}

static bool equal(const struct table_node *node, const void *key)
{
	return memcmp(&container_of(node, struct place, node)->key, key, sizeof(uint32_t)) == 0;
}

static struct place *place_find(const struct subscriptions *r, uint8_t protocol, uint16_t port)
{
	uint32_t key = key_of(protocol, port);
	struct table_node *node = table_find(&r->places, &key, sizeof(key));

	return node ? container_of(node, struct place, node) : NULL;
}

static struct place *place_get(struct subscriptions *r, uint8_t protocol, uint16_t port)
{
	struct place *p = place_find(r, protocol, port);

	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->key = key_of(protocol, port);
	list_init(&p->subscribers);
	table_add(&r->places, &p->node, &p->key, sizeof(p->key));
	return p;
}

static void place_tidy(struct subscriptions *r, struct place *p)
{
	if (!list_empty(&p->subscribers))
		return;
	table_remove(&r->places, &p->node);
	free(p);
}

static bool id_equal(const struct table_node *node, const void *key)
{
	return container_of(node, struct subscriber, by_id)->want.id == *(const uint32_t *)key;
}

int subscriber_set_init(struct subscriber_set *set)
{
	list_init(&set->all);
	return table_init(&set->by_id, id_equal);
}

void subscriber_set_fini(struct subscriber_set *set)
{
	table_fini(&set->by_id);
}

size_t subscriber_set_count(const struct subscriber_set *set)
{
	return set->by_id.n;
}

struct subscriptions *subscriptions_new(subscription_lost_fn on_lost)
{
	struct subscriptions *r = calloc(1, sizeof(*r));

	if (!r || table_init(&r->places, equal) < 0) {
		free(r);
		return NULL;
	}
	list_init(&r->watchers);
	r->on_lost = on_lost;
	return r;
}

void subscriptions_free(struct subscriptions *r)
{
	if (!r)
		return;
	table_fini(&r->places);
	free(r);
}

void subscriptions_watch(struct subscriptions *r, struct subscriptions_watcher *w)
{
	list_append(&r->watchers, &w->node);
}

/* Bytes of JSON. */
static size_t text_of(const struct subscription *s)
{
	return (s->http_filter ? strlen(s->http_filter) : 0) + (s->http_options ? strlen(s->http_options) : 0);
}

/* Unlists it, tells the watchers before @until (NULL: all), and frees it. */
static void take_out(struct subscriptions *r, struct subscriber *s, const struct list *until)
{
	struct place *p = place_find(r, s->want.protocol, s->want.port);

	list_remove(&s->of_port);
	list_remove(&s->of_client);
	table_remove(&s->set->by_id, &s->by_id);
	s->set->text -= text_of(&s->want);
	for (struct list *n = r->watchers.next; n != &r->watchers && n != until; n = n->next) {
		struct subscriptions_watcher *w = container_of(n, struct subscriptions_watcher, node);

		if (w->on_remove)
			w->on_remove(w, s);
	}
	place_tidy(r, p);
	subscription_fini(&s->want);
	free(s);
}

/* The steal of all that keeps @want out, NULL when none does. */
static struct subscriber *find_rival(const struct subscriptions *r, const struct subscription *want)
{
	if (want->mode != SUBSCRIPTION_STEAL || want->http_filter)
		return NULL;
	for (struct subscriber *s = subscribers_of(r, want->protocol, want->port); s; s = subscribers_next(r, s))
		if (subscriber_is_steal_of_all(s))
			return s;
	return NULL;
}

static const char *protocol_name(const struct subscription *s)
{
	return s->protocol == IPPROTO_UDP ? "UDP" : "TCP";
}

static const char *name_of(const struct subscription *s)
{
	return s->who && s->who[0] ? s->who : "another session";
}

static int refuse(const struct subscriber *rival, struct error *err)
{
	char since[64];
	struct tm tm;

	strftime(since, sizeof(since), "%F %T %z", localtime_r(&rival->since, &tm));
	error_set(err, 0, "%s port %u is stolen by %s since %s", protocol_name(&rival->want), rival->want.port, name_of(&rival->want),
		  since);
	return error_hint(err, "steal a part with feature.network.incoming.http_filter, mirror it, or set "
			       "feature.network.incoming.on_concurrent_steal to \"override\" or \"continue\"");
}

static void displace(struct subscriptions *r, struct subscriber *rival, const struct subscription *by)
{
	struct client *client = rival->client;
	uint32_t id = rival->want.id;
	struct error why = { 0 };

	error_set(&why, 0, "%s port %u was taken over by %s", protocol_name(by), by->port, name_of(by));
	take_out(r, rival, NULL);
	r->on_lost(client, id, &why);
}

static int settle_rivalry(struct subscriptions *r, const struct subscription *want, struct error *err)
{
	struct subscriber *rival;

	while ((rival = find_rival(r, want)) && want->on_concurrent != CONCURRENT_CONTINUE) {
		if (want->on_concurrent != CONCURRENT_OVERRIDE)
			return refuse(rival, err);
		displace(r, rival, want);
	}
	return 0;
}

static int announce(struct subscriptions *r, struct subscriber *s, struct error *err)
{
	for (struct list *n = r->watchers.next; n != &r->watchers; n = n->next) {
		struct subscriptions_watcher *w = container_of(n, struct subscriptions_watcher, node);

		if (w->on_add && w->on_add(w, s, err) < 0) {
			take_out(r, s, n);
			return -1;
		}
	}
	return 0;
}

static int check_room(const struct subscriber_set *set, const struct subscription *want, struct error *err)
{
	if (set->by_id.n >= SUBSCRIPTIONS_MAX)
		return error_set(err, 0, "no more than %d ports can be subscribed", SUBSCRIPTIONS_MAX);
	if (set->text + text_of(want) > SUBSCRIPTIONS_TEXT_MAX)
		return error_set(err, 0, "the filters and options of all ports are more than %d MiB", SUBSCRIPTIONS_TEXT_MAX >> 20);
	return 0;
}

static int add(struct subscriptions *r, struct client *client, struct subscriber_set *set, struct subscription *want, struct error *err)
{
	bool refused = check_room(set, want, err) < 0 || settle_rivalry(r, want, err) < 0;
	struct subscriber *s = refused ? NULL : calloc(1, sizeof(*s));
	struct place *p = s ? place_get(r, want->protocol, want->port) : NULL;

	if (!refused && !p)
		error_set(err, ENOMEM, "subscribe to port %u", want->port);
	if (!p) {
		free(s);
		subscription_fini(want);
		return -1;
	}
	*s = (struct subscriber){ .client = client, .set = set, .want = *want, .since = time(NULL) };
	*want = (struct subscription){ 0 };
	list_append(&p->subscribers, &s->of_port);
	list_append(&set->all, &s->of_client);
	table_add(&set->by_id, &s->by_id, &s->want.id, sizeof(s->want.id));
	set->text += text_of(&s->want);
	return announce(r, s, err);
}

static struct subscriber *find_by_id(const struct subscriber_set *set, uint32_t id)
{
	struct table_node *n = table_find(&set->by_id, &id, sizeof(id));

	return n ? container_of(n, struct subscriber, by_id) : NULL;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* All but the listeners, and what is of no more use once it is there. */
static bool same_wish(const struct subscription *a, const struct subscription *b)
{
	return a->protocol == b->protocol && a->port == b->port && a->mode == b->mode && same_text(a->http_filter, b->http_filter) &&
	       same_text(a->http_options, b->http_options);
}

static void tell_change(struct subscriptions *r, struct subscriber *s)
{
	for (struct list *n = r->watchers.next; n != &r->watchers; n = n->next) {
		struct subscriptions_watcher *w = container_of(n, struct subscriptions_watcher, node);

		if (w->on_change)
			w->on_change(w, s);
	}
}

static void change(struct subscriptions *r, struct subscriber *s, struct subscription *want)
{
	subscription_fini(&s->want);
	s->want = *want;
	*want = (struct subscription){ 0 };
	tell_change(r, s);
}

int subscriptions_put(struct subscriptions *r, struct client *client, struct subscriber_set *set, struct subscription *want, struct error *err)
{
	struct subscriber *s = find_by_id(set, want->id);

	if (s && same_wish(&s->want, want)) {
		change(r, s, want);
		return 0;
	}
	if (s)
		take_out(r, s, NULL);
	return add(r, client, set, want, err);
}

void subscriptions_drop(struct subscriptions *r, struct subscriber_set *set, uint32_t id)
{
	struct subscriber *s = find_by_id(set, id);

	if (s)
		take_out(r, s, NULL);
}

void subscriptions_drop_all(struct subscriptions *r, struct subscriber_set *set)
{
	while (!list_empty(&set->all))
		take_out(r, container_of(set->all.next, struct subscriber, of_client), NULL);
}

void subscriptions_end_client(struct subscriptions *r, const struct client *client, struct subscriber_set *set)
{
	subscriptions_drop_all(r, set);
	for (struct list *n = r->watchers.next; n != &r->watchers; n = n->next) {
		struct subscriptions_watcher *w = container_of(n, struct subscriptions_watcher, node);

		if (w->on_client_end)
			w->on_client_end(w, client);
	}
}

void subscriptions_look_again(struct subscriptions *r, struct subscriber_set *set)
{
	for (struct list *n = set->all.next; n != &set->all; n = n->next)
		tell_change(r, container_of(n, struct subscriber, of_client));
}

void subscriptions_expect(struct subscriptions *r, const struct client *client, enum subscription_mode mode)
{
	for (struct list *n = r->watchers.next; n != &r->watchers; n = n->next) {
		struct subscriptions_watcher *w = container_of(n, struct subscriptions_watcher, node);

		if (w->on_expect)
			w->on_expect(w, client, mode);
	}
}

struct subscriber *subscribers_of(const struct subscriptions *r, uint8_t protocol, uint16_t port)
{
	const struct place *p = place_find(r, protocol, port);

	return p && !list_empty(&p->subscribers) ? container_of(p->subscribers.next, struct subscriber, of_port) : NULL;
}

struct subscriber *subscribers_next(const struct subscriptions *r, const struct subscriber *s)
{
	const struct place *p = place_find(r, s->want.protocol, s->want.port);

	return s->of_port.next == &p->subscribers ? NULL : container_of(s->of_port.next, struct subscriber, of_port);
}

bool subscriber_is_steal_of_all(const struct subscriber *s)
{
	return s->want.mode == SUBSCRIPTION_STEAL && !s->want.http_filter;
}
