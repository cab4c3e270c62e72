// SPDX-License-Identifier: MIT
#include "net/dns_build.h"

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
	len = dns_build_answer(&query, 0, ips, 3, 7, out, sizeof(out));
	tap_ok(dns_parse(out, len, &m) == 0 && m.response && m.rcode == 0 && m.id == 0x1234 && m.edns, "an answer");
	tap_int(m.records[DNS_ANSWER], 2, "with the addresses of the family");
	tap_ok(count(&m, &last, &ttl) == 2 && last.b[15] == 2 && ttl == 7, "that belong to the question's name");
	tap_ok(memcmp(out + 12, q + 12, 10) == 0, "whose letters are as they were");
	len = dns_build_answer(&query, 0, ips, 40, 1, out, 100);
	tap_ok(len <= 100 && dns_parse(out, len, &m) == 0 && count(&m, &last, &ttl) == m.records[DNS_ANSWER] && m.records[DNS_ANSWER] > 1,
		"as many as have room");
	len = dns_build_answer(&query, DNS_NXDOMAIN, NULL, 0, 0, out, sizeof(out));
	tap_ok(dns_parse(out, len, &m) == 0 && m.rcode == DNS_NXDOMAIN && m.records[DNS_ANSWER] == 0, "no such name");
	tap_int(dns_build_answer(&query, 0, ips, 3, 7, out, 20), 0, "no room for the question");
	tap_int(dns_answer_limit(&query), 1232, "what the question says that it takes");
	q[10] = q[11] = 0; /* without OPT */
	tap_ok(dns_parse(q, n - 11, &query) == 0 && !query.edns, "a plain question");
	tap_int(dns_answer_limit(&query), DNS_UDP_PLAIN, "takes 512 bytes");
	len = dns_build_answer(&query, 0, ips, 1, 7, out, sizeof(out));
	tap_ok(dns_parse(out, len, &m) == 0 && !m.edns && m.records[DNS_ADDITIONAL] == 0, "and gets a plain answer");
	question(DNS_AAAA, q, &query);
	len = dns_build_answer(&query, 0, ips, 4, 7, out, sizeof(out));
	tap_ok(dns_parse(out, len, &m) == 0 && count(&m, &last, &ttl) == 2 && last.b[15] == 3, "the other family");
	tap_int(dns_build_question(1, &name, DNS_A, q, 20), 0, "no room for a question");
}

int main(void)
{
	check_answers();
	return tap_done();
}
