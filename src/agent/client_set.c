// SPDX-License-Identifier: MIT
#include "agent/client_set.h"

#include <stdlib.h>

struct member {
	struct list node;
	const struct client *client;
};

static struct member *find(const struct list *set, const struct client *c)
{
	for (struct list *n = set->next; n != set; n = n->next)
		if (container_of(n, struct member, node)->client == c)
			return container_of(n, struct member, node);
	return NULL;
}

bool client_set_add(struct list *set, const struct client *c)
{
	struct member *m = find(set, c) ? NULL : malloc(sizeof(*m));

	if (!m)
		return false;
	m->client = c;
	list_append(set, &m->node);
	return true;
}

bool client_set_remove(struct list *set, const struct client *c)
{
	struct member *m = find(set, c);

	if (!m)
		return false;
	list_remove(&m->node);
	free(m);
	return true;
}
