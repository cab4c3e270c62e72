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

/* The owner is the question's name, which stands behind the header. */
static size_t put_address(uint8_t *at, const struct ip *ip, uint32_t ttl)
{
	unsigned int len;
	const uint8_t *bytes = ip_bytes(ip, &len);

	put16(at, 0xc000 | HEADER);
	put16(at + 2, len == 4 ? DNS_A : DNS_AAAA);
	put16(at + 4, DNS_CLASS_IN);
	put32(at + 6, ttl);
	put16(at + 10, (uint16_t)len);
	memcpy(at + RECORD_HEAD, bytes, len);
	return RECORD_HEAD + len;
}

size_t dns_build_answer(const struct dns_message *query, uint16_t rcode, const struct ip *ips, size_t n, uint32_t ttl, uint8_t *ret, size_t max)
{
	struct dns_cursor c = dns_questions(query);
	struct dns_question q;
	size_t at = query->records_at, opt = query->edns ? OPT_LEN : 0;
	uint16_t count = 0;

	if (dns_next_question(&c, &q) <= 0 || at + opt > max)
		return 0;
	memset(ret, 0, HEADER);
	put16(ret, query->id);
	ret[2] = QR | (query->data[2] & (OPCODE | RD));
	ret[3] = (uint8_t)(RA | (rcode & 15));
	put16(ret + 4, 1);
	memcpy(ret + HEADER, query->data + HEADER, at - HEADER);
	for (size_t i = 0; i < n; i++) {
		size_t len = RECORD_HEAD + (ip_is_v4(&ips[i]) ? 4 : 16);

		if (q.class != DNS_CLASS_IN || q.type != (ip_is_v4(&ips[i]) ? DNS_A : DNS_AAAA))
			continue;
		if (at + len + opt > max)
			break;
		at += put_address(ret + at, &ips[i], ttl);
		count++;
	}
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
