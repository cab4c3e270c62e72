// SPDX-License-Identifier: MIT
#include "agent/routes.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <time.h>

#include "tap.h"

static struct info_route make(uint32_t net, uint8_t len, uint32_t metric, uint8_t type)
{
	uint32_t n = htonl(net);

	return (struct info_route){ .prefix = ip_from_v4(&n), .prefix_len = len, .metric = metric, .type = type };
}

static void test_order_and_doubles(void)
{
	const struct info_route in[] = {
		make(0x0a010203, 32, 0, 1), make(0, 0, 100, 1), make(0x0a000000, 8, 0, 1),
		make(0, 0, 50, 1),	    make(0, 0, 100, 2), make(0x0a010203, 32, 0, 3),
	};
	const struct info_route want[] = { make(0, 0, 50, 1), make(0, 0, 100, 1), make(0x0a000000, 8, 0, 1),
					   make(0x0a010203, 32, 0, 1) };
	struct routes r = { 0 };
	struct info_route *all;
	size_t n;

	for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++)
		routes_add(&r, &in[i]);
	all = routes_take(&r, &n);
	tap_int(n, 4, "one of each prefix and metric");
	tap_ok(n == 4 && memcmp(all, want, sizeof(want)) == 0, "widest first, the first of equals");
	tap_int(r.left_out, 0, "none left out");
	free(all);
}

static void test_families(void)
{
	struct routes r = { 0 };
	struct info_route six = { .prefix_len = 48 }, *all;
	const struct info_route ten = make(0x0a000000, 8, 0, 1), host = make(0x0a000001, 32, 0, 1);
	size_t n;

	ip_parse("fd00::", &six.prefix);
	routes_add(&r, &host);
	routes_add(&r, &six);
	routes_add(&r, &ten);
	all = routes_take(&r, &n);
	tap_ok(n == 3 && all[0].prefix_len == 8 && all[1].prefix_len == 48 && all[2].prefix_len == 32,
	       "an IPv6 /48 lies between /8 and /32");
	free(all);
}

/* A full table: every /24 of four /8, the wide ones last. */
static void test_bound(void)
{
	struct routes r = { 0 };
	struct info_route *all, route;
	size_t n, wide = 0;

	for (uint32_t i = 0; i < 1 << 18; i++) {
		route = make(i << 8, 24, 0, 1);
		routes_add(&r, &route);
	}
	for (uint32_t i = 0; i < 100; i++) {
		route = make(i << 24, 8, 0, 1);
		routes_add(&r, &route);
	}
	tap_ok(r.room <= 8 * INFO_ROUTES, "memory is bounded: room for %zu", r.room);
	all = routes_take(&r, &n);
	for (size_t i = 0; i < n; i++)
		wide += all[i].prefix_len == 8;
	tap_int(n, INFO_ROUTES, "as many as fit");
	tap_int(wide, 100, "the widest are among them");
	tap_int(r.left_out, (1 << 18) + 100 - INFO_ROUTES, "the others are counted");
	tap_int(r.error, 0, "no error");
	free(all);
}

int main(void)
{
	struct routes r = { 0 };
	size_t n = 7;

	free(routes_take(&r, &n));
	tap_int(n, 0, "no routes");
	test_order_and_doubles();
	test_families();
	test_bound();
	return tap_done();
}
