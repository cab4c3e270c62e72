// SPDX-License-Identifier: MIT
/* twin_build(), in namespaces of its own. */
#include "twin/build.h"

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "child.h"
#include "net/rtnl.h"

enum { BUILDS = 20 };

static struct info_address address = { .prefix_len = 24 };

static const struct {
	const char *name, *interface, *taken; /* @taken: a link that is there from the beginning */
	const char *want;
} rows[] = {
	{ "the target's name", "ens3", NULL, "ens3" },
	{ "a fallback link's name", "tunl0", "tunl0", "eth0" },
	{ "lo", "lo", NULL, "eth0" },
	{ "all marks", "a_b-c.d@+", NULL, "a_b-c.d@+" },
	{ "the relay's", "v0", NULL, "v0" },
};
static size_t current;

static void add_taken(const struct twin *t, const char *name)
{
	const struct veth_end near = { .name = name, .netns = -1, .mac = { { 2, 0, 0, 0, 0, 1 } } };
	const struct veth_end far = { .name = "other", .netns = -1, .mac = { { 2, 0, 0, 0, 0, 2 } } };
	struct error err = { 0 };
	struct rtnl *nl;

	if (setns(t->net_ns, CLONE_NEWNET) < 0 || !(nl = rtnl_open(&err)) || rtnl_add_veth(nl, &near, &far, 1500, &err) < 0)
		abort();
	rtnl_close(nl);
}

static void test_name(void)
{
	struct target_info info = { .addresses = &address, .n_addresses = 1 };
	struct error err = { 0 };
	struct twin t;

	ip_parse("10.9.0.2", &address.ip);
	strcpy(info.interface, rows[current].interface);
	if (twin_unshare(&(struct twin_owner){ -1, getuid(), getgid() }, &t, &err) == 0 && rows[current].taken)
		add_taken(&t, rows[current].taken);
	if (!error_is_set(&err))
		twin_build(&t, &info, "pid/1", &err);
	tap_str(err.text, "", "%s: built", rows[current].name);
	tap_ok(setns(t.net_ns, CLONE_NEWNET) == 0 && if_nametoindex(rows[current].want), "%s: the link is %s", rows[current].name,
	       rows[current].want);
}

/* The twin's kernel chooses @want as the source of a packet to @destination. */
static void check_source(const char *destination, const char *want)
{
	struct endpoint to = { .port = 9 }, from = { 0 };
	struct sockaddr_storage sa;
	socklen_t len;
	char text[IP_TEXT];
	int fd;

	ip_parse(destination, &to.ip);
	len = endpoint_to_sockaddr(&to, &sa);
	fd = socket(sa.ss_family, SOCK_DGRAM, 0);
	if (connect(fd, (struct sockaddr *)&sa, len) == 0) {
		len = sizeof(sa);
		getsockname(fd, (struct sockaddr *)&sa, &len);
		endpoint_from_sockaddr(&sa, &from);
	}
	tap_str(ip_format(&from.ip, text), want, "to %s from %s", destination, want);
	close(fd);
}

/* Rules beyond the standard ones: all that no route of the main table is for goes somewhere, and what there is one for is as it says. */
static void test_policy(void)
{
	struct info_address addresses[4] = { { .prefix_len = 24 }, { .prefix_len = 24 }, { .prefix_len = 64 }, { .prefix_len = 64 } };
	struct info_route routes[2] = { { .prefix = IP_ANY4, .type = RTN_UNICAST, .metric = 100 },
					{ .prefix = IP_ANY6, .type = RTN_UNICAST, .metric = 1024 } };
	struct target_info info = { .interface = "eth0", .addresses = addresses, .n_addresses = 4, .routes = routes, .policy_routing = 1 };
	struct error err = { 0 };
	struct twin t;

	for (int with = 0; with < 2; with++) {
		ip_parse("10.9.0.2", &addresses[0].ip);
		ip_parse("10.9.0.3", &addresses[1].ip);
		ip_parse("fd09::2", &addresses[2].ip);
		ip_parse("fd09::3", &addresses[3].ip);
		routes[0].source = addresses[1].ip;
		routes[1].source = addresses[2].ip;
		info.n_routes = with ? 2 : 0;
		if (twin_unshare(&(struct twin_owner){ -1, getuid(), getgid() }, &t, &err) == 0)
			twin_build(&t, &info, "pid/1", &err);
		tap_str(err.text, "", "built %s routes", with ? "with" : "without");
		if (setns(t.net_ns, CLONE_NEWNET) < 0)
			abort();
		check_source("192.0.2.1", with ? "10.9.0.3" : "10.9.0.2");
		if (with)
			check_source("2001:db8::1", "fd09::2");
	}
}

/* Makes network namespaces all the time: whatever else changes links has to wait for it. */
static pid_t start_neighbour(void)
{
	pid_t child = fork();

	while (child == 0)
		if (unshare(CLONE_NEWNET) < 0)
			_exit(1);
	return child;
}

/* The first packet that the twin sends, sent at once, arrives. */
static bool first_packet_arrives(const struct target_info *info)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = 9 };
	struct error err = { 0 };
	struct pollfd in;
	struct twin t;
	bool sent;
	int fd;

	if (twin_unshare(&(struct twin_owner){ -1, getuid(), getgid() }, &t, &err) < 0 || twin_build(&t, info, "pid/1", &err) < 0 ||
	    setns(t.net_ns, CLONE_NEWNET) < 0)
		abort();
	inet_pton(AF_INET, "192.0.2.1", &to.sin_addr);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	sent = sendto(fd, "first", 5, 0, (struct sockaddr *)&to, sizeof(to)) == 5;
	in = (struct pollfd){ .fd = t.packet_in, .events = POLLIN };
	sent = sent && poll(&in, 1, 20000) == 1;
	close(fd);
	twin_close(&t);
	return sent;
}

static void test_first_packet(void)
{
	struct info_route route = { .prefix = IP_ANY4, .type = RTN_UNICAST };
	struct target_info info = { .interface = "eth0", .addresses = &address, .n_addresses = 1, .routes = &route, .n_routes = 1 };
	pid_t neighbours[2] = { start_neighbour(), start_neighbour() };
	int arrived = 0;

	ip_parse("10.9.0.2", &address.ip);
	for (int i = 0; i < BUILDS; i++)
		arrived += first_packet_arrives(&info);
	tap_int(arrived, BUILDS, "the first packet arrives");
	for (size_t i = 0; i < sizeof(neighbours) / sizeof(neighbours[0]); i++) {
		kill(neighbours[i], SIGKILL);
		waitpid(neighbours[i], NULL, 0);
	}
}

int main(void)
{
	in_child(test_first_packet);
	in_child(test_policy);
	for (current = 0; current < sizeof(rows) / sizeof(rows[0]); current++)
		in_child(test_name);
	return tap_done();
}
