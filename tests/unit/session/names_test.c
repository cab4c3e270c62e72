// SPDX-License-Identifier: MIT
#include "session/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/address_rule.h"
#include "net/dns_build.h"
#include "tap.h"

#define SECONDS(n) ((n) * 1000000000ULL)

/* An answer for @name with these addresses and this TTL. */
static size_t build(const char *name, uint16_t type, const char *const *ips, uint32_t ttl, uint8_t *out)
{
	uint8_t query[300];
	struct dns_name n;
	struct dns_message m;
	struct ip list[8];
	size_t count = 0, len;

	address_name_to_dns(name, &n);
	len = dns_build_question(7, &n, type, query, sizeof(query));
	for (; ips[count]; count++)
		ip_parse(ips[count], &list[count]);
	if (dns_parse(query, len, &m) < 0)
		exit(99);
	return dns_build_answer(&m, &(struct dns_answer){ .ips = list, .n = count, .ttl = ttl }, out, 512);
}

static void learn(struct names *n, const char *name, uint64_t now, uint32_t ttl, const char *const *ips)
{
	uint8_t out[512];
	struct dns_message m;
	size_t len = build(name, strchr(ips[0] ? ips[0] : "", ':') ? DNS_AAAA : DNS_A, ips, ttl, out);

	if (dns_parse(out, len, &m) < 0)
		exit(99);
	names_learn(n, &m, now);
}

#define LEARN(n, name, now, ttl, ...) learn(n, name, now, ttl, (const char *const[]){ __VA_ARGS__, NULL })

static const char *names(const struct names *n, const char *address, uint64_t now)
{
	static char out[2048];
	struct dns_name list[NAMES_PER_ADDRESS];
	char text[DNS_NAME_TEXT];
	struct ip ip;
	size_t count;

	ip_parse(address, &ip);
	count = names_of(n, &ip, now, list);
	*out = '\0';
	for (size_t i = 0; i < count; i++)
		snprintf(out + strlen(out), sizeof(out) - strlen(out), "%s%s", i ? " " : "", dns_name_format(&list[i], text));
	return out;
}

static void check_learning(struct names *n)
{
	tap_str(names(n, "10.0.0.1", 0), "", "nothing is known yet");
	LEARN(n, "DB.Example.test", 0, 60, "10.0.0.1", "10.0.0.2");
	tap_str(names(n, "10.0.0.1", 0), "db.example.test", "a name, in small letters");
	tap_str(names(n, "10.0.0.2", SECONDS(30)), "db.example.test", "of each address");
	tap_str(names(n, "::ffff:10.0.0.2", SECONDS(30)), "db.example.test", "also in its mapped form");
	tap_str(names(n, "10.0.0.2", SECONDS(3600)), "db.example.test", "behind its TTL, as long as no later answer says otherwise");
	LEARN(n, "other.test", SECONDS(1), 60, "10.0.0.1");
	tap_str(names(n, "10.0.0.1", SECONDS(2)), "other.test", "the name asked for last");
	LEARN(n, "db.example.test", SECONDS(3), 60, "10.0.0.1", "10.0.0.2");
	tap_str(names(n, "10.0.0.1", SECONDS(4)), "db.example.test", "and again");
	LEARN(n, "db.example.test", SECONDS(10), 1, "10.0.0.3");
	tap_str(names(n, "10.0.0.2", SECONDS(20)), "db.example.test", "an address that a later answer lacks, within its TTL");
	tap_str(names(n, "10.0.0.2", SECONDS(64)), "", "and behind it");
	tap_str(names(n, "10.0.0.3", SECONDS(64)), "db.example.test", "the later answer's address");
	LEARN(n, "db.example.test", SECONDS(65), 60, "fd00::1");
	tap_str(names(n, "10.0.0.3", SECONDS(99)), "db.example.test", "an answer of the other family says nothing of this one");
	tap_str(names(n, "fd00::1", SECONDS(99)), "db.example.test", "the other family");
}

/* www → cdn → 10.9.9.9, TTLs 300 and 5. */
static void check_aliases(struct names *n)
{
	static const uint8_t message[] = { 0, 7, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0, 3, 'w', 'w', 'w', 4, 't', 'e', 's', 't', 0, 0, 1, 0, 1,
					   0xc0, 12, 0, 5, 0, 1, 0, 0, 1, 44, 0, 6, 3, 'c', 'd', 'n', 0xc0, 16,
					   0xc0, 38, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 9, 9, 9 };
	struct dns_message m;

	tap_int(dns_parse(message, sizeof(message), &m), 0, "an answer by way of an alias");
	names_learn(n, &m, 0);
	tap_str(names(n, "10.9.9.9", 0), "www.test cdn.test", "the name asked for first, then the alias");
}

static void check_found(struct names *n)
{
	struct ip ips[2];
	struct dns_name a, b;

	address_name_to_dns("Found.test", &a);
	address_name_to_dns("also.test", &b);
	ip_parse("10.5.0.1", &ips[0]);
	ip_parse("10.5.0.2", &ips[1]);
	names_set_found(n, &a, ips, 2);
	names_set_found(n, &b, ips, 1);
	tap_str(names(n, "10.5.0.1", 0), "also.test found.test", "names that the session found");
	names_set_found(n, &a, ips + 1, 1);
	tap_str(names(n, "10.5.0.1", 0), "also.test", "an address that is no longer found");
	LEARN(n, "asked.test", 0, 1, "10.5.0.1");
	tap_str(names(n, "10.5.0.1", SECONDS(1)), "asked.test", "what the program asked for counts before");
}

static void check_rubbish(struct names *n)
{
	uint8_t out[512];
	struct dns_message m;
	size_t len, before = names_count(n);
	const char *const none[] = { NULL };

	len = build("nobody.test", DNS_A, none, 1, out);
	tap_ok(dns_parse(out, len, &m) == 0, "an answer without addresses");
	names_learn(n, &m, 0);
	m.rcode = 3;
	names_learn(n, &m, 0);
	m.response = false;
	names_learn(n, &m, 0);
	tap_int(names_count(n), before, "nothing is learnt from it");
}

/* More than are kept: the oldest give way, and nothing grows without end (which a sanitizer would tell). */
static void check_many(struct names *n)
{
	char name[64], ip[32];

	for (unsigned int i = 0; i < 40000; i++) {
		snprintf(name, sizeof(name), "n%u.test", i);
		snprintf(ip, sizeof(ip), "10.%u.%u.%u", 100 + (i >> 16), i >> 8 & 255, i & 255);
		LEARN(n, name, i, 1, ip);
	}
	tap_ok(names_count(n) <= 16384, "a bounded number of addresses");
	tap_str(names(n, "10.100.156.63", 0), "n39999.test", "the latest is there");
	tap_str(names(n, "10.100.0.1", 0), "", "an old one isn't");
}

int main(void)
{
	struct names *n = names_new();

	check_learning(n);
	check_aliases(n);
	check_found(n);
	check_rubbish(n);
	check_many(n);
	names_free(n);
	return tap_done();
}
