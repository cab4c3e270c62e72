// SPDX-License-Identifier: MIT
/* Building the namespaces.
 *
 * The twin has the target's addresses on one link, the target's routes (all by way of the relay, each with the source address that the
 * target's kernel would choose; a destination without a route fails in the twin's kernel at once, as in the target's), and the target's
 * sysctls that show in sockets. The relay namespace has no address. Two routing decisions make it a relay:
 * what comes in by v0, or carries RELAY_MARK, is local whatever its destination; what goes out goes to v0. */
#include "twin/build.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "net/rtnl.h"
#include "twin/offload.h"
#include "twin/layout.h"
#include "twin/rules.h"
#include "twin/sockets.h"
#include "twin/sysctl.h"

/* Next hops, of both families, as each side sees the other; on no interface, since the neighbours are permanent. */
static const char *const relay_gateway[2] = { "169.254.1.1", "fe80::1" }, *const twin_gateway[2] = { "169.254.1.2", "fe80::2" };
static const struct ip *const any[2] = { &IP_ANY4, &IP_ANY6 };
static const int families[2] = { AF_INET, AF_INET6 };

static bool have_ipv6(void)
{
	return access("/proc/sys/net/ipv6", F_OK) == 0;
}

static int switch_net(int ns, struct error *err)
{
	return setns(ns, CLONE_NEWNET) < 0 ? error_set(err, errno, "enter a network namespace of ours") : 0;
}

struct setting {
	const char *name, *value;
};

static int apply_settings(const struct setting *s, size_t n, struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		if (strncmp(s[i].name, "ipv6/", 5) == 0 && !have_ipv6())
			continue;
		if (sysctl_set(s[i].name, s[i].value, err) < 0)
			return -1;
	}
	return 0;
}

/* Reverse path filters are off: addresses here are not on the links that the routes name. */
static const struct setting relay_settings[] = {
	{ "ipv4/conf/all/rp_filter", "0" },
	{ "ipv4/conf/default/rp_filter", "0" },
	{ "ipv4/conf/lo/rp_filter", "0" },
	{ "ipv4/conf/all/accept_local", "1" },
	{ "ipv6/conf/default/accept_ra", "0" },
	{ "ipv6/conf/default/disable_ipv6", "0" },
	{ "ipv6/conf/all/disable_ipv6", "0" },
	{ "ipv4/tcp_max_syn_backlog", "65535" },
};

static const struct setting twin_settings[] = {
	{ "ipv4/conf/all/rp_filter", "0" },
	{ "ipv4/conf/default/rp_filter", "0" },
	{ "ipv4/conf/lo/rp_filter", "0" },
	{ "ipv4/conf/lo/accept_local", "1" },	/* from our own address, given back by us */
	{ "ipv4/conf/lo/route_localnet", "1" }, /* 127.0.0.0/8 likewise */
	{ "ipv4/ip_unprivileged_port_start", "0" },
	{ "ipv6/conf/default/accept_ra", "0" },
	{ "ipv6/conf/all/disable_ipv6", "0" },
	{ "ipv6/conf/default/disable_ipv6", "0" },
	{ "ipv6/conf/lo/disable_ipv6", "0" },
};

#define N(array) (sizeof(array) / sizeof((array)[0]))

/* Neighbour, the route to it (what dup sends needs it, also where the target has no routes at all), and where @default_route a route of @mtu
 * for all that has no other (of the lowest preference), in the namespace that the process is in. */
static int add_gateway(struct rtnl *nl, const char *link, const char *const gateways[2], const struct mac *mac,
		       bool default_route, uint32_t mtu, struct error *err)
{
	for (int f = 0; f < (have_ipv6() ? 2 : 1); f++) {
		struct ip gateway;
		struct route route = { .prefix = *any[f], .type = RTN_UNICAST, .link = link, .gateway = &gateway,
				       .metric = UINT32_MAX, .mtu = mtu > TWIN_MTU ? 0 : mtu };
		struct route to_gateway = { .type = RTN_UNICAST, .link = link };

		ip_parse(gateways[f], &gateway);
		to_gateway.prefix = gateway;
		to_gateway.prefix_len = ip_is_v4(&gateway) ? 32 : 128;
		if (rtnl_add_neighbour(nl, link, &gateway, mac, err) < 0 || rtnl_add_route(nl, &to_gateway, err) < 0 ||
		    (default_route && rtnl_add_route(nl, &route, err) < 0))
			return -1;
	}
	return 0;
}

