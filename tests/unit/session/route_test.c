// SPDX-License-Identifier: MIT
#include "session/route.h"

#include <netinet/in.h>

#include "session/dns_rules.h"
#include "tap.h"

static const char *const local_entries[] = { "10.1.0.0/16", "db", "**.vpn.test:443", "udp://:53", "::1" };
static const char *const remote_entries[] = { "tcp://10.0.0.0/8", "*.svc.test", "short" };

static const char resolv_conf[] = "nameserver 10.96.0.10\ndomain old.test\nsearch ns.svc.test svc.test test\noptions ndots:5\n";

/* @side: l, r, or - for no filter; @names with spaces between. */
static const struct {
	const char *name;
	char side;
	int protocol;
	const char *ip;
	uint16_t port;
	const char *names;
	bool target;
	enum route_why why;
	int rule;
} rows[] = {
	{ "no filter", '-', IPPROTO_TCP, "10.1.0.1", 80, "", true, ROUTE_DEFAULT, -1 },
	{ "local: an address", 'l', IPPROTO_TCP, "10.1.0.1", 80, "", false, ROUTE_RULE, 0 },
	{ "local: another address", 'l', IPPROTO_TCP, "10.2.0.1", 80, "", true, ROUTE_NO_RULE, -1 },
	{ "local: a mapped address", 'l', IPPROTO_TCP, "::ffff:10.1.0.1", 80, "", false, ROUTE_RULE, 0 },
	{ "local: a name", 'l', IPPROTO_TCP, "10.2.0.1", 80, "db", false, ROUTE_RULE, 1 },
	{ "local: one of the names", 'l', IPPROTO_TCP, "10.2.0.1", 80, "x db", false, ROUTE_RULE, 1 },
	{ "local: a name with a suffix", 'l', IPPROTO_TCP, "10.2.0.1", 80, "db.ns.svc.test", false, ROUTE_RULE, 1 },
	{ "local: a name with the shorter suffix", 'l', IPPROTO_TCP, "10.2.0.1", 80, "DB.Test", false, ROUTE_RULE, 1 },
	{ "local: a name with the old suffix", 'l', IPPROTO_TCP, "10.2.0.1", 80, "db.old.test", true, ROUTE_NO_RULE, -1 },
	{ "local: a name with another suffix", 'l', IPPROTO_TCP, "10.2.0.1", 80, "db.other", true, ROUTE_NO_RULE, -1 },
	{ "local: the address comes first", 'l', IPPROTO_TCP, "10.1.0.1", 80, "db", false, ROUTE_RULE, 0 },
	{ "local: a name and its port", 'l', IPPROTO_TCP, "10.2.0.1", 443, "a.b.vpn.test", false, ROUTE_RULE, 2 },
	{ "local: a name and another port", 'l', IPPROTO_TCP, "10.2.0.1", 80, "a.b.vpn.test", true, ROUTE_NO_RULE, -1 },
	{ "local: a port", 'l', IPPROTO_UDP, "9.9.9.9", 53, "", false, ROUTE_RULE, 3 },
	{ "local: the other protocol", 'l', IPPROTO_TCP, "9.9.9.9", 53, "", true, ROUTE_NO_RULE, -1 },
	{ "local: ping", 'l', IPPROTO_ICMP, "10.1.0.1", 0, "", false, ROUTE_RULE, 0 },
	{ "local: ping of another", 'l', IPPROTO_ICMP, "9.9.9.9", 0, "", true, ROUTE_NO_RULE, -1 },
	{ "local: localhost", 'l', IPPROTO_TCP, "::1", 80, "", false, ROUTE_RULE, 4 },
	{ "local: a name alone", 'l', IPPROTO_TCP, NULL, 80, "db", false, ROUTE_RULE, 1 },
	{ "local: a port, of a name alone", 'l', IPPROTO_UDP, NULL, 53, "example.com", false, ROUTE_RULE, 3 },
	{ "remote: an address", 'r', IPPROTO_TCP, "10.1.0.1", 80, "", true, ROUTE_RULE, 0 },
	{ "remote: another protocol", 'r', IPPROTO_UDP, "10.1.0.1", 80, "", false, ROUTE_NO_RULE, -1 },
	{ "remote: a name", 'r', IPPROTO_UDP, "9.9.9.9", 80, "a.svc.test", true, ROUTE_RULE, 1 },
	{ "remote: a short name", 'r', IPPROTO_UDP, "9.9.9.9", 80, "short.ns.svc.test", true, ROUTE_RULE, 2 },
	{ "remote: something else", 'r', IPPROTO_TCP, "9.9.9.9", 80, "example.com", false, ROUTE_NO_RULE, -1 },
};

