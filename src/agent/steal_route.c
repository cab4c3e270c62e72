// SPDX-License-Identifier: MIT
/* "What carries the mark is local": one rule and one route per family.
 *
 * Others manage rules and routes, too, and some flush them all. rtnetlink tells of each that goes; ours are made again then, after a moment in
 * which a tool that is at it gets done. What an agent leaves that was killed together with its watchdog has no effect, since nothing
 * sets the mark any more. */
#include "agent/steal_route.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/layout.h"
#include "base/fd.h"
#include "base/log.h"
#include "net/rtnl.h"

#define MOMENT (100 * (uint64_t)LOOP_MS)

static const int families[2] = { AF_INET, AF_INET6 };

struct steal_route {
	struct loop *loop;
	struct watch watch;
	struct timer again;
	bool ipv6;
	int fd; /* hears of rules and routes */
};

/* By the link that the route goes to, since that is what the kernel asks. */
bool steal_route_has_ipv6(void)
{
	_cleanup_fd_ int probe = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	_cleanup_fd_ int fd = open("/proc/sys/net/ipv6/conf/lo/disable_ipv6", O_RDONLY | O_CLOEXEC);
	char off = '0';

	return probe >= 0 && (fd < 0 || read(fd, &off, 1) != 1 || off == '0');
}

int steal_route_check(struct error *err)
{
	struct ifreq lo = { .ifr_name = "lo" };
	_cleanup_fd_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &lo) < 0 || lo.ifr_flags & IFF_UP)
		return 0;
	error_set(err, 0, "stealing needs the target's loopback interface (lo), which is down");
	return error_hint(err, "`ip link set lo up` in the target; mirroring and what leaves the program work without it");
}

static struct rule rule_of(int family)
{
	return (struct rule){ .family = family, .mark = AGENT_MARK, .table = AGENT_TABLE, .priority = AGENT_RULE };
}

static struct route route_of(int family)
{
	return (struct route){ .prefix = family == AF_INET ? IP_ANY4 : IP_ANY6, .type = RTN_LOCAL, .link = "lo", .table = AGENT_TABLE };
}

static void clear(struct rtnl *nl)
{
	for (int f = 0; f < 2; f++) {
		const struct rule rule = rule_of(families[f]);
		const struct route route = route_of(families[f]);

		while (rtnl_delete_rule(nl, &rule) == 0)
			;
		while (rtnl_delete_route(nl, &route) == 0)
			;
	}
}

void steal_route_clear(void)
{
	struct error err = { 0 };
	struct rtnl *nl = rtnl_open(&err);

	if (nl)
		clear(nl);
	rtnl_close(nl);
}

static int make(const struct steal_route *r, struct error *err)
{
	struct rtnl *nl = rtnl_open(err);
	int rc = nl ? 0 : -1;

	for (int f = 0; f < (r->ipv6 ? 2 : 1) && rc == 0; f++) {
		const struct rule rule = rule_of(families[f]);
		const struct route route = route_of(families[f]);

		rc = rtnl_add_route(nl, &route, err) < 0 || rtnl_add_rule(nl, &rule, err) < 0 ? -1 : 0;
	}
	rtnl_close(nl);
	return rc;
}

static void on_again(struct timer *t)
{
	struct steal_route *r = container_of(t, struct steal_route, again);
	struct error err = { 0 };

	if (make(r, &err) < 0)
		log_limited(LOG_LEVEL_WARN, "steal: %s", err.text);
}

/* Whatever went may have been ours; what came is of no interest. */
static void on_news(struct watch *w, uint32_t events)
{
	struct steal_route *r = container_of(w, struct steal_route, watch);
	_Alignas(struct nlmsghdr) char news[8192];
	ssize_t n;

	while ((n = recv(r->fd, news, sizeof(news), MSG_DONTWAIT)) > 0 || (n < 0 && errno == ENOBUFS)) {
		bool gone = n < 0; /* there were too many to be told */
		size_t left = n < 0 ? 0 : (size_t)n;

		for (const struct nlmsghdr *h = (const void *)news; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left))
			gone |= h->nlmsg_type == RTM_DELRULE || h->nlmsg_type == RTM_DELROUTE;
		if (gone && !r->again.index)
			loop_arm(r->loop, &r->again, loop_now(r->loop) + MOMENT);
	}
}

static int hear(struct steal_route *r, struct error *err)
{
	int rc;

	r->fd = rtnl_listen(err);
	if (r->fd < 0)
		return -1;
	rc = loop_watch(r->loop, &r->watch, r->fd, EPOLLIN, on_news);
	return rc < 0 ? error_set(err, -rc, "hear of routes") : 0;
}

struct steal_route *steal_route_new(struct loop *loop, bool ipv6, struct error *err)
{
	struct steal_route *r = calloc(1, sizeof(*r));

	if (!r) {
		error_set(err, ENOMEM, "make the agent's route");
		return NULL;
	}
	*r = (struct steal_route){ .loop = loop, .again.on_due = on_again, .ipv6 = ipv6, .fd = -1 };
	if (hear(r, err) == 0 && make(r, err) == 0)
		return r;
	steal_route_free(r);
	return NULL;
}

void steal_route_free(struct steal_route *r)
{
	if (!r)
		return;
	loop_disarm(r->loop, &r->again);
	loop_unwatch(r->loop, &r->watch);
	fd_closep(&r->fd);
	steal_route_clear();
	free(r);
}
