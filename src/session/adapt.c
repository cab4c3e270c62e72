// SPDX-License-Identifier: MIT
/* What of the target shows in the twin. */
#include "session/adapt.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>

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

int target_info_adapt(struct target_info *info, const struct config *c)
{
	int rc = 0;

	if (!c->hostname)
		info->hostname[0] = '\0';
	if (!c->ipv6)
		leave_out_ipv6(info);
	if (leaves_here(c))
		rc = add_default(info, true);
	return rc == 0 && leaves_here(c) ? add_default(info, false) : rc;
}
