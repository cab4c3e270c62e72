// SPDX-License-Identifier: MIT
/* Mirrored datagrams. What the program answers is dropped, and so are the errors that it causes: the real client must hear of neither. */
#include "agent/mirror_datagrams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"

/* No padding: the key of a table. */
struct flow_key {
	uint32_t subscription;
	struct endpoint client, local;
};

struct flow {
	struct table_node node;
	struct list by_age;
	struct deferred broken;
	struct mirror_datagrams *all;
	struct flow_key key;
	struct port *port;
	uint64_t last;
};

struct mirror_datagrams {
	struct loop *loop;
	struct table flows;
	struct list by_age;
	struct timer idle;
};

static bool equal(const struct table_node *node, const void *key)
{
	return memcmp(&container_of(node, struct flow, node)->key, key, sizeof(struct flow_key)) == 0;
}

static void close_flow(struct flow *f)
{
	f->port->egress->ops->close(f->port);
	list_remove(&f->broken.node);
	list_remove(&f->by_age);
	table_remove(&f->all->flows, &f->node);
	free(f);
}

static struct flow *oldest(struct mirror_datagrams *d)
{
	return list_empty(&d->by_age) ? NULL : container_of(d->by_age.next, struct flow, by_age);
}

static void on_idle(struct timer *t)
{
	struct mirror_datagrams *d = container_of(t, struct mirror_datagrams, idle);
	struct flow *f;

	while ((f = oldest(d)) && f->last + MIRROR_FLOW_IDLE <= loop_now(d->loop))
		close_flow(f);
	if (f)
		loop_arm(d->loop, t, f->last + MIRROR_FLOW_IDLE);
}

struct mirror_datagrams *mirror_datagrams_new(struct loop *loop)
{
	struct mirror_datagrams *d = calloc(1, sizeof(*d));

	if (!d || table_init(&d->flows, equal) < 0) {
		free(d);
		return NULL;
	}
	d->loop = loop;
	d->idle.on_due = on_idle;
	list_init(&d->by_age);
	return d;
}

void mirror_datagrams_free(struct mirror_datagrams *d)
{
	struct flow *f;

	if (!d)
		return;
	while ((f = oldest(d)))
		close_flow(f);
	loop_disarm(d->loop, &d->idle);
	table_fini(&d->flows);
	free(d);
}

static void on_answer(void *arg, const struct endpoint *from, struct packet_marks marks, const uint8_t *data, size_t len)
{
}

static void on_error(void *arg, const struct endpoint *to, const struct icmp_error *error, const uint8_t *data, size_t len)
{
}

static void close_broken(struct deferred *d)
{
	close_flow(container_of(d, struct flow, broken));
}

static void on_broken(void *arg, int error)
{
	struct flow *f = arg;

	loop_defer(f->all->loop, &f->broken, close_broken);
}

static const struct port_events events = { .on_datagram = on_answer, .on_error = on_error, .on_broken = on_broken };

/* NULL with *ret_error. */
static struct flow *open_flow(struct mirror_datagrams *d, struct egress *program, const struct flow_key *key, int *ret_error)
{
	struct flow *f = calloc(1, sizeof(*f));

	*ret_error = ENOMEM;
	if (!f)
		return NULL;
	*f = (struct flow){ .all = d, .key = *key };
	*ret_error = program->ops->open(program, PORT_UDP, &key->local, &events, f, &f->port);
	if (*ret_error) {
		free(f);
		return NULL;
	}
	if (d->flows.n == MIRROR_FLOWS)
		close_flow(oldest(d));
	table_add(&d->flows, &f->node, &f->key, sizeof(f->key));
	list_append(&d->by_age, &f->by_age);
	return f;
}

int mirror_datagrams_send(struct mirror_datagrams *d, struct egress *program, const struct mirror_datagram *g)
{
	const struct flow_key key = { .subscription = g->key, .client = g->client, .local = g->local };
	struct table_node *node = table_find(&d->flows, &key, sizeof(key));
	int error = 0;
	struct flow *f = node ? container_of(node, struct flow, node) : open_flow(d, program, &key, &error);

	if (!f)
		return error;
	f->last = loop_now(d->loop);
	list_remove(&f->by_age);
	list_append(&d->by_age, &f->by_age);
	if (!d->idle.index)
		loop_arm(d->loop, &d->idle, f->last + MIRROR_FLOW_IDLE);
	program->ops->send(f->port, &g->remote, g->marks, g->data, g->len);
	return 0;
}

void mirror_datagrams_drop(struct mirror_datagrams *d, uint32_t key)
{
	for (struct list *n = d->by_age.next, *next; n != &d->by_age; n = next) {
		struct flow *f = container_of(n, struct flow, by_age);

		next = n->next;
		if (f->key.subscription == key)
			close_flow(f);
	}
}