/* A backlog for listeners whose connections wait for nothing but us. Linux 6.1 has no net.core in a network namespace of an ordinary
 * user's, where 4096 holds then. */
static int allow_long_backlog(struct error *err)
{
	struct error lacking;

	if (sysctl_set("core/somaxconn", "65535", &lacking) == 0 || errno == ENOENT)
		return 0;
	*err = lacking;
	return -1;
}

static int build_relay(struct twin *t, struct rtnl *nl, struct error *err)
{
	const struct link_change up = { .up = true }, relay_up = { .up = true, .no_ipv6_address = true };

	if (apply_settings(relay_settings, N(relay_settings), err) < 0 || allow_long_backlog(err) < 0 ||
	    rtnl_change_link(nl, "lo", &up, err) < 0 ||
	    rtnl_change_link(nl, RELAY_LINK, &(struct link_change){ .no_ipv6_address = have_ipv6() }, err) < 0 ||
	    rtnl_change_link(nl, RELAY_LINK, have_ipv6() ? &relay_up : &up, err) < 0 ||
	    add_gateway(nl, RELAY_LINK, twin_gateway, &twin_mac, true, 0, err) < 0)
		return -1;
	for (int f = 0; f < (have_ipv6() ? 2 : 1); f++) {
		const struct rule from_twin = { .family = families[f], .iif = RELAY_LINK, .table = RELAY_TABLE };
		const struct rule given_back = { .family = families[f], .mark = RELAY_MARK, .table = RELAY_TABLE };
		const struct route local = { .prefix = *any[f], .type = RTN_LOCAL, .link = "lo", .table = RELAY_TABLE };

		if (rtnl_add_rule(nl, &from_twin, err) < 0 || rtnl_add_rule(nl, &given_back, err) < 0 ||
		    rtnl_add_route(nl, &local, err) < 0)
			return -1;
	}
	t->relay_index = if_nametoindex(RELAY_LINK);
	t->lo_index = if_nametoindex("lo");
	return relay_rules_apply(have_ipv6(), err) < 0 || relay_sockets_open(t, have_ipv6(), err) < 0 ? -1 : 0;
}

static int add_addresses(struct rtnl *nl, const struct target_info *info, struct error *err)
{
	for (size_t i = 0; i < info->n_addresses; i++) {
		const struct info_address *a = &info->addresses[i];

		if (!ip_is_v4(&a->ip) && !have_ipv6())
			continue;
		if (rtnl_add_address(nl, info->interface, &a->ip, a->prefix_len, err) < 0)
			return -1;
	}
	return 0;
}

static bool is_own_address(const struct target_info *info, const struct ip *ip)
{
	for (size_t i = 0; i < info->n_addresses; i++)
		if (ip_equal(&info->addresses[i].ip, ip))
			return true;
	return false;
}

static int change_route(struct rtnl *nl, const struct route *route, bool add, struct error *err)
{
	if (add)
		return rtnl_add_route(nl, route, err);
	rtnl_delete_route(nl, route);
	return 0;
}

/* One of the target's routes, added or taken away. Its source is only kept when the twin has that address. */
static int target_route(struct rtnl *nl, const struct target_info *info, const struct info_route *r, bool tcp, bool add, struct error *err)
{
	bool v6 = !ip_is_v4(&r->prefix);
	struct ip gateway;
	struct route route = { .prefix = r->prefix, .prefix_len = r->prefix_len, .type = r->type, .metric = r->metric,
			       .table = tcp ? TCP_TABLE : 0, .mtu = tcp || r->mtu > TWIN_MTU ? 0 : r->mtu };

	if (v6 && !have_ipv6())
		return 0;
	if (r->type == RTN_UNICAST) {
		ip_parse(relay_gateway[v6], &gateway);
		route.link = info->interface;
		route.gateway = &gateway;
		route.source = is_own_address(info, &r->source) ? &r->source : NULL;
	} else if (v6) {
		route.link = "lo";
	}
	return change_route(nl, &route, add, err);
}

