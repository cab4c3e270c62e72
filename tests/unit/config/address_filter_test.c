// SPDX-License-Identifier: MIT
#include "config/address_filter.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tap.h"

/* What each text is read as: "protocol host ports", or the error and where it is. Most of the originals' accepted and rejected examples are here. */
static const struct {
	const char *text, *want;
} grammar[] = {
	/* accepted by the original */
	{ "tcp://1.2.3.0/24:7777", "tcp 1.2.3.0/24 7777" },
	{ "tcp://1.2.3.0/24", "tcp 1.2.3.0/24 any" },
	{ "1.2.3.0/24:7777", "both 1.2.3.0/24 7777" },
	{ "1.2.3.0/24", "both 1.2.3.0/24 any" },
	{ "tcp://[2800:3f0:4001:81e::2004]:7777", "tcp 2800:3f0:4001:81e::2004/128 7777" },
	{ "[2800:3f0:4001:81e::2004]:7777", "both 2800:3f0:4001:81e::2004/128 7777" },
	{ "[2800:3f0:4001:81e::2004]", "both 2800:3f0:4001:81e::2004/128 any" },
	{ "[2001:db8::]/32:443", "both 2001:db8::/32 443" },
	{ "tcp://", "tcp * any" },
	{ "udp://", "udp * any" },
	{ "any://", "both * any" },
	{ "udp://:7777", "udp * 7777" },
	{ ":7777", "both * 7777" },
	{ ":0", "both * any" },
	{ "", "both * any" },
	{ "0.0.0.0", "both * any" },
	{ "0.0.0.0:80", "both * 80" },
	{ "[::]:80", "both * 80" },
	{ "tcp://google.com:7777", "tcp google.com 7777" },
	{ "udp://google.com:7777", "udp google.com 7777" },
	{ "google.com:7777", "both google.com 7777" },
	{ "tcp://google.com", "tcp google.com any" },
	{ "rust-lang.org", "both rust-lang.org any" },
	{ "localhost", "both localhost any" },
	{ "localhost:8080", "both localhost 8080" },
	{ "1.1.5.0/24", "both 1.1.5.0/24 any" },
	{ "tcp://1.1.1.0/24:1337", "tcp 1.1.1.0/24 1337" },
	{ ":53", "both * 53" },
	{ "TCP://1.2.3.4", "tcp 1.2.3.4/32 any" },
	{ "Udp://x", "udp x any" },
	{ "ANY://x:1", "both x 1" },
	{ "1:2", "both 1 2" },
	{ "_srv._tcp.example.com", "both _srv._tcp.example.com any" },
	{ "1.2.3.4/0", "both 0.0.0.0/0 any" },
	{ "1.2.3.4/32", "both 1.2.3.4/32 any" },
	{ "1.2.3.4/9", "both 1.0.0.0/9 any" },
	{ "[::1]", "both ::1/128 any" },
	{ "[::1]:65535", "both ::1/128 65535" },
	{ "my_service", "both my_service any" },
	{ "1.2.3", "both 1.2.3 any" },
	/* accepted beyond it */
	{ "*.example.com", "both *.example.com any" },
	{ "**.svc.cluster.local", "both **.svc.cluster.local any" },
	{ "tcp://*.example.com:443", "tcp *.example.com 443" },
	{ "db-*.prod", "both db-*.prod any" },
	{ "*", "both * any name" },
	{ "**", "both ** any" },
	{ ":8000-8100", "both * 8000-8100" },
	{ "udp://db:1-65535", "udp db 1-65535" },
	{ "db:80-80", "both db 80" },
	{ "2001:db8::1", "both 2001:db8::1/128 any" },
	{ "2001:db8::/32", "both 2001:db8::/32 any" },
	{ "tcp://::1", "tcp ::1/128 any" },
	{ "::", "both * any" },
	{ "::/0", "both ::/0 any" },
	{ "[::ffff:1.2.3.4]:80", "both 1.2.3.4/32 80" },
	{ "::ffff:1.2.3.4", "both 1.2.3.4/32 any" },
	{ "[::ffff:1.2.3.0]/120", "both 1.2.3.0/24 any" },
	{ "[::ffff:0:0]/96", "both 0.0.0.0/0 any" },
	{ "Example.COM.", "both example.com any" },
	{ "example.com.:80", "both example.com 80" },
	{ "0.0.0.0/0", "both 0.0.0.0/0 any" },
	{ "[1::]/1", "both ::/1 any" },
	/* rejected by the original */
	{ "tcp://google.com/24:7777", "a prefix length stands behind an address, not behind a name at 16" },
	{ ":7777udp://", "the protocol is tcp://, udp:// or any:// at 0" },
	{ "meow://", "the protocol is tcp://, udp:// or any:// at 0" },
	{ "http://x", "the protocol is tcp://, udp:// or any:// at 0" },
	{ "://x", "the protocol is tcp://, udp:// or any:// at 0" },
	{ ":", "a port is a number from 0 to 65535 at 1" },
	{ "google.com:", "a port is a number from 0 to 65535 at 11" },
	{ ":65536", "a port is a number from 0 to 65535 at 5" },
	{ ":-1", "a port is a number from 0 to 65535 at 1" },
	{ ":http", "a port is a number from 0 to 65535 at 1" },
	{ "1.2.3.4/33", "a prefix length is 0 to 32 for IPv4 and 0 to 128 for IPv6 at 9" },
	{ "1.2.3.4/", "a prefix length is 0 to 32 for IPv4 and 0 to 128 for IPv6 at 8" },
	{ "1.2.3.4/x", "a prefix length is 0 to 32 for IPv4 and 0 to 128 for IPv6 at 8" },
	{ "[::1]/129", "a prefix length is 0 to 32 for IPv4 and 0 to 128 for IPv6 at 8" },
	{ "[::1", "expected an IPv6 address between `[` and `]` at 0" },
	{ "[]", "expected an IPv6 address between `[` and `]` at 0" },
	{ "[1.2.3.4]", "expected an IPv6 address between `[` and `]` at 0" },
	{ "[google.com]", "expected an IPv6 address between `[` and `]` at 0" },
	{ "1.2.3.4 ", "this is too much: an entry is [protocol://][host][/prefix][:port[-port]] at 7" },
	{ "google.com/", "a prefix length stands behind an address, not behind a name at 10" },
	{ "/24", "expected a name, an address or `:port` at 0" },
	{ "a:80:90", "this is too much: an entry is [protocol://][host][/prefix][:port[-port]] at 4" },
	{ " a", "expected a name, an address or `:port` at 0" },
	{ "a b", "this is too much: an entry is [protocol://][host][/prefix][:port[-port]] at 1" },
	{ "tcp://:80x", "this is too much: an entry is [protocol://][host][/prefix][:port[-port]] at 9" },
	{ "\xc3\xa4.example", "expected a name, an address or `:port` at 0" },
	/* rejected in what is ours */
	{ "a..b", "a name is labels of 1 to 63 letters, digits, `-`, `_` or `*` with dots between; `**` is a whole label, twice at most at 0" },
	{ ".a", "a name is labels of 1 to 63 letters, digits, `-`, `_` or `*` with dots between; `**` is a whole label, twice at most at 0" },
	{ "a**.b", "a name is labels of 1 to 63 letters, digits, `-`, `_` or `*` with dots between; `**` is a whole label, twice at most at 0" },
	{ "***", "a name is labels of 1 to 63 letters, digits, `-`, `_` or `*` with dots between; `**` is a whole label, twice at most at 0" },
	{ "**.a.**.b.**", "a name is labels of 1 to 63 letters, digits, `-`, `_` or `*` with dots between; `**` is a whole label, twice at most at "
		"0" },
	{ ":100-99", "a range of ports goes from a lower one, at least 1, to a higher one at 7" },
	{ ":0-99", "a range of ports goes from a lower one, at least 1, to a higher one at 5" },
	{ ":1-", "a range of ports goes from a lower one, at least 1, to a higher one at 3" },
	{ ":1-65536", "a range of ports goes from a lower one, at least 1, to a higher one at 7" },
	{ "2001:db8::1/129", "a prefix length is 0 to 32 for IPv4 and 0 to 128 for IPv6 at 14" },
	{ "2001:db8::1%eth0", "a port is a number from 0 to 65535 at 5" },
};

