// SPDX-License-Identifier: MIT
#include "session/adapt.h"

#include <stdlib.h>
#include <string.h>

#include "tap.h"

static struct target_info example(bool with_default)
{
	struct target_info info = { .hostname = "pod", .n_addresses = 2, .n_routes = with_default ? 3 : 2 };

	info.addresses = calloc(2, sizeof(*info.addresses));
	info.routes = calloc(3, sizeof(*info.routes));
	ip_parse("10.0.0.1", &info.addresses[0].ip);
	ip_parse("fd00::1", &info.addresses[1].ip);
	ip_parse("10.0.0.0", &info.routes[0].prefix);
	info.routes[0].prefix_len = 24;
	ip_parse("fd00::", &info.routes[1].prefix);
	info.routes[1].prefix_len = 64;
	info.routes[2].prefix = IP_ANY4;
	return info;
}

static const struct {
	const char *name;
	struct config c;
	bool with_default;
	const char *hostname;
	size_t addresses, routes;
} rows[] = {
	{ "as it is", { .hostname = true, .ipv6 = true, .outgoing_tcp = true, .outgoing_udp = true }, false, "pod", 2, 2 },
	{ "no host name", { .ipv6 = true, .outgoing_tcp = true, .outgoing_udp = true }, false, "", 2, 2 },
	{ "no IPv6", { .hostname = true, .outgoing_tcp = true, .outgoing_udp = true }, true, "pod", 1, 2 },
	{ "no TCP: default routes of both families", { .hostname = true, .ipv6 = true, .outgoing_udp = true }, false, "pod", 2, 4 },
	{ "a filter: the one that is missing", { .hostname = true, .ipv6 = true, .outgoing_tcp = true, .outgoing_udp = true,
						 .outgoing_filter = { .side = FILTER_LOCAL } }, true, "pod", 2, 4 },
	{ "a filter, no IPv6", { .hostname = true, .outgoing_tcp = true, .outgoing_udp = true, .outgoing_filter = { .side = FILTER_LOCAL } },
		false, "pod", 1, 2 },
};

int main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct target_info info = example(rows[i].with_default);

		tap_int(target_info_adapt(&info, &rows[i].c), 0, "%s", rows[i].name);
		tap_str(info.hostname, rows[i].hostname, "%s: host name", rows[i].name);
		tap_int(info.n_addresses, rows[i].addresses, "%s: addresses", rows[i].name);
		tap_int(info.n_routes, rows[i].routes, "%s: routes", rows[i].name);
		target_info_fini(&info);
	}
	return tap_done();
}