static int target_routes(struct rtnl *nl, const struct target_info *info, bool add, struct error *err)
{
	for (size_t i = 0; i < 2 * info->n_routes; i++)
		if (target_route(nl, info, &info->routes[i / 2], i % 2, add, err) < 0)
			return -1;
	return 0;
}

/* A datagram that is too long for the target's link fails or is cut as there. TCP has nothing from that but smaller segments, which cost an upload
 * a sixth of its speed: so it has routes of its own, of the link's MTU.
 *
 * Where the target routes by more than its main table, the table alone would be wrong: then every destination has a route. */
static int add_routes(struct rtnl *nl, const struct target_info *info, struct error *err)
{
	uint32_t mtu = 0;

	for (size_t i = 0; i < info->n_routes; i++)
		if (info->routes[i].mtu && (!mtu || info->routes[i].mtu < mtu))
			mtu = info->routes[i].mtu;
	if (add_gateway(nl, info->interface, relay_gateway, &relay_mac, info->policy_routing, mtu, err) < 0)
		return -1;
	if (target_routes(nl, info, true, err) < 0)
		return -1;
	for (int f = 0; f < (have_ipv6() ? 2 : 1); f++) {
		const struct rule tcp = { .family = families[f], .protocol = IPPROTO_TCP, .table = TCP_TABLE };

		if (rtnl_add_rule(nl, &tcp, err) < 0)
			return -1;
	}
	return 0;
}

/* What the target set differently; the kernel may lack one of them, or refuse its value to us, and that shows in no socket call of most
 * programs: so a failure is not one of the session. */
static void copy_sysctls(const struct target_info *info)
{
	for (size_t i = 0; i < info->n_sysctls; i++) {
		struct error ignored = { 0 };

		sysctl_set(info->sysctls[i].name, info->sysctls[i].value, &ignored);
	}
}

/* Ping sockets for the user's own group, whatever the target allows: echo requests leave by way of the agent. */
static void allow_ping_sockets(void)
{
	char range[64];
	struct error ignored = { 0 };

	if (sysctl_set("ipv4/ping_group_range", "0 2147483647", &ignored) == 0)
		return;
	snprintf(range, sizeof(range), "%u %u", getegid(), getegid());
	sysctl_set("ipv4/ping_group_range", range, &ignored);
}

static int set_host_name(const struct target_info *info, struct error *err)
{
	if (info->hostname[0] && sethostname(info->hostname, strlen(info->hostname)) < 0)
		return error_set(err, errno, "set the host name %s", info->hostname);
	return 0;
}

static int build_twin(const struct target_info *info, const char *target, struct rtnl *nl, struct error *err)
{
	char alias[256];
	const struct link_change lo_up = { .up = true, .mtu = TWIN_MTU };
	struct link_change up = { .up = true, .alias = alias };

	snprintf(alias, sizeof(alias), "mirrord %s", target);
	if (apply_settings(twin_settings, N(twin_settings), err) < 0 || rtnl_change_link(nl, "lo", &lo_up, err) < 0 ||
	    (have_ipv6() && rtnl_change_link(nl, info->interface, &(struct link_change){ .no_ipv6_address = true }, err) < 0) ||
	    link_segmentation_off(info->interface, err) < 0 || rtnl_change_link(nl, info->interface, &up, err) < 0 ||
	    add_addresses(nl, info, err) < 0 || add_routes(nl, info, err) < 0 || twin_rules_apply(info, have_ipv6(), err) < 0)
		return -1;
	copy_sysctls(info);
	allow_ping_sockets();
	return set_host_name(info, err);
}

/* A name that is taken: a namespace is born with the fallback links of some tunnel drivers (tunl0, sit0, …) where they are loaded. */
static void fit_interface(struct target_info *info)
{
	if (if_nametoindex(info->interface))
		strcpy(info->interface, "eth0");
}