static const char *describe(const char *text)
{
	static char out[400];
	struct address_rule r;
	unsigned int at;
	enum rule_error e = address_rule_parse(text, &r, &at);
	char ip[IP_TEXT], host[300] = "*", ports[32] = "any";

	if (e != RULE_OK) {
		snprintf(out, sizeof(out), "%s at %u", address_rule_error(e), at);
		return out;
	}
	if (r.host == RULE_PREFIX)
		snprintf(host, sizeof(host), "%s/%d", ip_format(&r.prefix, ip), ip_is_v4(&r.prefix) && r.len >= 96 ? r.len - 96 : r.len);
	else if (r.host == RULE_NAME)
		snprintf(host, sizeof(host), "%s", r.name);
	if (r.low && r.low == r.high)
		snprintf(ports, sizeof(ports), "%u", r.low);
	else if (r.low)
		snprintf(ports, sizeof(ports), "%u-%u", r.low, r.high);
	snprintf(out, sizeof(out), "%s %s %s%s", r.protocol == IPPROTO_TCP ? "tcp" : r.protocol == IPPROTO_UDP ? "udp" : "both", host, ports,
		 r.host == RULE_NAME && strcmp(r.name, "*") == 0 ? " name" : "");
	return out;
}

static const char *const rules[] = {
	"tcp://10.1.0.0/16:443",      /* 0 */
	"10.1.2.3",		      /* 1 */
	"udp://10.0.0.0/8",	      /* 2 */
	"[2001:db8::]/32:8000-8100",  /* 3 */
	"2001:db8::1",		      /* 4 */
	":9000-9010",		      /* 5 */
	"udp://:53",		      /* 6 */
	"db",			      /* 7 */
	"*.example.com",	      /* 8 */
	"**.svc.cluster.local:80",    /* 9 */
	"tcp://api-*.prod",	      /* 10 */
	"**.deep.*.test",	      /* 11 */
	"EXACT.example.com:443",      /* 12 */
	"192.0.2.0/31",		      /* 13 */
	"**.a.**.z",		      /* 14 */
	"10.1.2.3:22",		      /* 15: never first */
};

