// SPDX-License-Identifier: MIT
/* Networks built with ip(8) in namespaces of our own, and what is told of them. The oracle for source addresses is the
 * kernel: what getsockname() says after connect(). */
#include "agent/inspect.h"

#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "child.h"
#include "tap.h"
#include "target/own_run.h"

/* The two ends of one cable. */
#define LINKS "link set lo up\nlink add eth0 type veth peer name eth1\nlink set eth0 up\nlink set eth1 up\n"

enum { CHECKS = 8 };

static const struct {
	const char *name, *setup;
	const char *interface;
	int policy;
	const char *addresses; /* in order */
	/* "PREFIX TYPE SOURCE METRIC MTU": must be there; and a destination that takes it, or NULL */
	struct {
		const char *route, *destination;
	} checks[CHECKS];
	const char *absent; /* prefix of a route that must not be there */
} networks[] = {
	{ "nothing", "", "eth0", 0, "", { { NULL, NULL } }, "0.0.0.0/0" },
	{ "a link whose name can't be told",
	  "link set lo up\nlink add eth(0) type veth peer name eth1\nlink set eth(0) up\nlink set eth1 up\n"
	  "addr add 10.9.0.2/24 dev eth(0)\nroute add default via 10.9.0.1\n",
	  "eth0",
	  0,
	  "10.9.0.2/24",
	  { { "0.0.0.0/0 1 10.9.0.2 0", NULL } },
	  NULL },
	{ "one address",
	  LINKS "addr add 10.9.0.2/24 dev eth0\nroute add default via 10.9.0.1\n",
	  "eth0",
	  0,
	  "10.9.0.2/24",
	  { { "0.0.0.0/0 1 10.9.0.2 0 1500", "192.0.2.1" }, { "10.9.0.0/24 1 10.9.0.2 0 1500", "10.9.0.77" } },
	  "fe80::/64" },
	{ "MTUs of a link and of a route",
	  LINKS "link set eth0 mtu 1400\naddr add 10.9.0.2/24 dev eth0\nroute add default via 10.9.0.1\n"
		"route add 10.60.0.0/16 via 10.9.0.1 mtu 1300\nroute add unreachable 10.61.0.0/16\n",
	  "eth0",
	  0,
	  "10.9.0.2/24",
	  { { "0.0.0.0/0 1 10.9.0.2 0 1400", NULL }, { "10.60.0.0/16 1 10.9.0.2 0 1300", NULL } },
	  NULL },
	{ "a secondary address and one on lo",
	  LINKS "addr add 10.9.0.2/24 dev eth1\naddr add 10.9.0.3/24 dev eth1\naddr add 192.0.2.7/32 dev lo\nroute add "
		"default via 10.9.0.1\n"
		"route add 10.60.0.0/16 via 10.9.0.1 src 10.9.0.3 metric 7\nroute add 10.50.0.0/16 dev eth0\n",
	  "eth1",
	  0,
	  "10.9.0.2/24 10.9.0.3/24 192.0.2.7/32",
	  { { "0.0.0.0/0 1 10.9.0.2 0", "192.0.2.1" },
	    { "10.60.0.0/16 1 10.9.0.3 7", "10.60.1.1" },
	    { "10.50.0.0/16 1 192.0.2.7 0", "10.50.1.1" } },
	  "10.9.0.2/32" },
	{ "subnets",
	  LINKS "addr add 10.8.0.2/24 dev eth0\naddr add 10.9.0.2/24 dev eth0\nroute add default via 10.9.0.1\nroute "
		"add 10.77.0.0/16 dev eth0\n"
		"addr add 10.5.5.5/32 dev eth1 scope link\nroute add 10.51.0.0/16 via "
		"10.9.0.1 dev eth1 onlink\nroute "
		"add 10.52.0.0/16 dev eth1\n",
	  "eth0",
	  0,
	  "10.8.0.2/24 10.9.0.2/24 10.5.5.5/32",
	  { { "0.0.0.0/0 1 10.9.0.2 0", "192.0.2.1" },
	    { "10.77.0.0/16 1 10.8.0.2 0", "10.77.1.1" },
	    { "10.51.0.0/16 1 10.8.0.2 0", "10.51.1.1" },
	    { "10.52.0.0/16 1 10.5.5.5 0", "10.52.1.1" } },
	  NULL },
	{ "a link without addresses",
	  LINKS
	  "addr add 10.5.5.5/32 dev eth1 scope link\naddr add 10.9.0.2/24 dev eth1\nroute add 10.50.0.0/16 dev eth0\n",
	  "eth1",
	  0,
	  "10.5.5.5/32 10.9.0.2/24",
	  { { "10.50.0.0/16 1 10.9.0.2 0", "10.50.1.1" } },
	  NULL },
	{ "types, metrics, several next hops",
	  LINKS
	  "addr add 10.9.0.2/24 dev eth0\naddr add 10.8.0.2/24 dev eth1\nroute add default metric 20 via 10.8.0.1\n"
	  "route add default metric 10 nexthop via 10.9.0.1 nexthop via 10.8.0.1\n"
	  "route add unreachable 10.1.0.0/16\nroute add prohibit 10.2.0.0/16\nroute add blackhole 10.3.0.0/16\nroute "
	  "add throw 10.4.0.0/16\n"
	  "route add 10.70.0.0/16 via 10.9.0.1 table 77\n",
	  "eth0",
	  0,
	  "10.9.0.2/24 10.8.0.2/24",
	  { { "0.0.0.0/0 1 10.8.0.2 20", NULL },
	    { "0.0.0.0/0 1 10.9.0.2 10", NULL },
	    { "10.1.0.0/16 7 0.0.0.0 0", NULL },
	    { "10.2.0.0/16 8 0.0.0.0 0", NULL },
	    { "10.3.0.0/16 6 0.0.0.0 0", NULL },
	    { "10.4.0.0/16 9 0.0.0.0 0", NULL } },
	  "10.70.0.0/16" },
	{ "a link that is down",
	  LINKS "addr add 10.9.0.2/24 dev eth0\naddr add 10.8.0.2/24 dev eth1\nroute add default via 10.9.0.1\n"
		"route add 10.6.0.0/16 via 10.8.0.1\nlink set eth1 down\n",
	  "eth0",
	  0,
	  "10.9.0.2/24 10.8.0.2/24",
	  { { NULL, NULL } },
	  "10.6.0.0/16" },
	{ "IPv6 on one link",
	  LINKS "addr add fd09::2/64 dev eth0 nodad\naddr add 2001:db8::2/64 dev eth0 nodad\nroute add default via "
		"fd09::1\n",
	  "eth0",
	  0,
	  NULL,
	  { { "::/0 1 :: 1024", NULL }, { "fd09::/64 1 :: 256", NULL } },
	  "fe80::/64" },
	{ "IPv6 on two links",
	  LINKS
	  "addr add fd09::2/64 dev eth0 nodad\naddr add fd0a::2/64 dev eth1 nodad\nroute add default via fd0a::1\n"
	  "route add unreachable fd77::/16\n",
	  "eth1",
	  0,
	  NULL,
	  { { "::/0 1 fd0a::2 1024", "fd55::1" },
	    { "fd09::/64 1 fd09::2 256", "fd09::77" },
	    { "fd0a::/64 1 fd0a::2 256", "fd0a::77" },
	    { "fd77::/16 7 :: 1024", NULL } },
	  "ff00::/8" },
	{ "a deprecated IPv6 address",
	  LINKS "addr add fd09::3/64 dev eth0 nodad\naddr add fd09::2/64 dev eth0 nodad preferred_lft 0\nroute add "
		"default via fd09::1\n",
	  "eth0",
	  0,
	  NULL,
	  { { "::/0 1 fd09::3 1024", "fd55::1" } },
	  NULL },
	{ "an own rule",
	  LINKS "addr add 10.9.0.2/24 dev eth0\nrule add from 10.9.0.2 table 77\n",
	  "eth0",
	  1,
	  "10.9.0.2/24",
	  { { NULL, NULL } },
	  NULL },
	{ "an own rule for IPv6",
	  LINKS "addr add 10.9.0.2/24 dev eth0\n-6 rule add fwmark 1 table 77\n",
	  "eth0",
	  1,
	  "10.9.0.2/24",
	  { { NULL, NULL } },
	  NULL },
	{ "an own rule for all",
	  LINKS "addr add 10.9.0.2/24 dev eth0\nrule add table 77 priority 100\n",
	  "eth0",
	  1,
	  "10.9.0.2/24",
	  { { NULL, NULL } },
	  NULL },
	{ "the main table left out",
	  LINKS "addr add 10.9.0.2/24 dev eth0\nrule del priority 32766\n",
	  "eth0",
	  1,
	  "10.9.0.2/24",
	  { { NULL, NULL } },
	  NULL },
	{ "the main table narrowed",
	  LINKS "addr add 10.9.0.2/24 dev eth0\nrule del priority 32766\nrule add priority 32766 table main "
		"suppress_prefixlength 0\n",
	  "eth0",
	  1,
	  "10.9.0.2/24",
	  { { NULL, NULL } },
	  NULL },
	{ "no default route",
	  LINKS "addr add 10.8.0.2/24 dev eth1\n",
	  "eth1",
	  0,
	  "10.8.0.2/24",
	  { { NULL, NULL } },
	  "0.0.0.0/0" },
};
enum { NETWORKS = sizeof(networks) / sizeof(networks[0]) };
static int current; /* the row that in_child() runs */

