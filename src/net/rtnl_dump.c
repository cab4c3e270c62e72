// SPDX-License-Identifier: MIT
/* Dumps over rtnetlink. One that the kernel marks as inconsistent (something changed meanwhile, NLM_F_DUMP_INTR) is
 * good enough: what changes while we look may be seen before or after. */
#include "net/rtnl_dump.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <time.h>

enum { ANSWER_MAX = 32768, ATTRIBUTES = 32 };
static const int families[] = { AF_INET, AF_INET6 };

/* What a dump's messages go through: @read makes an object of one, and gives it to @each. */
struct dump {
	void (*read)(const struct nlmsghdr *h, const struct dump *d);
	void (*each)(void); /* of the type that @read knows */
	void *arg;
	int family;
	uint32_t table;
};

struct attributes {
	const struct nlattr *at[ATTRIBUTES];
};

static int on_attribute(const struct nlattr *a, void *data)
{
	struct attributes *all = data;
	uint16_t type = mnl_attr_get_type(a);

	if (type < ATTRIBUTES)
		all->at[type] = a;
	return MNL_CB_OK;
}

static void parse(const struct nlmsghdr *h, size_t body, struct attributes *ret)
{
	memset(ret, 0, sizeof(*ret));
	mnl_attr_parse(h, (unsigned int)body, on_attribute, ret);
}

static bool get_ip(int family, const struct nlattr *a, struct ip *ret)
{
	if (!a || mnl_attr_get_payload_len(a) != (family == AF_INET ? 4 : 16))
		return false;
	*ret = family == AF_INET ? ip_from_v4(mnl_attr_get_payload(a)) : ip_from_v6(mnl_attr_get_payload(a));
	return true;
}

static uint32_t get_u32(const struct nlattr *a, uint32_t otherwise)
{
	return a && mnl_attr_get_payload_len(a) >= 4 ? mnl_attr_get_u32(a) : otherwise;
}

/* The error that an end or error message carries: 0 or a negative errno. */
static int message_error(const struct nlmsghdr *h)
{
	int error = 0;

	if (mnl_nlmsg_get_payload_len(h) >= sizeof(error))
		memcpy(&error, mnl_nlmsg_get_payload(h), sizeof(error));
	return error;
}

/* Not mnl_cb_run(): it throws the rest away when the dump is marked as inconsistent. Returns 0 or -1 with errno. */
static int read_answers(struct mnl_socket *sock, const struct dump *d)
{
	char answer[ANSWER_MAX];

	for (;;) {
		ssize_t got = mnl_socket_recvfrom(sock, answer, sizeof(answer));
		int left = (int)got;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		for (const struct nlmsghdr *h = (void *)answer; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
			if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR) {
				errno = -message_error(h);
				return errno ? -1 : 0;
			}
			if (h->nlmsg_type >= NLMSG_MIN_TYPE)
				d->read(h, d);
		}
	}
}