static void init(struct route_rules *r, char side, bool tcp, bool udp, bool ignore)
{
	static struct config c; /* outlives the rules */

	c = (struct config){ .outgoing_tcp = tcp, .outgoing_udp = udp, .outgoing_ignore_localhost = ignore,
			     .outgoing_filter = { .side = side == 'l' ? FILTER_LOCAL : side == 'r' ? FILTER_REMOTE : FILTER_NONE,
						  .entries = { (char **)(side == 'l' ? local_entries : remote_entries), side == 'l' ? 5 : 3,
							       true } } };
	route_rules_init(r, &c);
	route_rules_set_search(r, resolv_conf);
}

static size_t names_from(const char *text, struct dns_name *ret)
{
	char copy[200], *save = NULL;
	size_t n = 0;

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
		n += address_name_to_dns(word, &ret[n]);
	return n;
}

static void check_rows(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct route_rules r;
		struct route_decision got;
		struct dns_name names[4];
		struct ip ip;

		init(&r, rows[i].side, true, true, false);
		if (rows[i].ip)
			ip_parse(rows[i].ip, &ip);
		got = route_pick(&r, rows[i].protocol, rows[i].ip ? &ip : NULL, rows[i].port, names, names_from(rows[i].names, names));
		tap_ok(got.target == rows[i].target && got.why == rows[i].why && got.rule == rows[i].rule, "%s", rows[i].name);
		route_rules_fini(&r);
	}
}

static const char *say(bool tcp, bool udp, bool ignore, char side, int protocol, const char *address)
{
	static char text[ROUTE_TEXT];
	struct route_rules r;
	struct route_decision d;
	struct ip ip;

	init(&r, side, tcp, udp, ignore);
	ip_parse(address, &ip);
	d = route_pick(&r, protocol, &ip, 80, NULL, 0);
	route_explain(&r, &d, text);
	route_rules_fini(&r);
	return text;
}

static void check_texts(void)
{
	tap_str(say(true, true, true, '-', IPPROTO_TCP, "127.0.0.1"), "leaves from this machine: feature.network.outgoing.ignore_localhost",
		"localhost");
	tap_str(say(true, true, true, 'r', IPPROTO_TCP, "::1"), "leaves from this machine: feature.network.outgoing.ignore_localhost", "::1");
	tap_str(say(true, true, true, '-', IPPROTO_TCP, "10.0.0.1"), "leaves from the target: there is no feature.network.outgoing.filter",
		"not localhost");
	tap_str(say(false, true, false, 'r', IPPROTO_TCP, "10.0.0.1"), "leaves from this machine: feature.network.outgoing has this protocol off",
		"no TCP");
	tap_str(say(false, true, false, '-', IPPROTO_UDP, "10.0.0.1"), "leaves from the target: there is no feature.network.outgoing.filter",
		"no TCP: UDP");
	tap_str(say(true, false, false, '-', IPPROTO_ICMP, "10.0.0.1"), "leaves from this machine: feature.network.outgoing has this protocol off",
		"no UDP: ping");
	tap_str(say(true, true, false, 'r', IPPROTO_TCP, "10.0.0.1"),
		"leaves from the target: \"tcp://10.0.0.0/8\" of feature.network.outgoing.filter.remote",
		"a rule");
	tap_str(say(true, true, false, 'l', IPPROTO_TCP, "9.0.0.1"), "leaves from the target: no rule of feature.network.outgoing.filter.local "
		"matches",
		"no rule");
}

