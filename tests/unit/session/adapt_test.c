// SPDX-License-Identifier: MIT
#include "session/adapt.h"

#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"

enum { DEFAULT4 = 1, FORBIDS = 2, NO_V4 = 4, NO_V6 = 8 };

static void add_address(struct target_info *info, const char *text)
{
	ip_parse(text, &info->addresses[info->n_addresses++].ip);
}

static void add_route(struct target_info *info, const char *prefix, uint8_t len, uint8_t type)
{
	struct info_route *r = &info->routes[info->n_routes++];

	ip_parse(prefix, &r->prefix);
	r->prefix_len = len;
	r->type = type;
}

static struct target_info example(int what)
{
	struct target_info info = { .hostname = "pod" };

	info.addresses = calloc(2, sizeof(*info.addresses));
	info.routes = calloc(4, sizeof(*info.routes));
	if (!(what & NO_V4)) {
		add_address(&info, "10.0.0.1");
		add_route(&info, "10.0.0.0", 24, RTN_UNICAST);
	}
	if (!(what & NO_V6)) {
		add_address(&info, "fd00::1");
		add_route(&info, "fd00::", 64, RTN_UNICAST);
	}
	if (what & DEFAULT4)
		add_route(&info, "0.0.0.0", 0, RTN_UNICAST);
	if (what & FORBIDS)
		add_route(&info, "0.0.0.0", 0, RTN_UNREACHABLE);
	return info;
}

#define ALL .hostname = true, .ipv6 = true, .outgoing_tcp = true, .outgoing_udp = true
#define FILTER .outgoing_filter = { .side = FILTER_LOCAL }

static const struct {
	const char *name;
	struct config c;
	struct host_families host;
	int what;
	const char *hostname, *addresses, *routes; /* as list_addresses() and list_routes() say them */
} rows[] = {
	{ "as it is", { ALL }, { true, true }, FORBIDS, "pod", "10.0.0.1 fd00::1 ", "10.0.0.0/24 fd00::/64 0.0.0.0/0! " },
	{ "no host name", { .ipv6 = true, .outgoing_tcp = true, .outgoing_udp = true }, { true, true }, 0,
	  "", "10.0.0.1 fd00::1 ", "10.0.0.0/24 fd00::/64 " },
	{ "no IPv6", { .hostname = true, .outgoing_tcp = true, .outgoing_udp = true }, { true, true }, DEFAULT4,
	  "pod", "10.0.0.1 ", "10.0.0.0/24 0.0.0.0/0 " },
	{ "no TCP: default routes of both families", { .hostname = true, .ipv6 = true, .outgoing_udp = true }, { true, true }, 0,
	  "pod", "10.0.0.1 fd00::1 ", "10.0.0.0/24 fd00::/64 0.0.0.0/0 ::/0 " },
	{ "no UDP likewise", { .hostname = true, .ipv6 = true, .outgoing_tcp = true }, { true, true }, 0,
	  "pod", "10.0.0.1 fd00::1 ", "10.0.0.0/24 fd00::/64 0.0.0.0/0 ::/0 " },
	{ "a filter: the one that is missing", { ALL, FILTER }, { true, true }, DEFAULT4,
	  "pod", "10.0.0.1 fd00::1 ", "10.0.0.0/24 fd00::/64 0.0.0.0/0 ::/0 " },
	{ "a filter: no route that forbids", { ALL, FILTER }, { true, true }, FORBIDS,
	  "pod", "10.0.0.1 fd00::1 ", "10.0.0.0/24 fd00::/64 0.0.0.0/0 ::/0 " },
	{ "a filter, no IPv6", { .hostname = true, .outgoing_tcp = true, .outgoing_udp = true, FILTER }, { true, true }, 0,
	  "pod", "10.0.0.1 ", "10.0.0.0/24 0.0.0.0/0 " },
	{ "a filter, a target without IPv6", { ALL, FILTER }, { true, true }, NO_V6,
	  "pod", "10.0.0.1 fd00:6d::3 ", "10.0.0.0/24 0.0.0.0/0 ::/0 " },
	{ "a filter, a target without IPv4", { ALL, FILTER }, { true, true }, NO_V4, "pod", "fd00::1 192.0.0.2 ", "fd00::/64 0.0.0.0/0 ::/0 " },
	{ "a filter, a target with lo alone", { ALL, FILTER }, { true, true }, NO_V4 | NO_V6, "pod", "192.0.0.2 fd00:6d::3 ", "0.0.0.0/0 ::/0 " },
	{ "the same, and here no IPv6 either", { ALL, FILTER }, { true, false }, NO_V4 | NO_V6, "pod", "192.0.0.2 ", "0.0.0.0/0 " },
	{ "nothing leaves from here: the target's families", { ALL }, { true, true }, NO_V6,
	  "pod", "10.0.0.1 ", "10.0.0.0/24 " },
};

static const char *list_addresses(const struct target_info *info, char buf[512])
{
	char text[IP_TEXT];

	*buf = '\0';
	for (size_t i = 0; i < info->n_addresses; i++)
		sprintf(buf + strlen(buf), "%s ", ip_format(&info->addresses[i].ip, text));
	return buf;
}

static const char *list_routes(const struct target_info *info, char buf[512])
{
	char text[IP_TEXT];

	*buf = '\0';
	for (size_t i = 0; i < info->n_routes; i++)
		sprintf(buf + strlen(buf), "%s/%u%s ", ip_format(&info->routes[i].prefix, text), info->routes[i].prefix_len,
			info->routes[i].type == RTN_UNICAST ? "" : "!");
	return buf;
}

int main(void)
{
	char buf[512];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct target_info info = example(rows[i].what);

		tap_int(target_info_adapt(&info, &rows[i].c, rows[i].host), 0, "%s", rows[i].name);
		tap_str(info.hostname, rows[i].hostname, "%s: host name", rows[i].name);
		tap_str(list_addresses(&info, buf), rows[i].addresses, "%s: addresses", rows[i].name);
		tap_str(list_routes(&info, buf), rows[i].routes, "%s: routes", rows[i].name);
		target_info_fini(&info);
	}
	return tap_done();
}
