// SPDX-License-Identifier: MIT
/* One DNS message: walks end, what they give lies within it, names are names. */
#include "net/dns.h"

#include <string.h>

#include "fuzz.h"

static void check_name(const struct dns_name *name)
{
	static const struct dns_name zero;
	struct dns_message m;
	struct dns_question q;
	struct dns_cursor c;
	char text[DNS_NAME_TEXT];
	uint8_t bytes[12 + sizeof(name->wire) + 4] = { [5] = 1 };
	size_t at = 0, len;

	fuzz_check(name->len >= 1);
	while (name->wire[at])
		at += name->wire[at] + 1u;
	fuzz_check(at + 1 == name->len);
	fuzz_check(memcmp(name->wire + name->len, zero.wire, sizeof(name->wire) - name->len) == 0);
	len = strlen(dns_name_format(name, text));
	fuzz_check(len && len < DNS_NAME_TEXT);
	for (size_t i = 0; i < len; i++)
		fuzz_check(text[i] > ' ' && text[i] <= '~');
	/* As the only name of a message, it reads the same. */
	memcpy(bytes + 12, name->wire, name->len);
	fuzz_check(dns_parse(bytes, 12u + name->len + 4, &m) == 0);
	c = dns_questions(&m);
	fuzz_check(dns_next_question(&c, &q) == 1 && memcmp(&q.name, name, sizeof(*name)) == 0);
	fuzz_check(dns_name_equal(&q.name, name));
}

static void check_record(const struct dns_message *m, const struct dns_record *r)
{
	char text[DNS_WORD_TEXT];
	struct dns_name name;
	struct ip ip;

	check_name(&r->name);
	fuzz_check(r->rdata > m->data && r->rdata_len <= m->len && r->rdata <= m->data + m->len - r->rdata_len);
	fuzz_check(r->ttl <= INT32_MAX);
	fuzz_check(strlen(dns_type_format(r->type, text)) < DNS_WORD_TEXT);
	if (dns_record_ip(r, &ip))
		fuzz_check(r->rdata_len == (r->type == DNS_A ? 4 : 16));
	if (dns_record_name(m, r, &name))
		check_name(&name);
}

struct found {
	const struct dns_message *message;
	size_t n;
};

static void on_address(void *arg, const struct dns_name *name, const struct ip *ip, uint32_t ttl)
{
	struct found *found = arg;

	check_name(name);
	fuzz_check(found->message->response && ttl <= INT32_MAX);
	fuzz_check(++found->n <= (size_t)DNS_ANSWERS_MAX * (DNS_ALIASES_MAX + 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[DNS_WORD_TEXT];
	struct dns_message m;
	struct found found = { .message = &m };
	struct dns_question q;
	struct dns_record r;
	struct dns_cursor c;
	size_t n = 0;
	int got;

	if (dns_parse(data, size, &m) < 0)
		return 0;
	fuzz_check(strlen(dns_rcode_format(m.rcode, text)) < DNS_WORD_TEXT && m.rcode < 4096 && m.opcode < 16);
	for (c = dns_questions(&m); (got = dns_next_question(&c, &q)) > 0; n++)
		check_name(&q.name);
	fuzz_check(got == 0 && n == m.questions && c.at == m.records_at && c.at <= size);
	for (c = dns_records(&m), n = 0; (got = dns_next_record(&c, &r)) > 0; n++)
		check_record(&m, &r);
	fuzz_check(got < 0 || n == (size_t)m.records[0] + m.records[1] + m.records[2]);
	fuzz_check(dns_next_record(&c, &r) == 0 && c.at <= size);
	dns_each_address(&m, on_address, &found);
	return 0;
}