static void check_debugger(void)
{
	static const struct {
		const char *ip;
		uint16_t port;
		const char *want;
	} asked[] = {
		{ "127.0.0.1", 5678, "leaves from this machine: a debugger's port, by feature.network.debugger_ports" },
		{ "::1", 5678, "leaves from this machine: a debugger's port, by feature.network.debugger_ports" },
		{ "127.0.0.1", 5679, "leaves from the target: there is no feature.network.outgoing.filter" },
		{ "10.0.0.1", 5678, "leaves from the target: there is no feature.network.outgoing.filter" },
	};
	char port[] = "5678", *ports[] = { port }, text[ROUTE_TEXT];
	const struct config c = { .outgoing_tcp = true, .outgoing_udp = true, .debugger_ports = { ports, 1, true } };
	struct route_rules r;

	route_rules_init(&r, &c);
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		struct route_decision d;
		struct ip ip;

		ip_parse(asked[i].ip, &ip);
		d = route_pick(&r, IPPROTO_TCP, &ip, asked[i].port, NULL, 0);
		tap_str(route_explain(&r, &d, text), asked[i].want, "a debugger's port: %s:%u", asked[i].ip, asked[i].port);
	}
	route_rules_fini(&r);
}

/* Questions, and whom they are for; "as NAME" when this machine is asked for another. */
static const struct {
	const char *name, *question;
	char side;
	uint16_t type;
	const char *want;
} questions[] = {
	{ "no filter", "db", '-', DNS_A, "target" },
	{ "local", "db", 'l', DNS_A, "here as db" },
	{ "local, in capitals", "DB", 'l', DNS_AAAA, "here as DB" },
	{ "local, by the search list", "db.ns.svc.test", 'l', DNS_A, "here as db" },
	{ "local, by its last part", "db.test", 'l', DNS_A, "here as db" },
	{ "local, a wildcard", "a.b.vpn.test", 'l', DNS_A, "here as a.b.vpn.test" },
	{ "local, a wildcard by the search list", "a.b.vpn.test.svc.test", 'l', DNS_A, "here as a.b.vpn.test" },
	{ "local: another", "x.example.com", 'l', DNS_A, "target" },
	{ "local: an address's name", "3.2.1.10.in-addr.arpa", 'l', DNS_PTR, "here as 3.2.1.10.in-addr.arpa" },
	{ "local: another address's name", "3.2.2.10.in-addr.arpa", 'l', DNS_PTR, "target" },
	{ "local: an IPv6 address's name", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa", 'l', DNS_PTR,
	  "here as 1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa" },
	{ "local: no address", "300.2.1.10.in-addr.arpa", 'l', DNS_PTR, "target" },
	{ "remote", "a.svc.test", 'r', DNS_A, "target" },
	{ "remote, by the search list", "short.ns.svc.test", 'r', DNS_A, "target" },
	{ "remote: another", "example.com", 'r', 16, "here as example.com" },
};

static void check_questions(void)
{
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		char side = questions[i].side, got[300] = "target", text[DNS_NAME_TEXT];
		const struct config c = { .dns_enabled = true,
					  .dns_rules = { .side = side == 'l' ? FILTER_LOCAL : side == 'r' ? FILTER_REMOTE : FILTER_NONE,
							 .entries = { (char **)(side == 'l' ? local_entries : remote_entries), side == 'l' ? 5 :
								3, true } } };
		struct dns_question q = { .type = questions[i].type, .class = DNS_CLASS_IN };
		struct dns_rules r;
		struct dns_name ask;
		int rule;

		dns_rules_init(&r, &c, " ns.svc.test svc.test test");
		address_name_to_dns(questions[i].question, &q.name);
		if (dns_rules_local(&r, &q, &ask, &rule))
			snprintf(got, sizeof(got), "here as %s", dns_name_format(&ask, text));
		tap_str(got, questions[i].want, "question: %s", questions[i].name);
		dns_rules_fini(&r);
	}
}

int main(void)
{
	check_rows();
	check_texts();
	check_debugger();
	check_questions();
	return tap_done();
}