int twin_build(struct twin *t, const struct target_info *info, const char *target, struct error *err)
{
	struct target_info fitted = *info;
	const struct veth_end twin_end = { .name = fitted.interface, .mac = twin_mac, .netns = -1 };
	const struct veth_end relay_end = { .name = RELAY_LINK, .mac = relay_mac, .netns = t->relay_ns };
	struct rtnl *in_twin = NULL, *in_relay = NULL;
	int rc = -1;

	if (switch_net(t->net_ns, err) < 0)
		return -1;
	fit_interface(&fitted);
	if ((in_twin = rtnl_open(err)) &&
	    rtnl_add_veth(in_twin, &twin_end, &relay_end, TWIN_MTU, err) == 0 && twin_sockets_open(t, err) == 0 &&
	    build_twin(&fitted, target, in_twin, err) == 0 && switch_net(t->relay_ns, err) == 0 && (in_relay = rtnl_open(err)) &&
	    build_relay(t, in_relay, err) == 0 && rtnl_await_ready(in_twin, twin_end.name, err) == 0)
		rc = 0;
	rtnl_close(in_twin);
	rtnl_close(in_relay);
	return rc;
}

/* @info with @before's addresses as well, as far as there is room; they are @ret_addresses'. */
static struct target_info with_both(const struct target_info *info, const struct target_info *before, struct info_address *ret_addresses)
{
	struct target_info both = *info;

	memcpy(ret_addresses, info->addresses, info->n_addresses * sizeof(*ret_addresses));
	for (size_t i = 0; i < before->n_addresses; i++)
		if (both.n_addresses < INFO_ADDRESSES && !is_own_address(info, &before->addresses[i].ip))
			ret_addresses[both.n_addresses++] = before->addresses[i];
	both.addresses = ret_addresses;
	return both;
}

int twin_readdress(int net_ns, const struct target_info *info, const struct target_info *before, struct error *err)
{
	struct target_info old = *before, fitted = *info, both;
	struct info_address addresses[INFO_ADDRESSES];
	struct rtnl *nl;
	int rc = -1;

	if (switch_net(net_ns, err) < 0)
		return -1;
	if (if_nametoindex("eth0")) /* its own name was taken (fit_interface()) */
		strcpy(old.interface, "eth0");
	strcpy(fitted.interface, old.interface);
	both = with_both(&fitted, &old, addresses);
	nl = rtnl_open(err);
	if (nl && add_addresses(nl, &fitted, err) == 0 && twin_rules_replace(&both, have_ipv6(), err) == 0) {
		/* What both have must not be missed: it is taken away before it is added again. */
		target_routes(nl, &old, false, err);
		rc = target_routes(nl, &fitted, true, err);
	}
	rtnl_close(nl);
	return rc < 0 ? -1 : set_host_name(info, err);
}

void twin_cut(int net_ns)
{
	struct error ignored = { 0 };
	struct rtnl *nl;

	if (switch_net(net_ns, &ignored) < 0)
		return;
	nl = rtnl_open(&ignored);
	for (int f = 0; nl && f < 2; f++)
		rtnl_add_rule(nl, &(struct rule){ .family = families[f], .priority = 1 }, &ignored);
	rtnl_close(nl);
	twin_rules_remove();
}

const struct twin TWIN_NONE = { .user_ns = -1, .net_ns = -1, .uts_ns = -1, .relay_ns = -1, .packet_in = -1, .packet_out = -1,
				.listeners = { -1, -1 }, .diag = -1, .agent_diag = -1 };

void twin_close(struct twin *t)
{
	int *fds[] = { &t->user_ns, &t->net_ns, &t->uts_ns, &t->relay_ns, &t->packet_in, &t->packet_out,
		       &t->listeners[0], &t->listeners[1], &t->diag, &t->agent_diag };

	for (size_t i = 0; i < N(fds); i++)
		fd_closep(fds[i]);
}

int twin_inside(char ret_target[256], struct error *err)
{
	struct if_nameindex *links = if_nameindex();
	struct rtnl *nl = rtnl_open(err);
	char alias[256];
	int rc = links && nl ? 0 : -1;

	if (nl && !links)
		error_set(err, errno, "list the network links");
	for (struct if_nameindex *l = links; rc == 0 && l->if_index; l++) {
		rc = rtnl_link_alias(nl, l->if_name, alias, err);
		if (rc == 1 && strncmp(alias, "mirrord ", 8) == 0)
			memcpy(ret_target, alias + 8, 248);
		else if (rc == 1)
			rc = 0;
	}
	if (links)
		if_freenameindex(links);
	rtnl_close(nl);
	return rc;
}