/* One request of @body bytes after the header (its first byte is the family) for one family. */
static int dump_family(uint16_t type, const void *body, size_t len, struct dump *d)
{
	char request[256];
	struct nlmsghdr *h = mnl_nlmsg_put_header(request);
	struct mnl_socket *sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	int on = 1, r = -1, saved;

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	h->nlmsg_seq = 1;
	memcpy(mnl_nlmsg_put_extra_header(h, len), body, len);
	if (sock && mnl_socket_bind(sock, 0, MNL_SOCKET_AUTOPID) == 0) {
		/* The kernel then gives the table that was asked for alone (4.20); we look again for those that don't.
		 */
		mnl_socket_setsockopt(sock, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
		if (mnl_socket_sendto(sock, h, h->nlmsg_len) >= 0)
			r = read_answers(sock, d);
	}
	saved = errno;
	if (sock)
		mnl_socket_close(sock);
	errno = saved;
	if (r < 0 && d->family == AF_INET6 && (errno == EAFNOSUPPORT || errno == EOPNOTSUPP))
		return 0; /* a kernel without IPv6 */
	if (r < 0 && type == RTM_GETROUTE && errno == ENOENT)
		return 0; /* a namespace so fresh that the table isn't made yet */
	return r;
}

static void read_address(const struct nlmsghdr *h, const struct dump *d)
{
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(h);
	struct dumped_address a;
	struct attributes at;

	if (m->ifa_family != d->family)
		return;
	parse(h, sizeof(*m), &at);
	a = (struct dumped_address){ .link = m->ifa_index,
				     .prefix_len = m->ifa_prefixlen,
				     .scope = m->ifa_scope,
				     .flags = get_u32(at.at[IFA_FLAGS], m->ifa_flags) };
	/* On a point-to-point link IFA_ADDRESS is the peer's. */
	if (get_ip(m->ifa_family, at.at[IFA_LOCAL] ? at.at[IFA_LOCAL] : at.at[IFA_ADDRESS], &a.ip))
		((void (*)(void *, const struct dumped_address *))d->each)(d->arg, &a);
}

int rtnl_dump_addresses(void (*each)(void *arg, const struct dumped_address *a), void *arg, struct error *err)
{
	struct dump d = { .read = read_address, .each = (void (*)(void))each, .arg = arg };

	for (int i = 0; i < 2; i++) {
		struct ifaddrmsg m = { .ifa_family = (unsigned char)families[i] };

		d.family = families[i];
		if (dump_family(RTM_GETADDR, &m, sizeof(m), &d) < 0)
			return error_set(err, errno, "list the addresses (rtnetlink)");
	}
	return 0;
}

/* The first next hop of RTA_MULTIPATH. */
static void read_nexthop(int family, const struct nlattr *multipath, struct dumped_route *r)
{
	const struct rtnexthop *hop = mnl_attr_get_payload(multipath);
	const struct nlattr *attr;

	if (mnl_attr_get_payload_len(multipath) < sizeof(*hop) || hop->rtnh_len > mnl_attr_get_payload_len(multipath))
		return;
	r->link = (unsigned int)hop->rtnh_ifindex;
	mnl_attr_for_each_payload((const void *)(hop + 1), hop->rtnh_len - sizeof(*hop))
	{
		if (mnl_attr_get_type(attr) == RTA_GATEWAY)
			r->has_gateway = get_ip(family, attr, &r->gateway);
	}
}

/* RTAX_MTU among RTA_METRICS; 0 without one. */
static uint32_t read_mtu(const struct nlattr *metrics)
{
	const struct nlattr *attr;

	if (metrics)
		mnl_attr_for_each_nested(attr, metrics)
			if (mnl_attr_get_type(attr) == RTAX_MTU)
				return get_u32(attr, 0);
	return 0;
}

static void read_route(const struct nlmsghdr *h, const struct dump *d)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	struct dumped_route r = { .prefix = d->family == AF_INET ? IP_ANY4 : IP_ANY6 };
	struct attributes at;

	if (m->rtm_family != d->family || (m->rtm_flags & RTM_F_CLONED))
		return;
	parse(h, sizeof(*m), &at);
	r.table = get_u32(at.at[RTA_TABLE], m->rtm_table);
	if (r.table != d->table)
		return;
	r.prefix_len = m->rtm_dst_len;
	r.type = m->rtm_type;
	r.scope = m->rtm_scope;
	r.metric = get_u32(at.at[RTA_PRIORITY], 0);
	r.link = get_u32(at.at[RTA_OIF], 0);
	r.mtu = read_mtu(at.at[RTA_METRICS]);
	get_ip(d->family, at.at[RTA_DST], &r.prefix);
	r.has_gateway = get_ip(d->family, at.at[RTA_GATEWAY], &r.gateway);
	r.has_source = get_ip(d->family, at.at[RTA_PREFSRC], &r.source);
	if (at.at[RTA_MULTIPATH])
		read_nexthop(d->family, at.at[RTA_MULTIPATH], &r);
	((void (*)(void *, const struct dumped_route *))d->each)(d->arg, &r);
}

int rtnl_dump_routes(uint32_t table, void (*each)(void *arg, const struct dumped_route *r), void *arg,
		     struct error *err)
{
	struct dump d = { .read = read_route, .each = (void (*)(void))each, .arg = arg, .table = table };

	for (int i = 0; i < 2; i++) {
		struct rtmsg m = { .rtm_family = (unsigned char)families[i], .rtm_table = (unsigned char)table };

		d.family = families[i];
		if (dump_family(RTM_GETROUTE, &m, sizeof(m), &d) < 0)
			return error_set(err, errno, "list the routes (rtnetlink)");
	}
	return 0;
}

static void read_rule(const struct nlmsghdr *h, const struct dump *d)
{
	/* What every rule has; anything else narrows it down. */
	static const uint32_t no_selector =
	    1U << FRA_PRIORITY | 1U << FRA_TABLE | 1U << FRA_SUPPRESS_PREFIXLEN | 1U << FRA_PROTOCOL;
	const struct fib_rule_hdr *m = mnl_nlmsg_get_payload(h);
	struct dumped_rule r = { .family = d->family };
	struct attributes at;

	if (m->family != d->family)
		return;
	parse(h, sizeof(*m), &at);
	r.priority = get_u32(at.at[FRA_PRIORITY], 0);
	r.table = get_u32(at.at[FRA_TABLE], m->table);
	r.plain = m->action == FR_ACT_TO_TBL && m->src_len == 0 && m->dst_len == 0 && m->tos == 0 &&
		  !(m->flags & FIB_RULE_INVERT) && get_u32(at.at[FRA_SUPPRESS_PREFIXLEN], UINT32_MAX) == UINT32_MAX;
	for (int i = 0; i < ATTRIBUTES; i++) {
		if (at.at[i] && !(no_selector & 1U << i))
			r.plain = false;
	}
	((void (*)(void *, const struct dumped_rule *))d->each)(d->arg, &r);
}

int rtnl_dump_rules(void (*each)(void *arg, const struct dumped_rule *r), void *arg, struct error *err)
{
	struct dump d = { .read = read_rule, .each = (void (*)(void))each, .arg = arg };

	for (int i = 0; i < 2; i++) {
		struct fib_rule_hdr m = { .family = (unsigned char)families[i] };

		d.family = families[i];
		if (dump_family(RTM_GETRULE, &m, sizeof(m), &d) < 0)
			return error_set(err, errno, "list the routing rules (rtnetlink)");
	}
	return 0;
}
