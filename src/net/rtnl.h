// SPDX-License-Identifier: MIT
/* rtnetlink(7): what is needed to build a network namespace. Every call waits for the kernel's acknowledgement. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "net/addr.h"

struct rtnl;

/* Acts on the network namespace that the caller is in now, wherever it goes later. NULL with @err. */
struct rtnl *rtnl_open(struct error *err);
void rtnl_close(struct rtnl *nl);

struct mac {
	uint8_t b[6];
};

/* One end of a veth pair. @netns is -1 for the socket's own. */
struct veth_end {
	const char *name;
	struct mac mac;
	int netns;
};
/* Makes a veth pair, both ends down. @far stands in its @netns, @near in the socket's own. */
int rtnl_add_veth(struct rtnl *nl, const struct veth_end *near, const struct veth_end *far, uint32_t mtu, struct error *err);

/* Changes to a link; those at their zero are left alone. */
struct link_change {
	const char *rename, *alias;
	uint32_t mtu;
	bool up, down;
	bool no_ipv6_address; /* no link-local address by itself (IN6_ADDR_GEN_MODE_NONE) */
};
int rtnl_change_link(struct rtnl *nl, const char *name, const struct link_change *change, struct error *err);
/* Waits until the link @name, which is up, carries packets. The end of a veth pair that was set up first gets its queue from a work of the kernel's
 * (net/core/link_watch.c), up to a second after the other end is up; what is sent before is lost in a noop_qdisc, and the sender isn't told.
 * Fails with ETIMEDOUT when nothing happens for 10 s. */
int rtnl_await_ready(struct rtnl *nl, const char *name, struct error *err);
/* The alias (ip link's "alias") of a link: 1 and the text, 0 when there is no such link or alias, -1 with @err. */
int rtnl_link_alias(struct rtnl *nl, const char *name, char ret_alias[256], struct error *err);

/* To a link that is up. No prefix route and no duplicate address detection come with it. Packets to it are taken when the call returns: IPv6 makes
 * the address's local route in a work of the kernel's (addrconf_dad_work() of net/ipv6/addrconf.c), though there is nothing to detect, and
 * what comes before is lost. Fails with ETIMEDOUT when that takes more than 10 s. */
int rtnl_add_address(struct rtnl *nl, const char *link, const struct ip *ip, uint8_t prefix_len, struct error *err);

/* @link NULL: none; @gateway NULL: none (an own one need not be on the link); @source NULL or any: none. */
struct route {
	struct ip prefix;
	uint8_t prefix_len, type; /* RTN_UNICAST, RTN_LOCAL, RTN_UNREACHABLE… */
	const char *link;
	const struct ip *gateway, *source;
	uint32_t table, metric; /* table 0: main */
	uint32_t mtu;		/* 0: the link's */
};
int rtnl_add_route(struct rtnl *nl, const struct route *route, struct error *err);
/* One route that is so. Returns 0 or -errno (-ESRCH: there is none). */
int rtnl_delete_route(struct rtnl *nl, const struct route *route);

/* "Packets that come in by @iif (NULL: any), carry @mark (0: any) and are of @protocol (0: any) look in @table", or are unreachable where
 * @table is 0. @priority 0: before all rules that are there but the first. */
struct rule {
	int family;
	const char *iif;
	uint8_t protocol;
	uint32_t mark, table, priority;
};
int rtnl_add_rule(struct rtnl *nl, const struct rule *rule, struct error *err);
/* One rule that is so. Returns 0 or -errno (-ENOENT: there is none). */
int rtnl_delete_rule(struct rtnl *nl, const struct rule *rule);

/* A neighbour entry that never expires. */
int rtnl_add_neighbour(struct rtnl *nl, const char *link, const struct ip *ip, const struct mac *mac, struct error *err);

/* A socket that hears of every route and rule that comes and goes in the calling process's network namespace; it never blocks. -1 with @err. */
int rtnl_listen(struct error *err);
