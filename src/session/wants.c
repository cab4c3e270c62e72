// SPDX-License-Identifier: MIT
/* What is wanted of the agent: its subscriptions.
 *
 *   (new) ─► SUBSCRIBE ─► asked ──► answered ─► its listeners changed: SUBSCRIBE with the same id, asked again
 *                           └─────► refused: said on stderr once; asked anew, with another id, when the program listens again
 *   no listener is left: UNSUBSCRIBE (unless refused), gone
 *
 * There is one for each protocol and port of the target's. */
#include "session/wants.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "base/table.h"
#include "session/incoming_rules.h"
#include "tunnel/subscription.h"

enum { MAX_SUBSCRIPTIONS = 4096 };

struct key {
	uint16_t protocol, port;
};

struct entry {
	struct table_node node, by_id;
	struct list all;
	struct key key;
	struct subscription wire; /* who, http_filter and http_options are the options' */
	struct listener listeners[SUBSCRIPTION_LISTENERS];
	uint32_t asked, answered; /* how often */
	bool refused, seen;
};

struct wants {
	struct mux **mux;
	const struct incoming_options *options;
	const struct kube_probes *probes;
	struct table table, by_id;
	struct list all;
	uint32_t last_id;
	bool full; /* said already */
};

static bool key_equal(const struct table_node *node, const void *key)
{
	return memcmp(&container_of(node, const struct entry, node)->key, key, sizeof(struct key)) == 0;
}

static bool id_equal(const struct table_node *node, const void *key)
{
	return container_of(node, const struct entry, by_id)->wire.id == *(const uint32_t *)key;
}

static enum subscription_mode mode_of(const struct incoming_options *o)
{
	return o->mode == INCOMING_STEAL ? SUBSCRIPTION_STEAL : SUBSCRIPTION_MIRROR;
}

static void tell(struct wants *s, uint16_t topic, const uint8_t *data, size_t len)
{
	int r = *s->mux && data ? mux_send_info(*s->mux, topic, data, len) : 0;

	if (r < 0)
		log_warn("incoming: talk to the agent: %s", strerror(-r));
}

/* So that the program's first listen() needn't wait for what can be made before. */
static void expect(struct wants *s)
{
	const uint8_t mode = (uint8_t)mode_of(s->options);

	if (s->options->mode != INCOMING_OFF)
		tell(s, INFO_EXPECT, &mode, sizeof(mode));
}

struct wants *wants_new(struct mux **mux, const struct incoming_options *options, const struct kube_probes *probes)
{
	struct wants *s = calloc(1, sizeof(*s));

	if (!s || table_init(&s->table, key_equal) < 0 || table_init(&s->by_id, id_equal) < 0) {
		if (s)
			table_fini(&s->table);
		free(s);
		return NULL;
	}
	s->mux = mux;
	s->options = options;
	s->probes = probes;
	list_init(&s->all);
	expect(s);
	return s;
}

static void entry_free(struct wants *s, struct entry *e)
{
	table_remove(&s->table, &e->node);
	table_remove(&s->by_id, &e->by_id);
	list_remove(&e->all);
	free(e);
}

void wants_free(struct wants *s)
{
	if (!s)
		return;
	while (!list_empty(&s->all))
		entry_free(s, container_of(s->all.next, struct entry, all));
	table_fini(&s->table);
	table_fini(&s->by_id);
	free(s);
}

static struct entry *find(const struct wants *s, int protocol, uint16_t port)
{
	const struct key key = { (uint16_t)protocol, port };
	struct table_node *n = table_find(&s->table, &key, sizeof(key));

	return n ? container_of(n, struct entry, node) : NULL;
}

/* What the kubelet asks of this port stays the target's. */
static void keep_probes(const struct wants *s, struct entry *e)
{
	e->wire.probes = 0;
	if (e->key.protocol != IPPROTO_TCP || e->wire.mode != SUBSCRIPTION_STEAL || s->options->steal_probes)
		return;
	for (size_t i = 0; i < s->probes->n; i++)
		if (s->probes->ports[i].port == e->key.port)
			e->wire.probes = s->probes->ports[i].kinds;
	e->wire.nodes = (struct ip *)s->probes->nodes;
	e->wire.n_nodes = e->wire.probes ? s->probes->n_nodes : 0;
}

static struct entry *entry_new(struct wants *s, int protocol, uint16_t port)
{
	static const enum concurrent_steal concurrent[] = { [INCOMING_ABORT] = CONCURRENT_ABORT,
							    [INCOMING_CONTINUE] = CONCURRENT_CONTINUE,
							    [INCOMING_OVERRIDE] = CONCURRENT_OVERRIDE };
	const struct incoming_options *o = s->options;
	struct entry *e = s->table.n < MAX_SUBSCRIPTIONS ? calloc(1, sizeof(*e)) : NULL;

