// SPDX-License-Identifier: MIT
/* rtnetlink over libmnl: a request is built in a buffer on the stack and acknowledged before the call returns. */
#include "net/rtnl.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

#define OPER_UP 6 /* IF_OPER_UP of linux/if.h, which net/if.h excludes (RFC 2863) */

enum { REQUEST_MAX = 2048, ANSWER_MAX = 32768, READY_MS = 10000, AGAIN_US = 100 };

struct rtnl {
	struct mnl_socket *sock;
	uint32_t seq;
};

struct request {
	char bytes[REQUEST_MAX];
	struct nlmsghdr *header;
};

struct rtnl *rtnl_open(struct error *err)
{
	struct rtnl *nl = calloc(1, sizeof(*nl));

	if (nl)
		nl->sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!nl || !nl->sock || mnl_socket_bind(nl->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
		error_set(err, errno, "open a routing socket (rtnetlink)");
		rtnl_close(nl);
		return NULL;
	}
	return nl;
}

void rtnl_close(struct rtnl *nl)
{
	if (!nl)
		return;
	if (nl->sock)
		mnl_socket_close(nl->sock);
	free(nl);
}

static void *request_init(struct request *r, uint16_t type, uint16_t flags, size_t body)
{
	memset(r->bytes, 0, sizeof(r->bytes));
	r->header = mnl_nlmsg_put_header(r->bytes);
	r->header->nlmsg_type = type;
	r->header->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
	return mnl_nlmsg_put_extra_header(r->header, body);
}

/* Sends and waits for the acknowledgement; answers in between go to @on_answer. Returns 0 or -errno. */
static int talk(struct rtnl *nl, struct request *r, mnl_cb_t on_answer, void *arg)
{
	char answer[ANSWER_MAX];
	int n;

	r->header->nlmsg_seq = ++nl->seq;
	if (mnl_socket_sendto(nl->sock, r->header, r->header->nlmsg_len) < 0)
		return -errno;
	do {
		ssize_t len = mnl_socket_recvfrom(nl->sock, answer, sizeof(answer));

		if (len < 0)
			return -errno;
		n = mnl_cb_run(answer, (size_t)len, nl->seq, mnl_socket_get_portid(nl->sock), on_answer, arg);
		if (n < 0)
			return -errno;
	} while (n > MNL_CB_STOP);
	return 0;
}

static int carry_out(struct rtnl *nl, struct request *r)
{
	return talk(nl, r, NULL, NULL);
}

static void put_ip(struct request *r, uint16_t attribute, const struct ip *ip)
{
	unsigned int len;
	const uint8_t *bytes = ip_bytes(ip, &len);

	mnl_attr_put(r->header, attribute, len, bytes);
}

static void put_veth_end(struct request *r, const struct veth_end *end, uint32_t mtu)
{
	mnl_attr_put_strz(r->header, IFLA_IFNAME, end->name);
	mnl_attr_put(r->header, IFLA_ADDRESS, sizeof(end->mac), &end->mac);
	mnl_attr_put_u32(r->header, IFLA_MTU, mtu);
	if (end->netns >= 0)
		mnl_attr_put_u32(r->header, IFLA_NET_NS_FD, (uint32_t)end->netns);
}