/* The lines that begin with @mark ("" for those without one) are given to one ip, which is slow to start on an emulated machine. */
static void run_ip_for(const char *command, const char *mark, const char *lines)
{
	FILE *ip = NULL;

	for (size_t len; *lines; lines += len + 1) {
		bool marked = *lines == '-';

		len = strcspn(lines, "\n");
		if (marked != (*mark == '-'))
			continue;
		if (!ip && !(ip = popen(command, "w")))
			abort();
		fprintf(ip, "%.*s\n", (int)(len - strlen(mark)), lines + strlen(mark));
	}
	if (ip && pclose(ip) != 0) {
		printf("# %s failed\n", command);
		abort();
	}
}

static void run_ip(const char *lines)
{
	run_ip_for("ip -batch -", "", lines);
	run_ip_for("ip -6 -batch -", "-6 ", lines);
}

static const char *format_route(const struct info_route *r, char *buf, size_t size)
{
	char prefix[IP_TEXT], source[IP_TEXT];

	snprintf(buf, size, "%s/%u %u %s %u %u", ip_format(&r->prefix, prefix), r->prefix_len, r->type,
		 ip_format(&r->source, source), r->metric, r->mtu);
	return buf;
}

/* The first route whose text begins with @text. */
static const struct info_route *find_route(const struct target_info *info, const char *text)
{
	char buf[128];

	for (size_t i = 0; i < info->n_routes; i++) {
		if (strncmp(format_route(&info->routes[i], buf, sizeof(buf)), text, strlen(text)) == 0)
			return &info->routes[i];
	}
	return NULL;
}

