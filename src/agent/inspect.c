// SPDX-License-Identifier: MIT
/* Asking the target's network namespace, in which the calling process is. */
#include "agent/inspect.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include "agent/capability.h"
#include "agent/files.h"
#include "agent/routes.h"
#include "agent/source.h"
#include "agent/sysctls.h"
#include "agent/variables.h"
#include "base/fd.h"
#include "base/log.h"
#include "net/rtnl_dump.h"

/* More addresses than that are not looked at when a source is chosen. */
enum { ADDRESSES_MAX = 4096 };

/* What was found on the way. */
struct view {
	struct dumped_address *addresses;
	size_t n_addresses, room;
	struct routes routes;
	unsigned int lo;
	/* The default route that counts: the lowest metric, IPv4 before IPv6. */
	unsigned int default_link;
	uint32_t default_metric;
	bool default_v4;
	int main_rules, other_rules;
	int any_socket; /* to ask for links */
};

static void on_address(void *arg, const struct dumped_address *a)
{
	struct view *v = arg;

	if (v->n_addresses == v->room) {
		size_t room = v->room ? 2 * v->room : 32;
		struct dumped_address *more =
		    room <= ADDRESSES_MAX ? realloc(v->addresses, room * sizeof(*more)) : NULL;

		if (!more)
			return;
		v->addresses = more;
		v->room = room;
	}
	v->addresses[v->n_addresses++] = *a;
}

static void note_default(struct view *v, const struct dumped_route *r)
{
	bool v4 = ip_is_v4(&r->prefix);

	if (r->prefix_len != 0 || r->type != RTN_UNICAST || r->link == 0 || r->link == v->lo)
		return;
	if (v->default_link && (v->default_v4 != v4 ? v->default_v4 : v->default_metric <= r->metric))
		return;
	v->default_link = r->link;
	v->default_metric = r->metric;
	v->default_v4 = v4;
}

/* What a packet by that route may be long. */
static uint32_t route_mtu(const struct view *v, const struct dumped_route *r)
{
	struct ifreq request = { 0 };

	if (r->mtu)
		return r->mtu;
	if (!r->link || !if_indextoname(r->link, request.ifr_name) || ioctl(v->any_socket, SIOCGIFMTU, &request) < 0)
		return 0;
	return (uint32_t)request.ifr_mtu;
}

static void on_route(void *arg, const struct dumped_route *r)
{
	struct view *v = arg;
	const struct info_route route = { .prefix = r->prefix,
					  .prefix_len = r->prefix_len,
					  .type = r->type,
					  .metric = r->metric,
					  .mtu = r->type == RTN_UNICAST ? route_mtu(v, r) : 0,
					  .source = route_source(r, v->addresses, v->n_addresses) };

	switch (r->type) {
	case RTN_UNICAST:
	case RTN_UNREACHABLE:
	case RTN_PROHIBIT:
	case RTN_BLACKHOLE:
	case RTN_THROW:
		break;
	default:
		return;
	}
	/* Link-local and multicast IPv6 mean nothing beyond the link. */
	if (!ip_is_v4(&r->prefix) && r->prefix_len >= 8 && (ip_is_link_local6(&r->prefix) || r->prefix.b[0] == 0xff))
		return;
	note_default(v, r);
	routes_add(&v->routes, &route);
}

static void on_rule(void *arg, const struct dumped_rule *r)
{
	struct view *v = arg;
	const bool standard = r->plain && ((r->priority == 0 && r->table == RT_TABLE_LOCAL) ||
					   (r->priority == 32766 && r->table == RT_TABLE_MAIN) ||
					   (r->priority == 32767 && r->table == RT_TABLE_DEFAULT));

	if (!standard)
		v->other_rules++;
	else if (r->family == AF_INET && r->table == RT_TABLE_MAIN)
		v->main_rules++;
}

/* An address that a program in the target can call its own, and others can reach. */
static bool is_own_address(const struct dumped_address *a)
{
	return !ip_is_loopback(&a->ip) && !ip_is_link_local6(&a->ip) && !(a->flags & IFA_F_DADFAILED);
}

static bool has_address(const struct target_info *info, const struct ip *ip)
{
	for (size_t i = 0; i < info->n_addresses; i++) {
		if (ip_equal(&info->addresses[i].ip, ip))
			return true;
	}
	return false;
}

