// SPDX-License-Identifier: MIT
#include "session/routing.h"

#include <netinet/in.h>

#include "tap.h"

static const char resolv_conf[] = "# nameserver 9.9.9.9\n"
				  "search a.test b.test\n"
				  "nameserver 10.96.0.10\n"
				  "nameserver\tfd00::53\n"
				  "nameserver 127.0.0.11 # docker's\n"
				  "options ndots:5\n"
				  "nameserver not.an.address\n";

static const struct {
	const char *name;
	bool tcp, udp, dns;
	int protocol;
	const char *ip;
	uint16_t port;
	enum exit want;
} rows[] = {
	{ "all remote: tcp", true, true, true, IPPROTO_TCP, "10.0.0.1", 80, EXIT_TARGET },
	{ "no tcp: tcp", false, true, true, IPPROTO_TCP, "10.0.0.1", 80, EXIT_HOST },
	{ "no tcp: udp", false, true, true, IPPROTO_UDP, "10.0.0.1", 80, EXIT_TARGET },
	{ "no udp: udp", true, false, true, IPPROTO_UDP, "10.0.0.1", 80, EXIT_HOST },
	{ "no udp: dns stays remote", true, false, true, IPPROTO_UDP, "10.96.0.10", 53, EXIT_TARGET },
	{ "no tcp: dns over tcp stays remote", false, true, true, IPPROTO_TCP, "10.96.0.10", 53, EXIT_TARGET },
	{ "no dns: udp", true, true, false, IPPROTO_UDP, "10.96.0.10", 53, EXIT_HOST },
	{ "no dns: another port of the name server", true, true, false, IPPROTO_UDP, "10.96.0.10", 54, EXIT_TARGET },
	{ "no dns: ipv6 name server", true, true, false, IPPROTO_UDP, "fd00::53", 53, EXIT_HOST },
	{ "no dns: name server on loopback", true, true, false, IPPROTO_TCP, "127.0.0.11", 53, EXIT_HOST },
	{ "no dns: another's port 53", true, true, false, IPPROTO_UDP, "9.9.9.9", 53, EXIT_TARGET },
	{ "no udp: ping", true, false, true, IPPROTO_ICMP, "10.0.0.1", 0, EXIT_HOST },
};

int main(void)
{
	const struct config none = { .dns_enabled = true };
	struct routing r;

	tap_int(routing_init(&r, &none, NULL), 0, "without a resolv.conf");
	tap_int(r.n_name_servers, 0, "none");
	tap_int(routing_read_name_servers("", r.name_servers), 0, "none in an empty one");
	r.n_name_servers = routing_read_name_servers(resolv_conf, r.name_servers);
	tap_int(r.n_name_servers, 3, "comments, tabs and rubbish");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct endpoint remote = { .port = rows[i].port };

		ip_parse(rows[i].ip, &remote.ip);
		r.rules.tcp = rows[i].tcp;
		r.rules.udp = rows[i].udp;
		r.remote_dns = rows[i].dns;
		tap_int(routing_pick(&r, rows[i].protocol, &remote, 0), rows[i].want, "%s", rows[i].name);
	}
	routing_fini(&r);
	return tap_done();
}