/* The source address that the kernel chooses. */
static struct ip kernel_source(const char *destination)
{
	struct endpoint e = { .port = 9 };
	struct sockaddr_storage sa;
	socklen_t len;
	int fd;

	ip_parse(destination, &e.ip);
	len = endpoint_to_sockaddr(&e, &sa);
	fd = socket(ip_family(&e.ip), SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&sa, len) < 0)
		perror("# connect");
	len = sizeof(sa);
	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0 || !endpoint_from_sockaddr(&sa, &e))
		abort();
	close(fd);
	return e.ip;
}

static void check_routes(const struct target_info *info)
{
	char buf[128], got[IP_TEXT], want[IP_TEXT];

	for (int i = 0; i < CHECKS && networks[current].checks[i].route; i++) {
		const char *text = networks[current].checks[i].route,
			   *destination = networks[current].checks[i].destination;
		const struct info_route *r = find_route(info, text);
		struct ip chosen;

		tap_ok(r, "%s: %s", networks[current].name, text);
		if (!r || !destination)
			continue;
		chosen = kernel_source(destination);
		tap_str(ip_format(&r->source, got), ip_format(&chosen, want), "%s: the kernel's choice for %s",
			networks[current].name, destination);
	}
	if (networks[current].absent)
		tap_ok(!find_route(info, networks[current].absent), "%s: no %s", networks[current].name,
		       networks[current].absent);
	for (size_t i = 0; i < info->n_routes; i++)
		printf("# %s\n", format_route(&info->routes[i], buf, sizeof(buf)));
}

