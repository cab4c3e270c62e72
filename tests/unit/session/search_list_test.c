// SPDX-License-Identifier: MIT
#include "session/search_list.h"

#include <stdlib.h>

#include "config/address_rule.h"
#include "tap.h"

static const struct {
	const char *search, *name, *want;
} rows[] = {
	{ NULL, "db", "db." },
	{ "", "db", "db." },
	{ "shop.svc cluster.test", "db", "db.shop.svc. db.cluster.test. db." },
	{ " \tshop.svc\t  cluster.test. ", "db.data", "db.data.shop.svc. db.data.cluster.test. db.data." },
	{ "shop..svc good", "db", "db.good. db." },
	{ ".", "db", "db." },
	{ "a b c d e f g h i j", "x", "x.a. x.b. x.c. x.d. x.e. x.f. x.g. x." },
};

static void test_forms(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dns_name name, forms[SEARCH_FORMS];
		char all[DNS_NAME_TEXT * SEARCH_FORMS] = "", text[DNS_NAME_TEXT];
		size_t n;

		address_name_to_dns(rows[i].name, &name);
		n = search_forms(rows[i].search, &name, forms);
		for (size_t k = 0; k < n; k++) {
			strcat(all, k ? " " : "");
			strcat(all, dns_name_format(&forms[k], text));
			strcat(all, ".");
		}
		tap_str(all, rows[i].want, "%s, search %s", rows[i].name, rows[i].search ? rows[i].search : "(none)");
	}
}

static void test_too_long(void)
{
	static const char label[] = "0123456789012345678901234567890123456789012345678901234567890";
	struct dns_name name, forms[SEARCH_FORMS];
	char text[256], suffix[128];

	snprintf(text, sizeof(text), "%s.%s.%s", label, label, label);
	snprintf(suffix, sizeof(suffix), "%s.%s ok", label, label);
	address_name_to_dns(text, &name);
	tap_int(search_forms(suffix, &name, forms), 2, "a suffix that makes the name too long is left out");
}

static const char hosts[] = "# comment 10.0.0.1 db\n127.0.0.1\tlocalhost db\n\n::1 localhost ip6-localhost\n10.0.0.9 DB.data  # db3\nnonsense db\n"
			    "10.0.0.7 x y z";

static void test_hosts(void)
{
	struct ip ips[4], want;

	tap_int(hosts_find(hosts, "localhost", ips, 4), 2, "both families");
	ip_parse("::1", &want);
	tap_ok(ip_equal(&ips[1], &want), "in their order");
	tap_int(hosts_find(hosts, "localhost", ips, 1), 1, "as many as there is room for");
	tap_int(hosts_find(hosts, "db.DATA", ips, 4), 1, "without regard to case");
	tap_int(hosts_find(hosts, "db", ips, 4), 1, "an alias; lines without an address are none");
	tap_int(hosts_find(hosts, "db3", ips, 4), 0, "comments are none");
	tap_int(hosts_find(hosts, "10.0.0.9", ips, 4), 0, "nor addresses");
	tap_int(hosts_find(hosts, "z", ips, 4), 1, "the last word of a file without a newline");
	tap_int(hosts_find(NULL, "db", ips, 4), 0, "no file");
}

int main(void)
{
	test_forms();
	test_too_long();
	test_hosts();
	return tap_done();
}
