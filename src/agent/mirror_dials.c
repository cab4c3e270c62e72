// SPDX-License-Identifier: MIT
#include "agent/mirror_dials.h"

#include <errno.h>
#include <stdlib.h>

struct asked_dial {
	struct list node;
	struct mirror_dials *all;
	struct dial *dial;
	uint32_t key, copy;
};

void mirror_dials_init(struct mirror_dials *ds, mirror_dialed_fn on_done, void *arg)
{
	list_init(&ds->all);
	ds->on_done = on_done;
	ds->arg = arg;
}

static void on_dialed(void *arg, int error)
{
	struct asked_dial *d = arg;
	struct mirror_dials *ds = d->all;
	uint32_t key = d->key, copy = d->copy;
	int fd = error ? -1 : egress_dial_take(d->dial);

	list_remove(&d->node);
	free(d);
	ds->on_done(ds->arg, key, copy, !error && fd < 0 ? -fd : error, fd < 0 ? -1 : fd);
}

void mirror_dials_add(struct mirror_dials *ds, struct egress *program, const struct endpoint *local, const struct endpoint *remote, uint32_t key,
		      uint32_t copy)
{
	struct asked_dial *d = calloc(1, sizeof(*d));
	int error;

	if (!d) {
		ds->on_done(ds->arg, key, copy, ENOMEM, -1);
		return;
	}
	*d = (struct asked_dial){ .all = ds, .key = key, .copy = copy };
	list_append(&ds->all, &d->node);
	error = program->ops->dial(program, local, remote, on_dialed, d, &d->dial);
	if (error != EINPROGRESS)
		on_dialed(d, error);
}

static void drop(struct asked_dial *d)
{
	d->dial->egress->ops->abandon(d->dial);
	list_remove(&d->node);
	free(d);
}

void mirror_dials_drop(struct mirror_dials *ds, uint32_t copy)
{
	for (struct list *n = ds->all.next; n != &ds->all; n = n->next) {
		struct asked_dial *d = container_of(n, struct asked_dial, node);

		if (d->copy == copy) {
			drop(d);
			return;
		}
	}
}

void mirror_dials_drop_key(struct mirror_dials *ds, uint32_t key)
{
	for (struct list *n = ds->all.next, *next; n != &ds->all; n = next) {
		struct asked_dial *d = container_of(n, struct asked_dial, node);

		next = n->next;
		if (d->key == key)
			drop(d);
	}
}

void mirror_dials_drop_all(struct mirror_dials *ds)
{
	while (!list_empty(&ds->all))
		drop(container_of(ds->all.next, struct asked_dial, node));
}