int rtnl_add_veth(struct rtnl *nl, const struct veth_end *near, const struct veth_end *far, uint32_t mtu, struct error *err)
{
	struct request r;
	struct nlattr *info, *data, *peer;
	int rc;

	request_init(&r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
	put_veth_end(&r, near, mtu);
	info = mnl_attr_nest_start(r.header, IFLA_LINKINFO);
	mnl_attr_put_strz(r.header, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(r.header, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(r.header, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(r.header, sizeof(struct ifinfomsg));
	put_veth_end(&r, far, mtu);
	mnl_attr_nest_end(r.header, peer);
	mnl_attr_nest_end(r.header, data);
	mnl_attr_nest_end(r.header, info);
	rc = carry_out(nl, &r);
	if (rc < 0)
		error_set(err, -rc, "make the veth pair %s, %s", near->name, far->name);
	if (rc == -EOPNOTSUPP)
		error_hint(err, "the kernel lacks veth (CONFIG_VETH): load it with `sudo modprobe veth`");
	return rc < 0 ? -1 : 0;
}

int rtnl_change_link(struct rtnl *nl, const char *name, const struct link_change *change, struct error *err)
{
	struct request r;
	struct ifinfomsg *link = request_init(&r, RTM_NEWLINK, 0, sizeof(*link));
	int rc;

	link->ifi_index = (int)if_nametoindex(name);
	if (!link->ifi_index)
		return error_set(err, errno, "find the link %s", name);
	if (change->up || change->down) {
		link->ifi_change = IFF_UP;
		link->ifi_flags = change->up ? IFF_UP : 0;
	}
	if (change->rename)
		mnl_attr_put_strz(r.header, IFLA_IFNAME, change->rename);
	if (change->alias)
		mnl_attr_put_strz(r.header, IFLA_IFALIAS, change->alias);
	if (change->mtu)
		mnl_attr_put_u32(r.header, IFLA_MTU, change->mtu);
	if (change->no_ipv6_address) {
		struct nlattr *spec = mnl_attr_nest_start(r.header, IFLA_AF_SPEC);
		struct nlattr *v6 = mnl_attr_nest_start(r.header, AF_INET6);

		mnl_attr_put_u8(r.header, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
		mnl_attr_nest_end(r.header, v6);
		mnl_attr_nest_end(r.header, spec);
	}
	rc = carry_out(nl, &r);
	return rc < 0 ? error_set(err, -rc, "change the link %s", name) : 0;
}

static int take_alias(const struct nlmsghdr *h, void *arg)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, h, sizeof(struct ifinfomsg))
		if (mnl_attr_get_type(attr) == IFLA_IFALIAS) {
			size_t n = mnl_attr_get_payload_len(attr);

			memcpy(arg, mnl_attr_get_payload(attr), n < 255 ? n : 255);
		}
	return MNL_CB_OK;
}

int rtnl_link_alias(struct rtnl *nl, const char *name, char ret_alias[256], struct error *err)
{
	struct request r;
	char alias[256] = "";
	int rc;

	request_init(&r, RTM_GETLINK, 0, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(r.header, IFLA_IFNAME, name);
	rc = talk(nl, &r, take_alias, alias);
	if (rc == -ENODEV || (rc == 0 && !alias[0]))
		return 0;
	if (rc < 0)
		return error_set(err, -rc, "ask for the link %s", name);
	memcpy(ret_alias, alias, sizeof(alias));
	return 1;
}

struct operstate {
	const char *name;
	uint8_t state;
};

/* Besides the answer come news of other links. */
static int take_operstate(const struct nlmsghdr *h, void *arg)
{
	struct operstate *wanted = arg;
	const struct nlattr *attr;
	const char *name = "";
	uint8_t state = 0;

	mnl_attr_for_each(attr, h, sizeof(struct ifinfomsg))
		if (mnl_attr_get_type(attr) == IFLA_IFNAME)
			name = mnl_attr_get_str(attr);
		else if (mnl_attr_get_type(attr) == IFLA_OPERSTATE)
			state = mnl_attr_get_u8(attr);
	if (strcmp(name, wanted->name) == 0)
		wanted->state = state;
	return MNL_CB_OK;
}

static void throw_news_away(struct rtnl *nl)
{
	char unread[ANSWER_MAX];

	while (recv(mnl_socket_get_fd(nl->sock), unread, sizeof(unread), MSG_DONTWAIT) > 0)
		;
}

/* Something new of a link: 1, or -errno. */
static int await_news(struct rtnl *nl)
{
	struct pollfd news = { .fd = mnl_socket_get_fd(nl->sock), .events = POLLIN };
	int n = poll(&news, 1, READY_MS);

	if (n == 0)
		return -ETIMEDOUT;
	if (n < 0)
		return errno == EINTR ? 1 : -errno;
	throw_news_away(nl);
	return 1;
}

int rtnl_await_ready(struct rtnl *nl, const char *name, struct error *err)
{
	struct operstate link = { .name = name };
	int group = RTNLGRP_LINK, rc = 1;

	if (mnl_socket_setsockopt(nl->sock, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		return error_set(err, errno, "hear of the link %s", name);
	while (rc > 0) {
		struct request r;

		request_init(&r, RTM_GETLINK, 0, sizeof(struct ifinfomsg));
		mnl_attr_put_strz(r.header, IFLA_IFNAME, name);
		rc = talk(nl, &r, take_operstate, &link);
		if (rc < 0 || link.state == OPER_UP)
			break;
		rc = await_news(nl);
	}
	mnl_socket_setsockopt(nl->sock, NETLINK_DROP_MEMBERSHIP, &group, sizeof(group));
	throw_news_away(nl);
	return rc < 0 ? error_set(err, -rc, "wait for the link %s to carry packets", name) : 0;
}

static int take_type(const struct nlmsghdr *h, void *arg)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);

	*(uint8_t *)arg = m->rtm_type;
	return MNL_CB_OK;
}

/* How the kernel routes to @ip: RTN_*, or RTN_UNSPEC when it doesn't. */
static uint8_t route_type(struct rtnl *nl, const struct ip *ip)
{
	uint8_t type = RTN_UNSPEC;
	struct request r;
	struct rtmsg *m = request_init(&r, RTM_GETROUTE, 0, sizeof(*m));

	m->rtm_family = (uint8_t)ip_family(ip);
	m->rtm_dst_len = ip_is_v4(ip) ? 32 : 128;
	put_ip(&r, RTA_DST, ip);
	return talk(nl, &r, take_type, &type) < 0 ? RTN_UNSPEC : type;
}

/* The route is asked for again and again, since the news of it come before it has effect (fib6_add_rt2node()). Returns 0 or -ETIMEDOUT. */
static int await_local(struct rtnl *nl, const struct ip *ip)
{
	for (int us = 0; us < READY_MS * 1000; us += AGAIN_US) {
		if (route_type(nl, ip) == RTN_LOCAL)
			return 0;
		usleep(AGAIN_US);
	}
	return -ETIMEDOUT;
}

int rtnl_add_address(struct rtnl *nl, const char *link, const struct ip *ip, uint8_t prefix_len, struct error *err)
{
	struct request r;
	struct ifaddrmsg *a = request_init(&r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*a));
	char text[IP_TEXT];
	int rc;

	a->ifa_family = (uint8_t)ip_family(ip);
	a->ifa_prefixlen = prefix_len;
	a->ifa_index = if_nametoindex(link);
	put_ip(&r, IFA_LOCAL, ip);
	put_ip(&r, IFA_ADDRESS, ip);
	mnl_attr_put_u32(r.header, IFA_FLAGS, IFA_F_NODAD | IFA_F_NOPREFIXROUTE | IFA_F_PERMANENT);
	rc = carry_out(nl, &r);
	if (rc == 0 && !ip_is_v4(ip))
		rc = await_local(nl, ip);
	return rc < 0 ? error_set(err, -rc, "add the address %s to %s", ip_format(ip, text), link) : 0;
}

static void put_route(struct request *r, uint16_t type, uint16_t flags, const struct route *route)
{
	struct rtmsg *m = request_init(r, type, flags, sizeof(*m));

	m->rtm_family = (uint8_t)ip_family(&route->prefix);
	m->rtm_dst_len = route->prefix_len;
	m->rtm_table = route->table && route->table < 256 ? (uint8_t)route->table : RT_TABLE_MAIN;
	m->rtm_protocol = RTPROT_STATIC;
	m->rtm_type = route->type;
	m->rtm_scope = route->type == RTN_LOCAL ? RT_SCOPE_HOST : route->link && !route->gateway ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	if (route->table > 255)
		mnl_attr_put_u32(r->header, RTA_TABLE, route->table);
	if (route->prefix_len)
		put_ip(r, RTA_DST, &route->prefix);
	if (route->gateway) {
		put_ip(r, RTA_GATEWAY, route->gateway);
		m->rtm_flags = RTNH_F_ONLINK;
	}
	if (route->link)
		mnl_attr_put_u32(r->header, RTA_OIF, if_nametoindex(route->link));
	if (route->source && !ip_is_any(route->source))
		put_ip(r, RTA_PREFSRC, route->source);
	if (route->metric)
		mnl_attr_put_u32(r->header, RTA_PRIORITY, route->metric);
	if (route->mtu) {
		struct nlattr *metrics = mnl_attr_nest_start(r->header, RTA_METRICS);

		mnl_attr_put_u32(r->header, RTAX_MTU, route->mtu);
		mnl_attr_nest_end(r->header, metrics);
	}
}

int rtnl_add_route(struct rtnl *nl, const struct route *route, struct error *err)
{
	struct request r;
	char text[IP_TEXT];
	int rc;

	put_route(&r, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND, route);
	rc = carry_out(nl, &r);
	if (rc == -EEXIST)
		return 0;
	return rc < 0 ? error_set(err, -rc, "add the route to %s/%u", ip_format(&route->prefix, text), route->prefix_len) : 0;
}

int rtnl_delete_route(struct rtnl *nl, const struct route *route)
{
	struct request r;

	put_route(&r, RTM_DELROUTE, 0, route);
	return carry_out(nl, &r);
}

static void put_rule(struct request *r, uint16_t type, uint16_t flags, const struct rule *rule)
{
	struct fib_rule_hdr *h = request_init(r, type, flags, sizeof(*h));

	h->family = (uint8_t)rule->family;
	h->action = rule->table ? FR_ACT_TO_TBL : FR_ACT_UNREACHABLE;
	h->table = rule->table < 256 ? (uint8_t)rule->table : RT_TABLE_UNSPEC;
	if (rule->table > 255)
		mnl_attr_put_u32(r->header, FRA_TABLE, rule->table);
	if (rule->iif)
		mnl_attr_put_strz(r->header, FRA_IIFNAME, rule->iif);
	if (rule->mark)
		mnl_attr_put_u32(r->header, FRA_FWMARK, rule->mark);
	if (rule->protocol)
		mnl_attr_put_u8(r->header, FRA_IP_PROTO, rule->protocol);
	if (rule->priority)
		mnl_attr_put_u32(r->header, FRA_PRIORITY, rule->priority);
}

int rtnl_add_rule(struct rtnl *nl, const struct rule *rule, struct error *err)
{
	struct request r;
	int rc;

	put_rule(&r, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, rule);
	rc = carry_out(nl, &r);
	if (rc == -EEXIST)
		return 0;
	return rc < 0 ? error_set(err, -rc, "add a routing rule (CONFIG_IP_MULTIPLE_TABLES)") : 0;
}

int rtnl_delete_rule(struct rtnl *nl, const struct rule *rule)
{
	struct request r;

	put_rule(&r, RTM_DELRULE, 0, rule);
	return carry_out(nl, &r);
}

int rtnl_add_neighbour(struct rtnl *nl, const char *link, const struct ip *ip, const struct mac *mac, struct error *err)
{
	struct request r;
	struct ndmsg *n = request_init(&r, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*n));
	char text[IP_TEXT];
	int rc;

	n->ndm_family = (uint8_t)ip_family(ip);
	n->ndm_ifindex = (int)if_nametoindex(link);
	n->ndm_state = NUD_PERMANENT;
	put_ip(&r, NDA_DST, ip);
	mnl_attr_put(r.header, NDA_LLADDR, sizeof(*mac), mac);
	rc = carry_out(nl, &r);
	return rc < 0 ? error_set(err, -rc, "add the neighbour %s on %s", ip_format(ip, text), link) : 0;
}

int rtnl_listen(struct error *err)
{
	static const int groups[] = { RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE };
	struct sockaddr_nl any_port = { .nl_family = AF_NETLINK }; /* an unbound socket hears nothing */
	_cleanup_fd_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0 || bind(fd, (struct sockaddr *)&any_port, sizeof(any_port)) < 0)
		return error_set(err, errno, "hear of routes");
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof(groups[i])) < 0)
			return error_set(err, errno, "hear of routes");
	return fd_steal(&fd);
}
