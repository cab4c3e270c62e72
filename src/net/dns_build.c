// SPDX-License-Identifier: MIT
/* Building DNS messages. The question is copied byte by byte, since some resolvers compare its letters' case. */
#include "net/dns_build.h"

#include <string.h>
#include <sys/socket.h>

#include "net/bytes.h"

enum { HEADER = 12, OPT_LEN = 11, OPT_SIZE = 1232, RECORD_HEAD = 12 };
enum { QR = 0x80, RD = 0x01, RA = 0x80, OPCODE = 0x78 };

static size_t put_opt(uint8_t *at)
{
	memset(at, 0, OPT_LEN);
	put16(at + 1, DNS_OPT);
	put16(at + 3, OPT_SIZE);
	return OPT_LEN;
}

/* @owner: where in the message its name stands. */
static size_t put_record(uint8_t *at, size_t owner, uint16_t type, uint32_t ttl, const uint8_t *data, size_t len)
{
	put16(at, (uint16_t)(0xc000 | owner));
	put16(at + 2, type);
	put16(at + 4, DNS_CLASS_IN);
	put32(at + 6, ttl);
	put16(at + 10, (uint16_t)len);
	memcpy(at + RECORD_HEAD, data, len);
	return RECORD_HEAD + len;
}

/* Returns where the records end. */
static size_t put_records(const struct dns_question *q, const struct dns_answer *a, uint8_t *ret, size_t at, size_t max, uint16_t *ret_count)
{
	size_t owner = HEADER;

	*ret_count = 0;
	if (q->class != DNS_CLASS_IN)
		return at;
	if (a->name && at + RECORD_HEAD + a->name->len <= max) {
		owner = at + RECORD_HEAD;
		at += put_record(ret + at, HEADER, q->type == DNS_PTR ? DNS_PTR : DNS_CNAME, a->ttl, a->name->wire, a->name->len);
		++*ret_count;
	}
	for (size_t i = 0; i < a->n; i++) {
		unsigned int len;
		const uint8_t *bytes = ip_bytes(&a->ips[i], &len);

		if (q->type != (len == 4 ? DNS_A : DNS_AAAA))
			continue;
		if (at + RECORD_HEAD + len > max)
			break;
		at += put_record(ret + at, owner, q->type, a->ttl, bytes, len);
		++*ret_count;
	}
	return at;
}

size_t dns_build_answer(const struct dns_message *query, const struct dns_answer *answer, uint8_t *ret, size_t max)
{
	struct dns_cursor c = dns_questions(query);
	struct dns_question q;
	size_t at = query->records_at, opt = query->edns ? OPT_LEN : 0;
	uint16_t count;

	if (dns_next_question(&c, &q) <= 0 || at + opt > max)
		return 0;
	memset(ret, 0, HEADER);
	put16(ret, query->id);
	ret[2] = QR | (query->data[2] & (OPCODE | RD));
	ret[3] = (uint8_t)(RA | (answer->rcode & 15));
	put16(ret + 4, 1);
	memcpy(ret + HEADER, query->data + HEADER, at - HEADER);
	at = put_records(&q, answer, ret, at, max - opt, &count);
	put16(ret + 6, count);
	put16(ret + 10, opt ? 1 : 0);
	return opt ? at + put_opt(ret + at) : at;
}

size_t dns_build_question(uint16_t id, const struct dns_name *name, uint16_t type, uint8_t *ret, size_t max)
{
	size_t at = HEADER;

	if (max < HEADER + name->len + 4u + OPT_LEN)
		return 0;
	memset(ret, 0, HEADER);
	put16(ret, id);
	ret[2] = RD;
	put16(ret + 4, 1);
	put16(ret + 10, 1);
	memcpy(ret + at, name->wire, name->len);
	at += name->len;
	put16(ret + at, type);
	put16(ret + at + 2, DNS_CLASS_IN);
	at += 4;
	return at + put_opt(ret + at);
}

size_t dns_answer_limit(const struct dns_message *query)
{
	struct dns_cursor c = dns_records(query);
	struct dns_record r;

	while (dns_next_record(&c, &r) > 0)
		if (r.section == DNS_ADDITIONAL && r.type == DNS_OPT)
			return r.class > DNS_UDP_PLAIN ? r.class : DNS_UDP_PLAIN;
	return DNS_UDP_PLAIN;
}