	if (!e) {
		if (!s->full)
			log_warn("incoming: the program listens on more than %d ports: the rest stays local",
				 MAX_SUBSCRIPTIONS);
		s->full = true;
		return NULL;
	}
	e->key = (struct key){ (uint16_t)protocol, port };
	e->wire = (struct subscription){ .id = ++s->last_id,
					 .protocol = (uint8_t)protocol,
					 .port = port,
					 .mode = mode_of(o),
					 .on_concurrent = concurrent[o->on_concurrent],
					 .flush = o->flush,
					 .who = (char *)o->who,
					 .listeners = e->listeners };
	if (protocol == IPPROTO_TCP && incoming_rules_filtered(o, port))
		e->wire.http_filter = (char *)o->http_filter;
	keep_probes(s, e);
	if (protocol == IPPROTO_TCP)
		e->wire.http_options = (char *)o->http_options;
	table_add(&s->table, &e->node, &e->key, sizeof(e->key));
	table_add(&s->by_id, &e->by_id, &e->wire.id, sizeof(e->wire.id));
	list_append(&s->all, &e->all);
	return e;
}

static void subscribe(struct wants *s, struct entry *e)
{
	size_t len = 0;
	uint8_t *data = subscription_encode(&e->wire, &len);

	log_debug("incoming: subscribe %u: port %u, protocol %u, %zu listeners", e->wire.id, e->wire.port,
		  e->wire.protocol, e->wire.n_listeners);
	e->asked++;
	tell(s, INFO_SUBSCRIBE, data, len);
	free(data);
}

static void unsubscribe(struct wants *s, struct entry *e)
{
	uint8_t data[UNSUBSCRIBE_LEN];

	log_debug("incoming: unsubscribe %u: port %u, protocol %u", e->wire.id, e->wire.port, e->wire.protocol);
	if (!e->refused)
		tell(s, INFO_UNSUBSCRIBE, data, unsubscribe_encode(e->wire.id, data));
	entry_free(s, e);
}

static int compare(const void *a, const void *b)
{
	const struct wanted *x = a, *y = b;

	if (x->socket.protocol != y->socket.protocol)
		return x->socket.protocol < y->socket.protocol ? -1 : 1;
	if (x->port != y->port)
		return x->port < y->port ? -1 : 1;
	if (x->socket.v6only != y->socket.v6only)
		return x->socket.v6only ? 1 : -1;
	return memcmp(&x->socket.local, &y->socket.local, sizeof(x->socket.local));
}

static bool same_place(const struct listener *a, const struct listener *b)
{
	return endpoint_equal(&a->at, &b->at) && a->v6only == b->v6only;
}

/* Sets the listeners, each once: several sockets at one place (SO_REUSEPORT) are full when all are. True when they have changed. */
static bool set_listeners(struct entry *e, const struct wanted *w, size_t n)
{
	struct listener now[SUBSCRIPTION_LISTENERS] = { 0 };
	size_t n_now = 0;
	bool same, queues = e->wire.mode == SUBSCRIPTION_STEAL && e->key.protocol == IPPROTO_TCP;

	for (size_t i = 0; i < n && n_now < SUBSCRIPTION_LISTENERS; i++) {
		const struct listener l = { .at = w[i].socket.local, .v6only = w[i].socket.v6only, .full = queues && w[i].socket.full };

		if (n_now && same_place(&now[n_now - 1], &l)) {
			now[n_now - 1].full &= l.full;
			now[n_now - 1].several = queues;
		} else {
			now[n_now++] = l;
		}
	}
	same = n_now == e->wire.n_listeners;
	for (size_t i = 0; same && i < n_now; i++)
		same = same_place(&now[i], &e->listeners[i]) && now[i].full == e->listeners[i].full && now[i].several == e->listeners[i].several;
	memcpy(e->listeners, now, n_now * sizeof(now[0]));
	e->wire.n_listeners = n_now;
	return !same;
}

/* @w are all of one protocol and port. */
static void update_one(struct wants *s, const struct wanted *w, size_t n)
{
	struct entry *e = find(s, w->socket.protocol, w->port);

	if (!e)
		e = entry_new(s, w->socket.protocol, w->port);
	if (!e)
		return;
	e->seen = true;
	if (set_listeners(e, w, n) && !e->refused)
		subscribe(s, e);
}