static void check_addresses(const struct target_info *info)
{
	char list[512] = "", ip[IP_TEXT];
	size_t n = 0;

	for (size_t i = 0; i < info->n_addresses; i++)
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s/%u", i ? " " : "",
				      ip_format(&info->addresses[i].ip, ip), info->addresses[i].prefix_len);
	if (networks[current].addresses)
		tap_str(list, networks[current].addresses, "%s: addresses", networks[current].name);
}

static const char *sysctl_of(const struct target_info *info, const char *name)
{
	for (size_t i = 0; i < info->n_sysctls; i++) {
		if (strcmp(info->sysctls[i].name, name) == 0)
			return info->sysctls[i].value;
	}
	return NULL;
}

static void test_network(void)
{
	struct entry e = { .process = -1, .root = open("/", O_PATH | O_DIRECTORY) };
	struct target_info info;
	struct error err = { 0 };

	enter_own_run();
	if (unshare(CLONE_NEWNET) < 0)
		abort();
	if (networks[current].setup[0])
		run_ip(networks[current].setup);
	if (agent_inspect(&e, &info, &err) < 0) {
		tap_str(err.text, "", "%s: looked at", networks[current].name);
		return;
	}
	tap_str(info.interface, networks[current].interface, "%s: interface", networks[current].name);
	tap_int(info.policy_routing, networks[current].policy, "%s: rules beyond the standard ones",
		networks[current].name);
	check_addresses(&info);
	check_routes(&info);
	target_info_fini(&info);
}

static void test_sysctls(void)
{
	struct entry e = { .process = -1, .root = open("/", O_PATH | O_DIRECTORY) };
	struct target_info info;
	struct error err = { 0 };

	enter_own_run();
	if (unshare(CLONE_NEWNET | CLONE_NEWUTS) < 0 || sethostname("shop-7d9", 8) < 0)
		abort();
	write_file("/proc/sys/net/ipv4/tcp_syn_retries", "3");
	write_file("/proc/sys/net/ipv4/ip_local_port_range", "20000 20100");
	write_file("/proc/sys/net/ipv6/bindv6only", "1");
	if (agent_inspect(&e, &info, &err) < 0)
		abort();
	tap_str(sysctl_of(&info, "ipv4/tcp_syn_retries"), "3", "tcp_syn_retries");
	tap_str(sysctl_of(&info, "ipv4/ip_local_port_range"), "20000\t20100", "ip_local_port_range");
	tap_str(sysctl_of(&info, "ipv6/bindv6only"), "1", "bindv6only");
	tap_str(sysctl_of(&info, "ipv4/ip_local_reserved_ports"), "", "an empty value");
	tap_ok(!sysctl_of(&info, "ipv4/ping_group_range"), "groups are this machine's");
	tap_str(info.hostname, "shop-7d9", "host name");
	target_info_fini(&info);
}

int main(void)
{
	for (current = 0; current < NETWORKS; current++)
		in_child(test_network);
	in_child(test_sysctls);
	return tap_done();
}
