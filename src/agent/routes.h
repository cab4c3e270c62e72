// SPDX-License-Identifier: MIT
/* A list of routes that stays bounded: a router's full table is cut to its widest routes. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "tunnel/info.h"

/* Zero-initialise; routes_take() or free(@all) ends it. */
struct routes {
	struct info_route *all;
	size_t n, room, left_out;
	int error; /* ENOMEM: one was lost */
};

void routes_add(struct routes *r, const struct info_route *route);
/* The INFO_ROUTES widest ones, the widest first; of several with one prefix and metric the first that was added. The
 * array is the caller's, and @r empty then, save @left_out. */
struct info_route *routes_take(struct routes *r, size_t *ret_n);
