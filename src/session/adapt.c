// SPDX-License-Identifier: MIT
/* What of the target shows in the twin. */
#include "session/adapt.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>

#include "net/rtnl_dump.h"

static void leave_out_ipv6(struct target_info *info)
{
	size_t n = 0;

	for (size_t i = 0; i < info->n_addresses; i++)
		if (ip_is_v4(&info->addresses[i].ip))
			info->addresses[n++] = info->addresses[i];
	info->n_addresses = n;
	n = 0;
	for (size_t i = 0; i < info->n_routes; i++)
		if (ip_is_v4(&info->routes[i].prefix))
			info->routes[n++] = info->routes[i];
	info->n_routes = n;
}

static bool leaves_here(const struct config *c)
{
	return !c->outgoing_tcp || !c->outgoing_udp || c->outgoing_filter.side != FILTER_NONE;
}

static bool has_address(const struct target_info *info, bool v4)
{
	for (size_t i = 0; i < info->n_addresses; i++)
		if (ip_is_v4(&info->addresses[i].ip) == v4)
			return true;
	return false;
}

static bool has_default(const struct target_info *info, bool v4)
{
	for (size_t i = 0; i < info->n_routes; i++)
		if (info->routes[i].prefix_len == 0 && ip_is_v4(&info->routes[i].prefix) == v4)
			return true;
	return false;
}

static void leave_out_forbidding(struct target_info *info)
{
	size_t n = 0;

	for (size_t i = 0; i < info->n_routes; i++)
		if (info->routes[i].type == RTN_UNICAST)
			info->routes[n++] = info->routes[i];
	info->n_routes = n;
}

static int add_address(struct target_info *info, const char *text, uint8_t prefix_len)
{
	struct info_address *addresses = realloc(info->addresses, (info->n_addresses + 1) * sizeof(*addresses));

	if (!addresses)
		return -ENOMEM;
	info->addresses = addresses;
	addresses[info->n_addresses].prefix_len = prefix_len;
	ip_parse(text, &addresses[info->n_addresses++].ip);
	return 0;
}

static int add_default(struct target_info *info, bool v4)
{
	struct info_route *routes;

	if (!has_address(info, v4) || has_default(info, v4) || info->n_routes >= INFO_ROUTES)
		return 0;
	routes = realloc(info->routes, (info->n_routes + 1) * sizeof(*routes));
	if (!routes)
		return -ENOMEM;
	info->routes = routes;
	routes[info->n_routes++] = (struct info_route){ .prefix = v4 ? IP_ANY4 : IP_ANY6, .type = RTN_UNICAST, .source = v4 ? IP_ANY4 : IP_ANY6 };
	return 0;
}

static int open_family(struct target_info *info, bool v4, bool host_has_it)
{
	int rc = 0;

	if (host_has_it && !has_address(info, v4) && info->n_addresses < INFO_ADDRESSES)
		rc = v4 ? add_address(info, "192.0.0.2", 32) : add_address(info, "fd00:6d::3", 128);
	return rc < 0 ? rc : add_default(info, v4);
}

int target_info_adapt(struct target_info *info, const struct config *c, struct host_families host)
{
	int rc;

	if (!c->hostname)
		info->hostname[0] = '\0';
	if (!c->ipv6)
		leave_out_ipv6(info);
	if (!leaves_here(c))
		return 0;
	leave_out_forbidding(info);
	rc = open_family(info, true, host.v4);
	return rc == 0 ? open_family(info, false, host.v6 && c->ipv6) : rc;
}

static void note_family(void *arg, const struct dumped_address *a)
{
	struct host_families *host = arg;

	if (a->scope >= RT_SCOPE_LINK)
		return;
	if (ip_is_v4(&a->ip))
		host->v4 = true;
	else
		host->v6 = true;
}

struct host_families host_families(void)
{
	struct host_families host = { 0 };
	struct error ignored = { 0 };

	rtnl_dump_addresses(note_family, &host, &ignored);
	return host;
}