/* Those of the default route's link first: what comes first is what shows as "the" address. */
static int fill_addresses(const struct view *v, struct target_info *info, struct error *err)
{
	info->addresses = calloc(INFO_ADDRESSES, sizeof(*info->addresses));
	if (!info->addresses)
		return error_set(err, ENOMEM, "list the target's addresses");
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < v->n_addresses; i++) {
			const struct dumped_address *a = &v->addresses[i];

			if ((a->link == v->default_link) != (pass == 0) || !is_own_address(a) ||
			    has_address(info, &a->ip))
				continue;
			if (info->n_addresses == INFO_ADDRESSES) {
				log_warn("inspect: the target has more than %d addresses; the others are left out",
					 INFO_ADDRESSES);
				return 0;
			}
			info->addresses[info->n_addresses++] =
			    (struct info_address){ .ip = a->ip, .prefix_len = a->prefix_len };
		}
	}
	return 0;
}

/* The link whose name the twin's gets: of the default route, else of the first address, else the first that there is.
 */
static void fill_interface(const struct view *v, struct target_info *info)
{
	unsigned int link = v->default_link;
	struct if_nameindex *all;
	char name[IF_NAMESIZE] = "";

	for (size_t i = 0; i < v->n_addresses && !link; i++) {
		if (v->addresses[i].link != v->lo)
			link = v->addresses[i].link;
	}
	if (link && !if_indextoname(link, name))
		name[0] = '\0';
	all = name[0] ? NULL : if_nameindex();
	for (struct if_nameindex *i = all; i && i->if_index && !name[0]; i++) {
		if (i->if_index != v->lo)
			memcpy(name, i->if_name, strnlen(i->if_name, sizeof(name) - 1) + 1);
	}
	if (all)
		if_freenameindex(all);
	memcpy(info->interface, name[0] ? name : "eth0", name[0] ? sizeof(name) : sizeof("eth0"));
}

static int fill_network(struct view *v, struct target_info *info, struct error *err)
{
	_cleanup_fd_ int any_socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	v->any_socket = any_socket;
	v->lo = if_nametoindex("lo");
	if (rtnl_dump_addresses(on_address, v, err) < 0 || rtnl_dump_routes(RT_TABLE_MAIN, on_route, v, err) < 0 ||
	    rtnl_dump_rules(on_rule, v, err) < 0)
		return -1;
	info->routes = routes_take(&v->routes, &info->n_routes);
	if (v->routes.error)
		return error_set(err, v->routes.error, "list the target's routes");
	if (v->routes.left_out)
		log_warn("inspect: the target has more than %d routes; the %zu narrowest are left out", INFO_ROUTES,
			 v->routes.left_out);
	info->policy_routing = v->other_rules > 0 || v->main_rules == 0;
	fill_interface(v, info);
	return fill_addresses(v, info, err);
}

static uint8_t may(void)
{
	struct error none;
	bool steals = capability_need(CAP_NET_ADMIN, "", "", "", &none) == 0, mirrors = capability_need(CAP_NET_RAW, "", "", "", &none) == 0;

	return (uint8_t)((steals ? INFO_MAY_STEAL : 0) | (mirrors ? INFO_MAY_MIRROR : 0));
}

int agent_inspect(const struct entry *e, struct target_info *ret, struct error *err)
{
	struct target_info info = { 0 };
	struct view v = { 0 };
	struct utsname names;
	int r = fill_network(&v, &info, err);

	free(v.addresses);
	free(v.routes.all);
	info.sysctls = r == 0 ? calloc(INFO_SYSCTLS, sizeof(*info.sysctls)) : NULL;
	if (r == 0 && !info.sysctls)
		r = error_set(err, ENOMEM, "list the target's settings");
	if (r < 0) {
		target_info_fini(&info);
		return -1;
	}
	info.n_sysctls = sysctls_read(info.sysctls);
	if (uname(&names) == 0) {
		memcpy(info.hostname, names.nodename, sizeof(info.hostname));
		memcpy(info.kernel, names.release, sizeof(info.kernel));
	}
	snprintf(info.version, sizeof(info.version), "%s", VERSION);
	info.may = may();
	info.resolv_conf = target_file(e, "resolv.conf");
	info.hosts = target_file(e, "hosts");
	variables_read(e, &info);
	target_info_tidy(&info);
	*ret = info;
	return 0;
}
