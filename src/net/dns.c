// SPDX-License-Identifier: MIT
/* Reads DNS messages.
 *
 * A compressed name goes on somewhere else in the message, and a hostile one in circles. Here each pointer must lead to before the
 * place where the labels that led to it began: "a prior occurrence" in RFC 1035 §4.1.4's words. So there are no circles; and no
 * more pointers than a name can have labels, so that a message full of pointers costs little, too. */
#include "net/dns.h"

#include <string.h>

#include "net/bytes.h"

enum {
	HEADER = 12,
	QUESTION_TAIL = 4, /* type, class */
	RECORD_TAIL = 10,  /* type, class, ttl, length of the data */
	LABEL_MAX = 63,
	POINTERS_MAX = 127,
	POINTER = 0xc0, /* the upper bits of a length byte; 0x40 and 0x80 mean nothing (any more) */
};

/* Decodes the name at @at. Returns how many bytes it takes up there, or a negative dns_error. */
static int read_name(const uint8_t *data, size_t len, size_t at, struct dns_name *ret)
{
	size_t begin = at, target;
	int taken = 0, pointers = 0; /* taken: up to the first pointer */

	*ret = (struct dns_name){ .len = 0 };
	for (;;) {
		uint8_t n;

		if (at >= len)
			return DNS_CUT;
		n = data[at];
		if (n > LABEL_MAX) {
			if ((n & POINTER) != POINTER)
				return DNS_MALFORMED;
			if (len - at < 2)
				return DNS_CUT;
			target = get16(data + at) & 0x3fff;
			if (target >= begin || target < HEADER || ++pointers > POINTERS_MAX)
				return DNS_MALFORMED;
			if (!taken)
				taken = (int)(at + 2 - begin);
			at = begin = target;
			continue;
		}
		if (len - at < n + 1u)
			return DNS_CUT;
		if (ret->len + n + 1u > sizeof(ret->wire))
			return DNS_MALFORMED;
		memcpy(ret->wire + ret->len, data + at, n + 1u);
		ret->len = (uint8_t)(ret->len + n + 1);
		at += n + 1u;
		if (n == 0)
			return taken ? taken : (int)(at - begin);
	}
}

struct dns_cursor dns_questions(const struct dns_message *m)
{
	return (struct dns_cursor){ .message = m, .at = HEADER };
}

struct dns_cursor dns_records(const struct dns_message *m)
{
	return (struct dns_cursor){ .message = m, .at = m->records_at };
}

/* After an error, no next one either. */
static int stop(struct dns_cursor *c, int error)
{
	c->n = SIZE_MAX;
	return error;
}

/* Reads the name at the cursor and goes on behind it, where @tail bytes more must be. */
static int step_name(struct dns_cursor *c, size_t tail, struct dns_name *ret)
{
	int taken = read_name(c->message->data, c->message->len, c->at, ret);

	if (taken < 0)
		return taken;
	c->at += (size_t)taken;
	return c->message->len - c->at < tail ? DNS_CUT : 0;
}

int dns_next_question(struct dns_cursor *c, struct dns_question *ret)
{
	struct dns_question q;
	int r;

	if (c->n >= c->message->questions)
		return 0;
	r = step_name(c, QUESTION_TAIL, &q.name);
	if (r < 0)
		return stop(c, r);
	q.type = get16(c->message->data + c->at);
	q.class = get16(c->message->data + c->at + 2);
	c->at += QUESTION_TAIL;
	c->n++;
	*ret = q;
	return 1;
}

/* The section of the @n-th record; DNS_ADDITIONAL + 1 behind the last. */
static enum dns_section section_of(const struct dns_message *m, size_t n)
{
	enum dns_section s = DNS_ANSWER;

	while (s <= DNS_ADDITIONAL && n >= m->records[s])
		n -= m->records[s++];
	return s;
}

int dns_next_record(struct dns_cursor *c, struct dns_record *ret)
{
	const struct dns_message *m = c->message;
	struct dns_record record;
	const uint8_t *tail;
	int r;

	record.section = section_of(m, c->n);
	if (record.section > DNS_ADDITIONAL)
		return 0;
	r = step_name(c, RECORD_TAIL, &record.name);
	if (r < 0)
		return stop(c, r);
	tail = m->data + c->at;
	c->at += RECORD_TAIL;
	record.type = get16(tail);
	record.class = get16(tail + 2);
	record.ttl = get32(tail + 4) > INT32_MAX ? 0 : get32(tail + 4);
	record.rdata_len = get16(tail + 8);
	record.rdata = m->data + c->at;
	if (m->len - c->at < record.rdata_len)
		return stop(c, DNS_CUT);
	c->at += record.rdata_len;
	c->n++;
	*ret = record;
	return 1;
}