/* A name or an address, and the rule that decides. */
static const struct {
	const char *what;
	int protocol;
	uint16_t port;
	int want;
} matches[] = {
	{ "10.1.2.3", IPPROTO_TCP, 443, 0 },
	{ "10.1.2.3", IPPROTO_TCP, 444, 1 },
	{ "10.1.2.3", IPPROTO_TCP, 22, 1 },
	{ "10.1.2.3", IPPROTO_UDP, 443, 1 },
	{ "10.1.2.3", IPPROTO_ICMP, 0, 1 },
	{ "10.1.2.4", IPPROTO_TCP, 443, 0 },
	{ "10.1.2.4", IPPROTO_TCP, 80, -1 },
	{ "10.1.2.4", IPPROTO_UDP, 443, 2 },
	{ "10.1.2.4", IPPROTO_ICMP, 0, -1 },
	{ "10.1.255.255", IPPROTO_TCP, 443, 0 },
	{ "10.2.0.0", IPPROTO_TCP, 443, -1 },
	{ "10.0.255.255", IPPROTO_TCP, 443, -1 },
	{ "10.255.255.255", IPPROTO_UDP, 1, 2 },
	{ "11.0.0.0", IPPROTO_UDP, 1, -1 },
	{ "9.255.255.255", IPPROTO_UDP, 1, -1 },
	{ "::ffff:10.1.2.3", IPPROTO_TCP, 443, 0 },
	{ "::ffff:10.1.2.3", IPPROTO_TCP, 1, 1 },
	{ "2001:db8::1", IPPROTO_TCP, 8000, 3 },
	{ "2001:db8::1", IPPROTO_TCP, 7999, 4 },
	{ "2001:db8::2", IPPROTO_TCP, 8100, 3 },
	{ "2001:db8::2", IPPROTO_TCP, 8101, -1 },
	{ "2001:db8:ffff::2", IPPROTO_UDP, 8050, 3 },
	{ "2001:db9::2", IPPROTO_UDP, 8050, -1 },
	{ "2001:db8::2", IPPROTO_ICMPV6, 0, -1 },
	{ "2001:db8::1", IPPROTO_ICMPV6, 0, 4 },
	{ "203.0.113.9", IPPROTO_TCP, 9000, 5 },
	{ "203.0.113.9", IPPROTO_UDP, 9010, 5 },
	{ "203.0.113.9", IPPROTO_UDP, 9011, -1 },
	{ "203.0.113.9", IPPROTO_ICMP, 0, -1 },
	{ "fd00::9", IPPROTO_TCP, 9005, 5 },
	{ "203.0.113.9", IPPROTO_UDP, 53, 6 },
	{ "203.0.113.9", IPPROTO_TCP, 53, -1 },
	{ "192.0.2.0", IPPROTO_TCP, 1, 13 },
	{ "192.0.2.1", IPPROTO_TCP, 1, 13 },
	{ "192.0.2.2", IPPROTO_TCP, 1, -1 },
	{ "db", IPPROTO_TCP, 5432, 7 },
	{ "DB", IPPROTO_UDP, 1, 7 },
	{ "db.", IPPROTO_UDP, 1, 7 },
	{ "db.example.com", IPPROTO_TCP, 1, 8 },
	{ "dbx", IPPROTO_TCP, 1, -1 },
	{ "x.db", IPPROTO_TCP, 1, -1 },
	{ "www.example.com", IPPROTO_TCP, 1, 8 },
	{ "WWW.Example.Com", IPPROTO_TCP, 1, 8 },
	{ "example.com", IPPROTO_TCP, 1, -1 },
	{ "a.b.example.com", IPPROTO_TCP, 1, -1 },
	{ "www.example.org", IPPROTO_TCP, 1, -1 },
	{ "exact.example.com", IPPROTO_TCP, 443, 8 },
	{ "api.default.svc.cluster.local", IPPROTO_TCP, 80, 9 },
	{ "a.b.c.svc.cluster.local", IPPROTO_UDP, 80, 9 },
	{ "api.default.svc.cluster.local", IPPROTO_TCP, 81, -1 },
	{ "svc.cluster.local", IPPROTO_TCP, 80, -1 },
	{ "api.default.pod.cluster.local", IPPROTO_TCP, 80, -1 },
	{ "api-1.prod", IPPROTO_TCP, 1, 10 },
	{ "api-.prod", IPPROTO_TCP, 1, 10 },
	{ "api.prod", IPPROTO_TCP, 1, -1 },
	{ "api-1.prod", IPPROTO_UDP, 1, -1 },
	{ "api-1.x.prod", IPPROTO_TCP, 1, -1 },
	{ "a.deep.b.test", IPPROTO_TCP, 1, 11 },
	{ "a.b.c.deep.d.test", IPPROTO_TCP, 1, 11 },
	{ "deep.b.test", IPPROTO_TCP, 1, -1 },
	{ "a.deep.test", IPPROTO_TCP, 1, -1 },
	{ "a.deep.b.c.test", IPPROTO_TCP, 1, -1 },
	{ "x.a.y.z", IPPROTO_TCP, 1, 14 },
	{ "x.y.a.b.c.z", IPPROTO_TCP, 1, 14 },
	{ "a.y.z", IPPROTO_TCP, 1, -1 },
	{ "x.a.z", IPPROTO_TCP, 1, -1 },
	{ "*.example.com", IPPROTO_TCP, 1, 8 },
};

