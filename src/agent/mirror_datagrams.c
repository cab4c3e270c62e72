// SPDX-License-Identifier: MIT
/* Mirrored datagrams. What the program answers is dropped, and so are the errors that it causes: the real client must hear of neither.
 *
 * What a program under mirrord sends leaves the target by a socket of ours there, and what comes back is its own: it would get it twice, and to
 * another session's program it means nothing. So the kernel is asked whose socket a client's datagrams come to, now and then: sockets
 * come and go. */
#include "agent/mirror_datagrams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/table.h"
#include "net/sock_diag.h"

#define ASK_STEP (50 * (uint64_t)LOOP_MS)

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
	struct port *port; /* NULL: there was no need yet */
	struct endpoint destination;
	uint64_t last, asked;
	bool ours; /* it comes to a socket of ours */
};

struct mirror_datagrams {
	struct loop *loop;
	struct table flows;
	struct list by_age;
	struct timer idle;
	struct sock_diag *diag; /* NULL: the kernel doesn't tell */
};

static bool equal(const struct table_node *node, const void *key)
{
	return memcmp(&container_of(node, struct flow, node)->key, key, sizeof(struct flow_key)) == 0;
}

static void close_flow(struct flow *f)
{
	if (f->port)
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
	struct error err = { 0 };

	if (!d || table_init(&d->flows, equal) < 0) {
		free(d);
		return NULL;
	}
	d->loop = loop;
	d->idle.on_due = on_idle;
	list_init(&d->by_age);
	d->diag = sock_diag_open(&err);
	if (!d->diag)
		log_debug("mirror: %s", err.text);
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
	sock_diag_close(d->diag);
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

static struct flow *add_flow(struct mirror_datagrams *d, const struct flow_key *key)
{
	struct flow *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	*f = (struct flow){ .all = d, .key = *key };
	if (d->flows.n == MIRROR_FLOWS)
		close_flow(oldest(d));
	table_add(&d->flows, &f->node, &f->key, sizeof(f->key));
	list_append(&d->by_age, &f->by_age);
	return f;
}

static void ask_whose(struct flow *f, const struct endpoint *destination)
{
	struct sock_diag *diag = f->all->diag;
	struct diag_socket s = { 0 };

	f->ours = diag && sock_diag_find_udp(diag, destination, &f->key.client, &s) > 0 && s.no_port;
	f->destination = *destination;
	f->asked = loop_now(f->all->loop);
}

int mirror_datagrams_send(struct mirror_datagrams *d, struct egress *program, const struct mirror_datagram *g)
{
	const struct flow_key key = { .subscription = g->key, .client = g->client, .local = g->local };
	struct table_node *node = table_find(&d->flows, &key, sizeof(key));
	struct flow *f = node ? container_of(node, struct flow, node) : add_flow(d, &key);
	int error = 0;

	if (!f)
		return ENOMEM;
	f->last = loop_now(d->loop);
	list_remove(&f->by_age);
	list_append(&d->by_age, &f->by_age);
	if (!d->idle.index)
		loop_arm(d->loop, &d->idle, f->last + MIRROR_FLOW_IDLE);
	if (!f->asked || f->last >= f->asked + ASK_STEP || !endpoint_equal(&f->destination, &g->destination))
		ask_whose(f, &g->destination);
	if (f->ours)
		return 0;
	if (!f->port)
		error = program->ops->open(program, PORT_UDP, &key.local, &events, f, &f->port);
	if (error)
		close_flow(f);
	else
		program->ops->send(f->port, &g->remote, g->marks, g->data, g->len);
	return error;
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
