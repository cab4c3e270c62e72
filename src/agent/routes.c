// SPDX-License-Identifier: MIT
/* Sorted and cut whenever it has grown large, so that a million routes cost no more memory than ROUTES_ROOM. */
#include "agent/routes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ROUTES_ROOM = 8 * INFO_ROUTES };

/* Prefix lengths of both families on one scale. */
static int width(const struct info_route *r)
{
	return ip_is_v4(&r->prefix) ? r->prefix_len * 4 : r->prefix_len;
}

/* Families apart, widest first, then by destination and metric: what may be dropped for another stands behind it. */
static int compare_routes(const void *x, const void *y)
{
	const struct info_route *a = x, *b = y;
	int d = width(a) - width(b);

	if (d == 0)
		d = memcmp(&a->prefix, &b->prefix, sizeof(a->prefix));
	if (d == 0 && a->metric != b->metric)
		d = a->metric < b->metric ? -1 : 1;
	return d;
}

/* Stable, as qsort() need not be: the first of equals is the kernel's choice. */
static void sort(struct info_route *all, size_t n, struct info_route *scratch)
{
	size_t half = n / 2, i = 0, j = half;

	if (n < 2)
		return;
	sort(all, half, scratch);
	sort(all + half, n - half, scratch);
	memcpy(scratch, all, n * sizeof(*all));
	for (size_t k = 0; k < n; k++) {
		if (j == n || (i < half && compare_routes(&scratch[i], &scratch[j]) <= 0))
			all[k] = scratch[i++];
		else
			all[k] = scratch[j++];
	}
}

static void cut(struct routes *r)
{
	struct info_route *scratch = malloc((r->n + 1) * sizeof(*scratch));
	size_t n = 0;

	if (!scratch) {
		r->error = ENOMEM;
		return;
	}
	sort(r->all, r->n, scratch);
	free(scratch);
	for (size_t i = 0; i < r->n; i++) {
		if (n && compare_routes(&r->all[n - 1], &r->all[i]) == 0)
			continue;
		if (n == INFO_ROUTES)
			r->left_out++;
		else
			r->all[n++] = r->all[i];
	}
	r->n = n;
}

void routes_add(struct routes *r, const struct info_route *route)
{
	if (r->n == ROUTES_ROOM)
		cut(r);
	if (r->n == r->room) {
		size_t room = r->room ? 2 * r->room : 64;
		struct info_route *more = r->n < ROUTES_ROOM ? realloc(r->all, room * sizeof(*more)) : NULL;

		if (!more) {
			r->error = ENOMEM;
			return;
		}
		r->all = more;
		r->room = room;
	}
	r->all[r->n++] = *route;
}

struct info_route *routes_take(struct routes *r, size_t *ret_n)
{
	struct info_route *all;

	cut(r);
	all = r->all;
	*ret_n = r->n;
	r->all = NULL;
	r->n = r->room = 0;
	return all;
}