static const struct {
	const char *pattern, *label;
	bool want;
} labels[] = {
	{ "*", "x", true },	{ "*", "", true },	{ "a*", "a", true },	{ "a*", "ab", true },	 { "a*", "ba", false },
	{ "*a", "ba", true },	{ "*a", "ab", false },	{ "a*c", "abc", true }, { "a*c", "ac", true },	 { "a*c", "abd", false },
	{ "a*b*c", "aXbYc", true }, { "a*b*c", "abbc", true }, { "*b", "bbb", true }, { "abc", "ABC", true }, { "abc", "abcd", false },
};

static int match(const struct address_filter *f, const char *what, int protocol, uint16_t port)
{
	struct dns_name name;
	struct ip ip;

	if (ip_parse(what, &ip))
		return address_filter_match_ip(f, protocol, &ip, port);
	return address_name_to_dns(what, &name) ? address_filter_match_name(f, protocol, &name, port) : -2;
}

static void check_queries(const struct address_filter *f)
{
	struct dns_name name;

	tap_ok(address_name_to_dns("a.svc.cluster.local", &name) && address_filter_match_query(f, &name) == 9, "a query knows no port");
	tap_ok(address_name_to_dns("api-1.prod", &name) && address_filter_match_query(f, &name) == 10, "a query knows no protocol");
	tap_ok(address_name_to_dns("nobody.test", &name) && address_filter_match_query(f, &name) == -1, "a query that no rule is about");
	tap_ok(!address_name_to_dns("", &name), "no name");
	tap_ok(!address_name_to_dns("a..b", &name), "an empty label");
	name = (struct dns_name){ .len = 1 };
	tap_int(address_filter_match_query(f, &name), -1, "the root");
}