void wants_update(struct wants *s, struct wanted *w, size_t n)
{
	for (struct list *l = s->all.next; l != &s->all; l = l->next)
		container_of(l, struct entry, all)->seen = false;
	if (n)
		qsort(w, n, sizeof(*w), compare);
	for (size_t at = 0, end; at < n; at = end) {
		for (end = at + 1;
		     end < n && w[end].socket.protocol == w[at].socket.protocol && w[end].port == w[at].port; end++)
			;
		update_one(s, w + at, end - at);
	}
	for (struct list *l = s->all.next, *next; l != &s->all; l = next) {
		next = l->next;
		if (!container_of(l, struct entry, all)->seen)
			unsubscribe(s, container_of(l, struct entry, all));
	}
}

void wants_add(struct wants *s, const struct wanted *wanted)
{
	update_one(s, wanted, 1);
}

bool wants_has(const struct wants *s, int protocol, uint16_t port)
{
	return find(s, protocol, port) != NULL;
}

bool wants_listens(const struct wants *s, int protocol, uint16_t local_port)
{
	for (const struct list *l = s->all.next; l != &s->all; l = l->next) {
		const struct entry *e = container_of(l, const struct entry, all);

		for (size_t i = 0; e->key.protocol == protocol && i < e->wire.n_listeners; i++)
			if (e->listeners[i].at.port == local_port)
				return true;
	}
	return false;
}

size_t wants_count(const struct wants *s)
{
	return s->table.n;
}

bool wants_used(const struct wants *s)
{
	return s->last_id > 0;
}

void wants_retry(struct wants *s, int protocol, uint16_t port)
{
	struct entry *e = find(s, protocol, port);

	if (!e || !e->refused)
		return;
	e->refused = false;
	table_remove(&s->by_id, &e->by_id);
	e->wire.id = ++s->last_id;
	table_add(&s->by_id, &e->by_id, &e->wire.id, sizeof(e->wire.id));
	subscribe(s, e);
}

void wants_move(struct wants *s)
{
	expect(s);
	for (struct list *l = s->all.next; l != &s->all; l = l->next) {
		struct entry *e = container_of(l, struct entry, all);

		e->refused = false;
		e->asked = e->answered = 0;
		keep_probes(s, e);
		subscribe(s, e);
	}
}

int wants_state(const struct wants *s, int protocol, uint16_t port)
{
	const struct entry *e = find(s, protocol, port);

	if (!e || !*s->mux)
		return 0;
	if (e->refused)
		return e->wire.mode == SUBSCRIPTION_STEAL ? EADDRINUSE : 0;
	return e->answered == e->asked ? 0 : EINPROGRESS;
}

static struct entry *find_id(const struct wants *s, uint32_t id)
{
	struct table_node *n = table_find(&s->by_id, &id, sizeof(id));

	return n ? container_of(n, struct entry, by_id) : NULL;
}

static const char *protocol_name(const struct entry *e)
{
	return e->key.protocol == IPPROTO_UDP ? "UDP port" : "port";
}

/* The user must know, also who wants no progress; but not of a thousand. */
static void on_refused(struct entry *e, const struct error *why)
{
	static struct log_limit limit;

	e->refused = true;
	e->answered = e->asked;
	if (!log_limit_pass(&limit, LOG_LEVEL_WARN))
		return;
	log_warn("incoming: %s %u is not subscribed: %s", protocol_name(e), e->key.port, why->text);
	log_tell(0, "mirrord: %s %u of the target: %s\n", protocol_name(e), e->key.port, why->text);
	if (why->hint[0])
		log_tell(0, "  %s\n", why->hint);
}

static void on_subscribed(struct wants *s, struct entry *e)
{
	const char *what = e->wire.mode == SUBSCRIPTION_STEAL ? "stolen from the target" : "mirrored from the target";

	if (e->answered < e->asked)
		e->answered++;
	if (e->answered > 1)
		return;
	log_info("incoming: %s %u is %s", protocol_name(e), e->key.port, what);
	if (s->options->show)
		log_tell(0, "mirrord: %s %u is %s\n", protocol_name(e), e->key.port, what);
}

void wants_on_answer(struct wants *s, const uint8_t *data, size_t len)
{
	struct subscribed answer;
	struct error err = { 0 };
	struct entry *e;

	if (subscribed_decode(data, len, &answer, &err) < 0) {
		log_warn("incoming: %s", err.text);
		return;
	}
	e = find_id(s, answer.id);
	if (!e) /* unsubscribed meanwhile */
		return;
	if (error_is_set(&answer.refused))
		on_refused(e, &answer.refused);
	else
		on_subscribed(s, e);
}
