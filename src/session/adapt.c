// SPDX-License-Identifier: MIT
/* What of the target shows in the twin. */
#include "session/adapt.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>

#include "config/address_rule.h"
#include "net/rtnl_dump.h"

/* More are not worth the routes: then there is one for all. */
enum { LOCALS_MAX = 64 };

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

static bool has_address(const struct target_info *info, bool v4)
{
	for (size_t i = 0; i < info->n_addresses; i++)
		if (ip_is_v4(&info->addresses[i].ip) == v4)
			return true;
	return false;
}

/* Destinations that may be this machine's. */
struct locals {
	struct local {
		struct ip prefix;
		uint8_t len; /* of its own family */
	} items[LOCALS_MAX];
	size_t n;
};

static void set_all(struct locals *l)
{
	l->items[0] = (struct local){ .prefix = IP_ANY4 };
	l->items[1] = (struct local){ .prefix = IP_ANY6 };
	l->n = 2;
}

/* A rule of @c's filter, which is of local ones. False when it can be of any address. */
static bool add_rule(struct locals *l, const char *text)
{
	struct address_rule rule;
	unsigned int at;

	if (address_rule_parse(text, &rule, &at) != RULE_OK)
		return true;
	if (rule.host != RULE_PREFIX || l->n == LOCALS_MAX)
		return false;
	l->items[l->n++] = (struct local){ rule.prefix, (uint8_t)(ip_is_v4(&rule.prefix) ? rule.len - 96 : rule.len) };
	return true;
}

static void add_name_servers(struct locals *l, const struct ip *servers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		l->items[l->n++] = (struct local){ servers[i], ip_is_v4(&servers[i]) ? 32 : 128 };
}

/* Questions to the target's name servers are answered here when their names are local. */
static struct locals locals_of(const struct target_info *info, const struct config *c, const struct host_network *host)
{
	struct locals l = { .n = 0 };
	struct ip servers[MAX_NAME_SERVERS];

	if (!c->dns_enabled)
		add_name_servers(&l, host->name_servers, host->n_name_servers);
	else if (c->dns_rules.side != FILTER_NONE)
		add_name_servers(&l, servers, routing_read_name_servers(info->resolv_conf, servers));
	if (!c->outgoing_tcp || !c->outgoing_udp || c->outgoing_filter.side == FILTER_REMOTE)
		set_all(&l);
	for (size_t i = 0; c->outgoing_filter.side == FILTER_LOCAL && i < c->outgoing_filter.entries.n; i++)
		if (!add_rule(&l, c->outgoing_filter.entries.items[i])) {
			set_all(&l);
			break;
		}
	return l;
}

static bool contains(const struct ip *prefix, uint8_t len, const struct ip *of, uint8_t of_len)
{
	return len <= of_len && ip_is_v4(prefix) == ip_is_v4(of) && ip_in_prefix(of, prefix, len);
}

static bool overlaps(const struct local *l, const struct info_route *r)
{
	return contains(&l->prefix, l->len, &r->prefix, r->prefix_len) || contains(&r->prefix, r->prefix_len, &l->prefix, l->len);
}

/* The twin's packets come to the session by any route. One that forbids would take them away from it. */
static void leave_out_forbidding(struct target_info *info, const struct local *l)
{
	size_t n = 0;

	for (size_t i = 0; i < info->n_routes; i++)
		if (info->routes[i].type == RTN_UNICAST || !overlaps(l, &info->routes[i]))
			info->routes[n++] = info->routes[i];
	info->n_routes = n;
}

static bool has_route(const struct target_info *info, const struct local *l)
{
	for (size_t i = 0; i < info->n_routes; i++)
		if (info->routes[i].type == RTN_UNICAST && contains(&info->routes[i].prefix, info->routes[i].prefix_len, &l->prefix, l->len))
			return true;
	return false;
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

static int add_route(struct target_info *info, const struct local *l)
{
	struct info_route *routes = realloc(info->routes, (info->n_routes + 1) * sizeof(*routes));

	if (!routes)
		return -ENOMEM;
	info->routes = routes;
	routes[info->n_routes++] = (struct info_route){ .prefix = l->prefix, .prefix_len = l->len, .type = RTN_UNICAST,
							.source = ip_is_v4(&l->prefix) ? IP_ANY4 : IP_ANY6 };
	return 0;
}

static int open_way(struct target_info *info, const struct local *l, const struct host_network *host)
{
	bool v4 = ip_is_v4(&l->prefix);
	int rc = 0;

	leave_out_forbidding(info, l);
	if ((v4 ? host->v4 : host->v6) && !has_address(info, v4) && info->n_addresses < INFO_ADDRESSES)
		rc = v4 ? add_address(info, "192.0.0.2", 32) : add_address(info, "fd00:6d::3", 128);
	if (rc < 0 || !has_address(info, v4) || has_route(info, l) || info->n_routes >= INFO_ROUTES)
		return rc;
	return add_route(info, l);
}

int target_info_adapt(struct target_info *info, const struct config *c, const struct host_network *host)
{
	const struct locals l = locals_of(info, c, host);
	int rc = 0;

	if (!c->hostname)
		info->hostname[0] = '\0';
	if (!c->ipv6)
		leave_out_ipv6(info);
	for (size_t i = 0; rc == 0 && i < l.n; i++)
		if (!ip_is_loopback(&l.items[i].prefix) && (c->ipv6 || ip_is_v4(&l.items[i].prefix)))
			rc = open_way(info, &l.items[i], host);
	return rc;
}

static void note_family(void *arg, const struct dumped_address *a)
{
	struct host_network *host = arg;

	if (a->scope >= RT_SCOPE_LINK)
		return;
	if (ip_is_v4(&a->ip))
		host->v4 = true;
	else
		host->v6 = true;
}

struct host_network host_network(void)
{
	struct host_network host = { 0 };
	struct error ignored = { 0 };
	char *resolv_conf = routing_host_resolv_conf();

	rtnl_dump_addresses(note_family, &host, &ignored);
	host.n_name_servers = routing_read_name_servers(resolv_conf, host.name_servers);
	free(resolv_conf);
	return host;
}