/* The first byte of the OPT record's "ttl" is the upper bits of the rcode. */
static void look_for_edns(struct dns_message *m)
{
	struct dns_cursor c = dns_records(m);
	struct dns_record r;

	while (!m->edns && dns_next_record(&c, &r) > 0) {
		if (r.section != DNS_ADDITIONAL || r.type != DNS_OPT)
			continue;
		m->edns = true;
		m->rcode |= (uint16_t)(r.rdata[-6] << 4);
	}
}

int dns_parse(const uint8_t *data, size_t len, struct dns_message *ret)
{
	struct dns_message m = { .data = data, .len = len };
	struct dns_cursor c = dns_questions(&m);
	struct dns_question q;
	int r;

	if (len < HEADER)
		return DNS_CUT;
	m.id = get16(data);
	m.response = data[2] & 0x80;
	m.opcode = data[2] >> 3 & 15;
	m.truncated = data[2] & 2;
	m.rcode = data[3] & 15;
	m.questions = get16(data + 4);
	for (enum dns_section s = DNS_ANSWER; s <= DNS_ADDITIONAL; s++)
		m.records[s] = get16(data + 6 + (size_t)2 * s);
	while ((r = dns_next_question(&c, &q)) > 0)
		;
	if (r < 0)
		return r;
	m.records_at = c.at;
	look_for_edns(&m);
	*ret = m;
	return 0;
}

bool dns_record_ip(const struct dns_record *r, struct ip *ret)
{
	if (r->class != DNS_CLASS_IN)
		return false;
	if (r->type == DNS_A && r->rdata_len == 4)
		*ret = ip_from_v4(r->rdata);
	else if (r->type == DNS_AAAA && r->rdata_len == 16)
		*ret = ip_from_v6(r->rdata);
	else
		return false;
	return true;
}

bool dns_record_name(const struct dns_message *m, const struct dns_record *r, struct dns_name *ret)
{
	size_t at = (size_t)(r->rdata - m->data);
	struct dns_name name;

	if (r->type != DNS_CNAME && r->type != DNS_PTR && r->type != DNS_NS && r->type != DNS_DNAME)
		return false;
	if (read_name(m->data, at + r->rdata_len, at, &name) != r->rdata_len)
		return false;
	*ret = name;
	return true;
}

/* The names from the question's to the one that has the addresses. */
struct chain {
	struct dns_name names[DNS_ALIASES_MAX + 1];
	uint32_t ttls[DNS_ALIASES_MAX]; /* of the alias from one to the next */
	size_t n;
};

static bool next_answer(struct dns_cursor *c, struct dns_record *ret)
{
	return c->n < DNS_ANSWERS_MAX && dns_next_record(c, ret) > 0 && ret->section == DNS_ANSWER;
}

/* Appends the name that the chain's last is an alias of; false when it is none, or one that the chain has already. */
static bool follow(const struct dns_message *m, struct chain *chain)
{
	struct dns_cursor c = dns_records(m);
	struct dns_record r;
	struct dns_name *next = &chain->names[chain->n];

	while (next_answer(&c, &r)) {
		if (r.type != DNS_CNAME || r.class != DNS_CLASS_IN || !dns_name_equal(&r.name, next - 1))
			continue;
		if (!dns_record_name(m, &r, next))
			return false;
		for (size_t i = 0; i < chain->n; i++)
			if (dns_name_equal(&chain->names[i], next))
				return false;
		chain->ttls[chain->n - 1] = r.ttl;
		chain->n++;
		return true;
	}
	return false;
}

void dns_each_address(const struct dns_message *m, dns_address_fn found, void *arg)
{
	struct dns_cursor c = dns_questions(m);
	struct chain chain = { .n = 1 };
	struct dns_question q;
	struct dns_record r;
	struct ip ip;

	if (!m->response || m->rcode || m->questions != 1 || dns_next_question(&c, &q) <= 0)
		return;
	chain.names[0] = q.name;
	while (chain.n <= DNS_ALIASES_MAX && follow(m, &chain))
		;
	for (c = dns_records(m); next_answer(&c, &r);) {
		uint32_t ttl = r.ttl;

		if (!dns_name_equal(&r.name, &chain.names[chain.n - 1]) || !dns_record_ip(&r, &ip))
			continue;
		for (size_t i = chain.n; i-- > 0;) {
			if (i + 1 < chain.n && chain.ttls[i] < ttl)
				ttl = chain.ttls[i];
			found(arg, &chain.names[i], &ip, ttl);
		}
	}
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

/* A length byte is never a letter: both are looked at alike. */
bool dns_name_equal(const struct dns_name *a, const struct dns_name *b)
{
	if (a->len != b->len)
		return false;
	for (size_t i = 0; i < a->len; i++)
		if (lower(a->wire[i]) != lower(b->wire[i]))
			return false;
	return true;
}
