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
	struct target_info info = { .hostname = "pod", .resolv_conf = strdup("nameserver 10.96.0.10\n") };

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
/* One entry: of a name, or of addresses. */
#define FILTER_OF(which, entry) .outgoing_filter = { (which), { (char *[]){ (char *)(entry) }, 1, true } }
#define FILTER FILTER_OF(FILTER_LOCAL, "db")

#define BOTH .v4 = true, .v6 = true
#define ONLY4 .v4 = true
#define SERVERS4_6 .name_servers[0].b = { [10] = 0xff, 0xff, 192, 0, 2, 53 }, .name_servers[1].b = { 0xfd, 0x53 }

static const struct {
	const char *name;
	struct config c;
	struct host_network host;
	int what;
	const char *hostname, *addresses, *routes; /* as list_addresses() and list_routes() say them */
} rows[] = {
	{ "as it is", { ALL }, { BOTH }, FORBIDS, "pod", "10.0.0.1 fd00::1 ", "10.0.0.0/24 fd00::/64 0.0.0.0/0! " },
	{ "no host name", { .ipv6 = true, .outgoing_tcp = true, .outgoing_udp = true }, { BOTH }, 0,
	  "", "10.0.0.1 fd00::1 ", "10.0.0.0/24 fd00::/64 " },
	{ "no IPv6", { .hostname = true, .outgoing_tcp = true, .outgoing_udp = true }, { BOTH }, DEFAULT4,
	  "pod", "10.0.0.1 ", "10.0.0.0/24 0.0.0.0/0 " },
	{ "no TCP: default routes of both families", { .hostname = true, .ipv6 = true, .outgoing_udp = true }, { BOTH }, 0,
	  "pod", "10.0.0.1 fd00::1 ", "10.0.0.0/24 fd00::/64 0.0.0.0/0 ::/0 " },
	{ "no UDP likewise", { .hostname = true, .ipv6 = true, .outgoing_tcp = true }, { BOTH }, 0,
	  "pod", "10.0.0.1 fd00::1 ", "10.0.0.0/24 fd00::/64 0.0.0.0/0 ::/0 " },
	{ "a filter: the one that is missing", { ALL, FILTER }, { BOTH }, DEFAULT4,
	  "pod", "10.0.0.1 fd00::1 ", "10.0.0.0/24 fd00::/64 0.0.0.0/0 ::/0 " },
	{ "a filter: no route that forbids", { ALL, FILTER }, { BOTH }, FORBIDS,
	  "pod", "10.0.0.1 fd00::1 ", "10.0.0.0/24 fd00::/64 0.0.0.0/0 ::/0 " },
	{ "a filter, no IPv6", { .hostname = true, .outgoing_tcp = true, .outgoing_udp = true, FILTER }, { BOTH }, 0,
	  "pod", "10.0.0.1 ", "10.0.0.0/24 0.0.0.0/0 " },
	{ "a filter, a target without IPv6", { ALL, FILTER }, { BOTH }, NO_V6,
	  "pod", "10.0.0.1 fd00:6d::3 ", "10.0.0.0/24 0.0.0.0/0 ::/0 " },
	{ "a filter, a target without IPv4", { ALL, FILTER }, { BOTH }, NO_V4, "pod", "fd00::1 192.0.0.2 ", "fd00::/64 0.0.0.0/0 ::/0 " },
	{ "a filter, a target with lo alone", { ALL, FILTER }, { BOTH }, NO_V4 | NO_V6, "pod", "192.0.0.2 fd00:6d::3 ", "0.0.0.0/0 ::/0 " },
	{ "the same, and here no IPv6 either", { ALL, FILTER }, { ONLY4 }, NO_V4 | NO_V6, "pod", "192.0.0.2 ", "0.0.0.0/0 " },
	{ "a filter of addresses: the way to them alone", { ALL, FILTER_OF(FILTER_LOCAL, "10.9.0.0/16:80") }, { BOTH }, NO_V6,
	  "pod", "10.0.0.1 ", "10.0.0.0/24 10.9.0.0/16 " },
	{ "a filter of addresses to which there is a way", { ALL, FILTER_OF(FILTER_LOCAL, "10.0.0.128/25") }, { BOTH }, 0,
	  "pod", "10.0.0.1 fd00::1 ", "10.0.0.0/24 fd00::/64 " },
	{ "a filter of addresses, a target without IPv6", { ALL, FILTER_OF(FILTER_LOCAL, "fd09::/64") }, { BOTH }, DEFAULT4 | NO_V6,
	  "pod", "10.0.0.1 fd00:6d::3 ", "10.0.0.0/24 0.0.0.0/0 fd09::/64 " },
	{ "a filter of addresses that are forbidden", { ALL, FILTER_OF(FILTER_LOCAL, "10.9.0.0/16") }, { BOTH }, FORBIDS,
	  "pod", "10.0.0.1 fd00::1 ", "10.0.0.0/24 fd00::/64 10.9.0.0/16 " },
	{ "a filter of other addresses than are forbidden", { ALL, FILTER_OF(FILTER_LOCAL, "fd09::1") }, { BOTH }, FORBIDS,
	  "pod", "10.0.0.1 fd00::1 ", "10.0.0.0/24 fd00::/64 0.0.0.0/0! fd09::1/128 " },
	{ "a filter of loopback addresses", { ALL, FILTER_OF(FILTER_LOCAL, "127.0.0.1") }, { BOTH }, NO_V4,
	  "pod", "fd00::1 ", "fd00::/64 " },
	{ "a filter of what may stay", { ALL, FILTER_OF(FILTER_REMOTE, "10.9.0.0/16") }, { BOTH }, 0,
	  "pod", "10.0.0.1 fd00::1 ", "10.0.0.0/24 fd00::/64 0.0.0.0/0 ::/0 " },
	{ "this machine's name servers", { .dns_enabled = false, ALL }, { BOTH, SERVERS4_6, .name_servers[2].b[15] = 1, .n_name_servers = 3 }, NO_V6,
	  "pod", "10.0.0.1 fd00:6d::3 ", "10.0.0.0/24 192.0.2.53/32 fd53::/128 " },
	{ "the target's, not this machine's", { .dns_enabled = true, ALL }, { BOTH, SERVERS4_6, .n_name_servers = 2 }, NO_V6,
	  "pod", "10.0.0.1 ", "10.0.0.0/24 " },
	{ "the target's, since some names are local", { .dns_enabled = true, ALL, .dns_rules = { .side = FILTER_LOCAL } },
	  { BOTH, SERVERS4_6, .n_name_servers = 2 }, NO_V4 | NO_V6, "pod", "192.0.0.2 ", "10.96.0.10/32 " },
	{ "nothing leaves from here: the target's families", { ALL }, { BOTH }, NO_V6,
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

		tap_int(target_info_adapt(&info, &rows[i].c, &rows[i].host), 0, "%s", rows[i].name);
		tap_str(info.hostname, rows[i].hostname, "%s: host name", rows[i].name);
		tap_str(list_addresses(&info, buf), rows[i].addresses, "%s: addresses", rows[i].name);
		tap_str(list_routes(&info, buf), rows[i].routes, "%s: routes", rows[i].name);
		target_info_fini(&info);
	}
	return tap_done();
}