enum { MANY = 1000, ROUNDS = 20000 };

/* Nanoseconds per question. A threshold that only a walk over all rules can miss: sanitizers and busy machines are far below. */
static double cost(size_t n)
{
	static char texts[MANY][64];
	static char *list[MANY];
	struct address_filter *f;
	struct timespec a, b;
	struct dns_name name;
	struct ip ip;
	int hits = 0;

	for (size_t i = 0; i < n; i++) {
		snprintf(texts[i], sizeof(texts[i]), i % 2 ? "10.%zu.%zu.0/24:%zu" : "h%zu-%zu.example%zu.test", i / 250, i % 250, i % 2 ?
			1000 + i : i);
		list[i] = texts[i];
	}
	f = address_filter_new(list, n);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	for (int i = 0; i < ROUNDS; i++) {
		address_name_to_dns("h0-2.example2.test", &name);
		ip = ip_from_v4((uint8_t[]){ 10, 0, (uint8_t)(i % 250), 1 });
		hits += address_filter_match_ip(f, IPPROTO_TCP, &ip, 1001) >= 0;
		hits += address_filter_match_name(f, IPPROTO_TCP, &name, 1) >= 0;
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	address_filter_free(f);
	if (n > 1)
		tap_ok(hits > 0, "some of the questions have an answer");
	return ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / ROUNDS;
}

static void check_speed(void)
{
	double one = cost(1), many = cost(MANY);

	printf("# an address and a name against 1 rule: %.0f ns; against %d: %.0f ns\n", one, MANY, many);
	tap_ok(many < 20 * one + 20000, "a thousand rules take as long as one");
}

int main(void)
{
	struct address_filter *f, *empty = address_filter_new(NULL, 0);
	char long_text[ADDRESS_RULE_TEXT + 2], long_label[70];

	for (size_t i = 0; i < sizeof(grammar) / sizeof(grammar[0]); i++)
		tap_str(describe(grammar[i].text), grammar[i].want, "`%s` is read", grammar[i].text);
	memset(long_text, 'a', sizeof(long_text));
	long_text[sizeof(long_text) - 1] = '\0';
	tap_str(describe(long_text), "an entry is at most 299 bytes long at 0", "too long");
	memset(long_label, 'a', 64);
	long_label[64] = '\0';
	tap_ok(strstr(describe(long_label), "labels of 1 to 63"), "a label of 64 bytes");
	long_label[63] = '\0';
	tap_ok(strstr(describe(long_label), "both aaa"), "a label of 63 bytes");

	f = address_filter_new((char *const *)rules, sizeof(rules) / sizeof(rules[0]));
	for (size_t i = 0; i < sizeof(matches) / sizeof(matches[0]); i++)
		tap_int(match(f, matches[i].what, matches[i].protocol, matches[i].port), matches[i].want, "%s port %u, protocol %d", matches[i].what,
			matches[i].port, matches[i].protocol);
	check_queries(f);
	for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++)
		tap_ok(address_label_matches(labels[i].pattern, strlen(labels[i].pattern), (const uint8_t *)labels[i].label,
			strlen(labels[i].label)) ==
			       labels[i].want,
		       "label %s against %s", labels[i].label, labels[i].pattern);
	tap_int(match(empty, "10.0.0.1", IPPROTO_TCP, 1), -1, "no rules: an address");
	tap_int(match(empty, "a.b", IPPROTO_TCP, 1), -1, "no rules: a name");
	address_filter_free(empty);
	address_filter_free(f);
	check_speed();
	return tap_done();
}
