// SPDX-License-Identifier: MIT
#include "net/dns_build.h"

#include <stdio.h>
#include <string.h>

#include "tap.h"

static const struct dns_name name = { .len = 11, .wire = "\3db4\5shops" };

static size_t question(uint16_t type, uint8_t *out, struct dns_message *ret)
{
	struct dns_name n = { .len = 10, .wire = "\2Db\5Shops" };
	size_t len = dns_build_question(0x1234, &n, type, out, 300);

	tap_ok(len > 0 && dns_parse(out, len, ret) == 0 && ret->questions == 1 && ret->edns && ret->id == 0x1234 && !ret->response,
		"a question is one");
	return len;
}

static size_t count(const struct dns_message *m, struct ip *last, uint32_t *ret_ttl)
{
	struct dns_cursor c = dns_records(m);
	struct dns_record r;
	size_t n = 0;

	while (dns_next_record(&c, &r) > 0)
		if (r.section == DNS_ANSWER && dns_record_ip(&r, last)) {
			*ret_ttl = r.ttl;
			n++;
		}
	return n;
}

static void check_answers(void)
{
	uint8_t q[300], out[512];
	struct dns_message query, m;
	struct ip ips[40], last;
	uint32_t ttl = 0;
	size_t len, n = question(DNS_A, q, &query);

	for (uint8_t i = 0; i < 40; i++)
		ips[i] = i % 2 ? ip_from_v6((const uint8_t[16]){ 0xfd, [15] = i }) : ip_from_v4((const uint8_t[]){ 10, 0, 0, i });
	len = dns_build_answer(&query, &(struct dns_answer){ .ips = ips, .n = 3, .ttl = 7 }, out, sizeof(out));
	tap_ok(dns_parse(out, len, &m) == 0 && m.response && m.rcode == 0 && m.id == 0x1234 && m.edns, "an answer");
	tap_int(m.records[DNS_ANSWER], 2, "with the addresses of the family");
	tap_ok(count(&m, &last, &ttl) == 2 && last.b[15] == 2 && ttl == 7, "that belong to the question's name");
	tap_ok(memcmp(out + 12, q + 12, 10) == 0, "whose letters are as they were");
	len = dns_build_answer(&query, &(struct dns_answer){ .ips = ips, .n = 40, .ttl = 1 }, out, 100);
	tap_ok(len <= 100 && dns_parse(out, len, &m) == 0 && count(&m, &last, &ttl) == m.records[DNS_ANSWER] && m.records[DNS_ANSWER] > 1,
		"as many as have room");
	len = dns_build_answer(&query, &(struct dns_answer){ .rcode = DNS_NXDOMAIN }, out, sizeof(out));
	tap_ok(dns_parse(out, len, &m) == 0 && m.rcode == DNS_NXDOMAIN && m.records[DNS_ANSWER] == 0, "no such name");
	tap_int(dns_build_answer(&query, &(struct dns_answer){ .ips = ips, .n = 3, .ttl = 7 }, out, 20), 0, "no room for the question");
	tap_int(dns_answer_limit(&query), 1232, "what the question says that it takes");
	q[10] = q[11] = 0; /* without OPT */
	tap_ok(dns_parse(q, n - 11, &query) == 0 && !query.edns, "a plain question");
	tap_int(dns_answer_limit(&query), DNS_UDP_PLAIN, "takes 512 bytes");
	len = dns_build_answer(&query, &(struct dns_answer){ .ips = ips, .n = 1, .ttl = 7 }, out, sizeof(out));
	tap_ok(dns_parse(out, len, &m) == 0 && !m.edns && m.records[DNS_ADDITIONAL] == 0, "and gets a plain answer");
	question(DNS_AAAA, q, &query);
	len = dns_build_answer(&query, &(struct dns_answer){ .ips = ips, .n = 4, .ttl = 7 }, out, sizeof(out));
	tap_ok(dns_parse(out, len, &m) == 0 && count(&m, &last, &ttl) == 2 && last.b[15] == 3, "the other family");
	tap_int(dns_build_question(1, &name, DNS_A, q, 20), 0, "no room for a question");
}

/* The name in the first record, as text; "" when that is of another type. */
static const char *first_name(const struct dns_message *m, uint16_t type, char text[DNS_NAME_TEXT])
{
	struct dns_cursor c = dns_records(m);
	struct dns_record r;
	struct dns_name n;

	if (dns_next_record(&c, &r) <= 0 || r.type != type || !dns_record_name(m, &r, &n))
		return "";
	return dns_name_format(&n, text);
}

static void see(void *arg, const struct dns_name *n, const struct ip *ip, uint32_t ttl)
{
	char text[DNS_NAME_TEXT];
	size_t len = strlen(arg);

	snprintf((char *)arg + len, 200 - len, "%s %u|", dns_name_format(n, text), ttl);
}

static void check_names(void)
{
	uint8_t q[300], out[512];
	const struct dns_name alias = { .len = 14, .wire = "\3web\4shop\3lan" };
	const struct ip ip = ip_from_v4((const uint8_t[]){ 10, 0, 0, 1 });
	const struct dns_answer cname = { .name = &alias, .ips = &ip, .n = 1, .ttl = 3 }, name_alone = { .name = &alias };
	struct dns_message query, m;
	char text[DNS_NAME_TEXT], seen[200] = "";
	size_t len;

	question(DNS_A, q, &query);
	len = dns_build_answer(&query, &cname, out, sizeof(out));
	tap_ok(dns_parse(out, len, &m) == 0 && m.records[DNS_ANSWER] == 2, "an alias and its address");
	tap_str(first_name(&m, DNS_CNAME, text), "web.shop.lan", "the alias");
	dns_each_address(&m, see, seen);
	tap_str(seen, "web.shop.lan 3|Db.Shops 3|", "both have the address");
	len = dns_build_answer(&query, &cname, out, 12 + 14 + 11 + 16);
	tap_ok(dns_parse(out, len, &m) == 0 && m.records[DNS_ANSWER] == 1 && m.edns, "without room for the alias: the address alone");
	len = dns_build_answer(&query, &name_alone, out, sizeof(out));
	tap_ok(dns_parse(out, len, &m) == 0 && m.records[DNS_ANSWER] == 1 && m.rcode == DNS_NOERROR, "an alias of what has no address");
	question(DNS_PTR, q, &query);
	len = dns_build_answer(&query, &cname, out, sizeof(out));
	tap_ok(dns_parse(out, len, &m) == 0 && m.records[DNS_ANSWER] == 1, "an address's name");
	tap_str(first_name(&m, DNS_PTR, text), "web.shop.lan", "which");
}

int main(void)
{
	check_answers();
	check_names();
	return tap_done();
}
