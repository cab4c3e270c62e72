// SPDX-License-Identifier: MIT
#include "base/table.h"

#include <stdlib.h>

#include "base/list.h"
#include "tap.h"

struct item {
	struct table_node node;
	int key;
};

static bool item_equal(const struct table_node *node, const void *key)
{
	return container_of(node, const struct item, node)->key == *(const int *)key;
}

int main(void)
{
	enum { N = 10000 };
	struct item *items = calloc(N, sizeof(*items));
	struct table t;
	int found = 0, left = 0, missing = N;

	tap_int(table_init(&t, item_equal), 0, "init");
	for (int i = 0; i < N; i++) {
		items[i].key = i;
		table_add(&t, &items[i].node, &items[i].key, sizeof(int));
	}
	for (int i = 0; i < N; i++)
		found += table_find(&t, &i, sizeof(int)) == &items[i].node;
	tap_int(found, N, "all are found after growing");
	tap_ok(!table_find(&t, &missing, sizeof(int)), "a key that isn't there");
	for (int i = 0; i < N; i += 2)
		table_remove(&t, &items[i].node);
	table_remove(&t, &items[0].node);
	for (struct table_node *n = table_first(&t); n; n = table_after(&t, n))
		left += container_of(n, struct item, node)->key % 2;
	tap_int(left, N / 2, "walk sees what was not removed");
	tap_int(t.n, N / 2, "count");
	table_fini(&t);
	free(items);
	return tap_done();
}
