// SPDX-License-Identifier: MIT
/* DNS messages (RFC 1035), read as they pass by: to log them, and to learn which names an address goes by. Pure functions over the
 * message's bytes; no allocation. Of TCP, the message without its length. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/addr.h"

enum dns_error {
	DNS_CUT = -1,	    /* ends before its counts and lengths say */
	DNS_MALFORMED = -2, /* a name that can't be */
};

enum { DNS_A = 1, DNS_NS = 2, DNS_CNAME = 5, DNS_PTR = 12, DNS_AAAA = 28, DNS_DNAME = 39, DNS_OPT = 41 };
enum { DNS_CLASS_IN = 1 };

/* A name as labels with their lengths, the root's 0 included, not compressed. The bytes behind @len are 0, the case is as sent. */
struct dns_name {
	uint8_t len;
	uint8_t wire[255];
};

/* The header, and where to go on. */
struct dns_message {
	const uint8_t *data;
	size_t len;
	uint16_t id;
	bool response, truncated, edns;
	uint8_t opcode;
	uint16_t rcode; /* with the upper bits that EDNS adds (RFC 6891 §6.1.3) */
	uint16_t questions;
	uint16_t records[3]; /* by enum dns_section, as the header counts them */
	size_t records_at;   /* where the answers start */
};

enum dns_section { DNS_ANSWER, DNS_AUTHORITY, DNS_ADDITIONAL };

struct dns_question {
	struct dns_name name;
	uint16_t type, class;
};

struct dns_record {
	enum dns_section section;
	struct dns_name name;
	uint16_t type, class;
	uint32_t ttl; /* 0 for one with the top bit set (RFC 2181 §8) */
	const uint8_t *rdata;
	uint16_t rdata_len;
};

/* Reads the header and checks the questions. Returns 0, or a negative dns_error with @ret untouched. Records are looked through
 * for EDNS, but a bad one is no error here: it shows when it is walked to. */
int dns_parse(const uint8_t *data, size_t len, struct dns_message *ret);

/* Where a walk is; the message and its bytes must stay. */
struct dns_cursor {
	const struct dns_message *message;
	size_t at;
	size_t n; /* how many it has given */
};
struct dns_cursor dns_questions(const struct dns_message *m);
/* Of all three sections, one after the other. */
struct dns_cursor dns_records(const struct dns_message *m);
/* Return 1 with the next one in @ret, 0 at the end, or a negative dns_error; then, and ever after, there is no next one. */
int dns_next_question(struct dns_cursor *c, struct dns_question *ret);
int dns_next_record(struct dns_cursor *c, struct dns_record *ret);

/* The address of an A or AAAA record of class IN; false for any other, and for data of another length. */
bool dns_record_ip(const struct dns_record *r, struct ip *ret);
/* The name in a CNAME, PTR, NS or DNAME record; false for any other, and when the data is not just a name. */
bool dns_record_name(const struct dns_message *m, const struct dns_record *r, struct dns_name *ret);

/* Gives each address that a response without error has for the name of its one question, by CNAMEs in any order: once with that
 * name, and once with each alias on the way. @ttl is the least of the records between @name and @ip. Records that don't answer the
 * question are passed over. Looks at no more than DNS_ANSWERS_MAX records and DNS_ALIASES_MAX aliases. */
typedef void (*dns_address_fn)(void *arg, const struct dns_name *name, const struct ip *ip, uint32_t ttl);
void dns_each_address(const struct dns_message *m, dns_address_fn found, void *arg);
enum { DNS_ANSWERS_MAX = 512, DNS_ALIASES_MAX = 16 };

/* Without regard to ASCII case (RFC 4343). */
bool dns_name_equal(const struct dns_name *a, const struct dns_name *b);

enum { DNS_NAME_TEXT = 1005, DNS_WORD_TEXT = 12 };
/* "www.example.com", "." for the root. A dot or backslash in a label is escaped with a backslash, what isn't printable ASCII as
 * \DDD (RFC 1035 §5.1): safe to print. Returns @buf. */
const char *dns_name_format(const struct dns_name *name, char buf[DNS_NAME_TEXT]);
/* "AAAA", "TYPE65280" (RFC 3597). Returns a constant or @buf. */
const char *dns_type_format(uint16_t type, char buf[DNS_WORD_TEXT]);
/* "NXDOMAIN", "RCODE123". Returns a constant or @buf. */
const char *dns_rcode_format(uint16_t rcode, char buf[DNS_WORD_TEXT]);
