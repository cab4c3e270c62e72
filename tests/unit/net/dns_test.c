// SPDX-License-Identifier: MIT
#include "net/dns.h"

#include <stdarg.h>

#include "guard.h"
#include "hex.h"
#include "net/bytes.h"
#include "tap.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

enum { TEXT = 8192 };

/* Appends to a text of TEXT bytes. */
__attribute__((format(printf, 2, 3))) static void say(char *text, const char *format, ...)
{
	size_t len = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + len, TEXT - len, format, args);
	va_end(args);
}

static void say_record(char *text, const struct dns_message *m, const struct dns_record *r)
{
	static const char sections[] = { 'a', 'n', '+' };
	char name[DNS_NAME_TEXT], type[DNS_WORD_TEXT], ip[IP_TEXT];
	struct dns_name target;
	struct ip address;

	say(text, " | %c %s %u %s", sections[r->section], dns_name_format(&r->name, name), r->ttl,
	    dns_type_format(r->type, type));
	if (r->class != DNS_CLASS_IN)
		say(text, " class %u", r->class);
	if (dns_record_ip(r, &address))
		say(text, " %s", ip_format(&address, ip));
	else if (dns_record_name(m, r, &target))
		say(text, " %s", dns_name_format(&target, name));
	else
		say(text, " [%u]", r->rdata_len);
}

/* The whole message in one line; where it can't be read on, "cut" or "malformed". */
static const char *describe(const uint8_t *data, size_t len, char text[TEXT])
{
	static const char *const ends[] = { "", " cut", " malformed" };
	char name[DNS_NAME_TEXT], word[DNS_WORD_TEXT];
	struct dns_message m;
	struct dns_question q;
	struct dns_record r;
	struct dns_cursor c;
	int got;

	text[0] = 0;
	got = dns_parse(data, len, &m);
	if (got < 0)
		return ends[-got] + 1;
	say(text, "%u %s%s", m.id, m.response ? dns_rcode_format(m.rcode, word) : "query",
	    m.truncated ? " truncated" : "");
	if (m.opcode)
		say(text, " opcode %u", m.opcode);
	if (m.edns)
		say(text, " EDNS");
	for (c = dns_questions(&m); (got = dns_next_question(&c, &q)) > 0;)
		say(text, " | %s %s?%s", dns_name_format(&q.name, name), dns_type_format(q.type, word),
		    q.class == DNS_CLASS_IN ? "" : " other class");
	say(text, "%s", ends[-got]);
	for (c = dns_records(&m); (got = dns_next_record(&c, &r)) > 0;)
		say_record(text, &m, &r);
	say(text, "%s", ends[-got]);
	if (dns_next_record(&c, &r) != 0)
		say(text, " goes on after its end");
	return text;
}

#define HEADER(questions, answers) "0001 8180 000" #questions "000" #answers "0000 0000 "
#define WWW			   "03777777 076578616d706c65 03636f6d 00 "
#define A_IN			   "0001 0001 "

static const struct {
	const char *name, *hex, *want;
} rows[] = {
	/* Encoded by dnspython 2.3. */
	{ "a query with EDNS",
	  "12340100000100000000000103777777074578616d706c6503636f6d000001000100002904d0000000000000",
	  "4660 query EDNS | www.Example.com A? | + . 0 OPT class 1232 [0]" },
	{ "the root", "0001010000010000000000000000020001", "1 query | . NS?" },
	{ "aliases and all sections",
	  "12348100000100040001000103777777074578616d706c6503636f6d0000010001c00c000500010000003c000e04656467650363646e03"
	  "6e657400c02d000500010000012c0005026531c032c047000100010000001e0004c0000201c047000100010000001e0004c0000202c032"
	  "00020001000003840006036e7331c032c078001c000100000385001020010db8000000000000000000000053",
	  "4660 NOERROR | www.Example.com A? | a www.Example.com 60 CNAME edge.cdn.net | a edge.cdn.net 300 CNAME e1.cdn.net"
	  " | a e1.cdn.net 30 A 192.0.2.1 | a e1.cdn.net 30 A 192.0.2.2 | n cdn.net 900 NS ns1.cdn.net"
	  " | + ns1.cdn.net 901 AAAA 2001:db8::53" },
	{ "no such name",
	  "000781030001000000010001026e78076578616d706c6503636f6d00001c0001c00f0006000100000384001e026e730004726f6f740000"
	  "000001000000020000000300000004000000050000292000000000000000",
	  "7 NXDOMAIN EDNS | nx.example.com AAAA? | n example.com 900 SOA [30] | + . 0 OPT class 8192 [0]" },
	{ "an rcode by EDNS", "000781000001000000000001026e78076578616d706c6503636f6d00001c000100002904d0010000000000",
	  "7 BADVERS EDNS | nx.example.com AAAA? | + . 16777216 OPT class 1232 [0]" },
	{ "PTR",
	  "0008810000010001000000000131013201300331393207696e2d61646472046172706100000c0001c00c000c0001000000050011037777"
	  "77076578616d706c6503636f6d00",
	  "8 NOERROR | 1.2.0.192.in-addr.arpa PTR? | a 1.2.0.192.in-addr.arpa 5 PTR www.example.com" },
	{ "SRV",
	  "000981000001000100000000035f7067045f746370026462037376630000210001c00c0021000100000005000d0000000515380464622d"
	  "30c015",
	  "9 NOERROR | _pg._tcp.db.svc SRV? | a _pg._tcp.db.svc 5 SRV [13]" },
	{ "AAAA",
	  "000a810000010002000000000264620373766300001c0001c00c001c0001000000050010fd000000000000000000000000000007c00c00"
	  "1c0001000000050010fd000000000000000000000000000008",
	  "10 NOERROR | db.svc AAAA? | a db.svc 5 AAAA fd00::7 | a db.svc 5 AAAA fd00::8" },
	/* By hand. */
	{ "nothing", "", "cut" },
	{ "header of 11 bytes", "0001 8180 0000 0000 0000 00", "cut" },
	{ "header alone", "0001 8180 0000 0000 0000 0000", "1 NOERROR" },
	{ "flags", "ffff 7a0b 0000 0000 0000 0000", "65535 query truncated opcode 15" },
	{ "two questions", HEADER(2, 0) WWW A_IN "c010 001c 0003",
	  "1 NOERROR | www.example.com A? | example.com AAAA? other class" },
	{ "a question less than counted", HEADER(2, 0) WWW A_IN, "cut" },
	{ "an answer less than counted", HEADER(1, 2) WWW A_IN "c00c" A_IN "00000005 0004 0a000001",
	  "1 NOERROR | www.example.com A? | a www.example.com 5 A 10.0.0.1 cut" },
	{ "A of 3 bytes", HEADER(0, 1) "00" A_IN "00000005 0003 0a0000", "1 NOERROR | a . 5 A [3]" },
	{ "A of 5 bytes", HEADER(0, 1) "00" A_IN "00000005 0005 0a00000102", "1 NOERROR | a . 5 A [5]" },
	{ "A of another class",
	  HEADER(0, 1) "00 0001 0003"
		       "00000005 0004 0a000001",
	  "1 NOERROR | a . 5 A class 3 [4]" },
	{ "AAAA of 4 bytes",
	  HEADER(0, 1) "00 001c 0001"
		       "00000005 0004 0a000001",
	  "1 NOERROR | a . 5 AAAA [4]" },
	{ "data longer than the message", HEADER(0, 1) "00" A_IN "00000005 0005 0a000001", "1 NOERROR cut" },
	{ "no data",
	  HEADER(0, 1) "00 0010 0001"
		       "00000005 0000",
	  "1 NOERROR | a . 5 TXT [0]" },
	{ "largest ttl", HEADER(0, 1) "00" A_IN "7fffffff 0004 0a000001", "1 NOERROR | a . 2147483647 A 10.0.0.1" },
	{ "ttl with the top bit", HEADER(0, 1) "00" A_IN "80000000 0004 0a000001", "1 NOERROR | a . 0 A 10.0.0.1" },
	{ "CNAME with a byte behind the name",
	  HEADER(0, 1) "00 0005 0001"
		       "00000005 0004 0161 00 00",
	  "1 NOERROR | a . 5 CNAME [4]" },
	{ "name over the end", HEADER(1, 0) "0377", "cut" },
	{ "pointer over the end", HEADER(1, 0) "03777777c0", "cut" },
	{ "pointer to itself", HEADER(1, 0) "c00c" A_IN, "malformed" },
	{ "pointer to the label before it", HEADER(1, 0) "0161c00c" A_IN, "malformed" },
	{ "pointer forwards", HEADER(1, 0) "c010" A_IN "0161 00", "malformed" },
	{ "pointer behind the end", HEADER(1, 0) "ffff" A_IN, "malformed" },
	{ "pointer into the header", HEADER(1, 0) "c00b" A_IN, "malformed" },
	{ "two that point at each other", HEADER(2, 0) "00" A_IN "c013 0001 0001", "malformed" },
	{ "circle of two names", HEADER(2, 0) "0161 c013" A_IN "c00c" A_IN, "malformed" },
	{ "label of type 01", HEADER(1, 0) "41" WWW A_IN, "malformed" },
	{ "label of type 10", HEADER(1, 0) "81" WWW A_IN, "malformed" },
	{ "type 01 that could be a pointer", HEADER(2, 0) WWW A_IN "400c" A_IN, "malformed" },
	{ "type 10 that could be a pointer", HEADER(2, 0) WWW A_IN "800c" A_IN, "malformed" },
	{ "pointer into the label before it", HEADER(1, 0) "03 016100 c00d" A_IN, "malformed" },
	{ "pointer to a pointer into its own label",
	  HEADER(0, 2) "00 0010 0001 00000005 0006 03016100c018 c017" A_IN "00000005 0004 0a000001",
	  "1 NOERROR | a . 5 TXT [6] malformed" },
	{ "pointer to a pointer", HEADER(3, 0) WWW A_IN "c010" A_IN "c021" A_IN,
	  "1 NOERROR | www.example.com A? | example.com A? | example.com A?" },
	{ "bytes that aren't printable", HEADER(1, 0) "0a 00 20 2e 5c 7f ff 41 7e 22 0a 00" A_IN,
	  "1 NOERROR | \\000\\032\\.\\\\\\127\\255A~\"\\010 A?" },
	{ "unknown type and rcode", "0001 818c 0001 0000 0000 0000" WWW "ff00 0001",
	  "1 RCODE12 | www.example.com TYPE65280?" },
	{ "SVCB and HTTPS", HEADER(2, 0) "00 0040 0001 00 0041 0001", "1 NOERROR | . SVCB? | . HTTPS?" },
	{ "EDNS counts in the additional section only", HEADER(0, 1) "00 0029 04d0 01000000 0000",
	  "1 NOERROR | a . 16777216 OPT class 1232 [0]" },
};

static void test_row(size_t row)
{
	uint8_t bytes[512];
	size_t len = hex_bytes(rows[row].hex, bytes, sizeof(bytes)), wrong = 0;
	char text[TEXT], other[TEXT];

	tap_str(describe(guard_copy(bytes, len), len, text), rows[row].want, "%s", rows[row].name);
	if (strstr(rows[row].want, "cut") || strstr(rows[row].want, "malformed"))
		return;
	for (size_t n = 0; n < len; n++)
		wrong += strstr(describe(guard_copy(bytes, n), n, other), "cut") == NULL;
	tap_int(wrong, 0, "%s: every cut of it", rows[row].name);
	memset(bytes + len, 0xc0, 3);
	tap_str(describe(guard_copy(bytes, len + 3), len + 3, other), text, "%s: bytes behind it", rows[row].name);
}

/* Each byte set to each value: the walk ends, and nothing is read beyond the end. */
static void test_mutations(size_t row)
{
	uint8_t bytes[512], *at, was;
	size_t len = hex_bytes(rows[row].hex, bytes, sizeof(bytes)), described = 0;
	char text[TEXT];

	at = guard_copy(bytes, len);
	for (size_t i = 0; i < len; i++) {
		was = at[i];
		for (int value = 0; value < 256; value += i < 12 ? 17 : 1) {
			at[i] = (uint8_t)value;
			described += describe(at, len, text)[0] != 0;
		}
		at[i] = was;
	}
	tap_ok(described >= len, "%s: every value of every byte", rows[row].name);
}

/* A question whose name has labels of @sizes (a 0 ends them), then the root. */
static void test_long_name(const char *name, const uint8_t sizes[8], int want)
{
	static const uint8_t header[12] = { [5] = 1 };
	uint8_t bytes[1024];
	size_t len = sizeof(header);
	struct dns_message m;
	struct dns_question q;
	struct dns_cursor c;
	char text[DNS_NAME_TEXT];

	memcpy(bytes, header, sizeof(header));
	for (size_t i = 0; sizes[i]; i++) {
		bytes[len++] = sizes[i];
		memset(bytes + len, 0xff, sizes[i]); /* as long as it gets as text */
		len += sizes[i];
	}
	bytes[len++] = 0;
	memset(bytes + len, 0, 4);
	len += 4;
	tap_int(dns_parse(guard_copy(bytes, len), len, &m), want, "%s", name);
	if (want < 0)
		return;
	c = dns_questions(&m);
	tap_int(dns_next_question(&c, &q), 1, "%s: the question", name);
	tap_int(q.name.len, len - 16, "%s: its length", name);
	tap_int(strlen(dns_name_format(&q.name, text)), 4 * (q.name.len - 5) + 3, "%s: as text", name);
}

/* An answer's owner leads through @n pointers to the root. They stand in the data of the answer before it. */
static void test_pointers(size_t n, int want)
{
	enum { QUESTION = 12, FIRST = 17, DATA = 28 };
	uint8_t bytes[1024] = { [5] = 1, [7] = 2 };
	struct dns_message m;
	struct dns_cursor c;
	struct dns_record r;

	put16(bytes + DATA - 2, (uint16_t)(2 * (n - 1)));
	for (size_t i = 0; i < n; i++) /* the last one is the owner of the second answer */
		put16(bytes + DATA + 2 * i, (uint16_t)(0xc000 | (i ? DATA + 2 * (i - 1) : QUESTION)));
	tap_int(dns_parse(bytes, DATA + 2 * n + 10, &m), 0, "%zu pointers: parse", n);
	c = dns_records(&m);
	tap_int(dns_next_record(&c, &r), 1, "%zu pointers: the answer that holds them", n);
	tap_int(dns_next_record(&c, &r), want, "%zu pointers: the answer that follows them", n);
}

/* Hex of records: names "a", "b", "c"; a CNAME or an address with its TTL. */
#define N_A			  "0161 00 "
#define N_B			  "0162 00 "
#define N_C			  "0163 00 "
#define ALIAS(owner, ttl, target) owner "0005 0001 000000" ttl "0003" target
#define ADDRESS(owner, ttl, last) owner "0001 0001 000000" ttl "0004 0a0000" last

static const struct {
	const char *name, *hex, *want;
} addresses[] = {
	{ "one", HEADER(1, 1) N_A A_IN ADDRESS(N_A, "05", "01"), " a 10.0.0.1 5" },
	{ "two", HEADER(1, 2) N_A A_IN ADDRESS(N_A, "05", "01") ADDRESS(N_A, "06", "02"),
	  " a 10.0.0.1 5 a 10.0.0.2 6" },
	{ "AAAA", HEADER(1, 1) N_A A_IN N_A "001c 0001 00000005 0010 fd000000000000000000000000000007",
	  " a fd00::7 5" },
	{ "case of the owner", HEADER(1, 1) N_A A_IN "0141 00 0001 0001 00000005 0004 0a000001", " a 10.0.0.1 5" },
	{ "of another name", HEADER(1, 2) N_A A_IN ADDRESS(N_B, "05", "01") ADDRESS(N_A, "06", "02"), " a 10.0.0.2 6" },
	{ "alias", HEADER(1, 2) N_A A_IN ALIAS(N_A, "09", N_B) ADDRESS(N_B, "05", "01"), " b 10.0.0.1 5 a 10.0.0.1 5" },
	{ "alias with a shorter life", HEADER(1, 2) N_A A_IN ALIAS(N_A, "02", N_B) ADDRESS(N_B, "05", "01"),
	  " b 10.0.0.1 5 a 10.0.0.1 2" },
	{ "two aliases, the second shortest",
	  HEADER(1, 3) N_A A_IN ALIAS(N_A, "03", N_B) ALIAS(N_B, "02", N_C) ADDRESS(N_C, "05", "01"),
	  " c 10.0.0.1 5 b 10.0.0.1 2 a 10.0.0.1 2" },
	{ "aliases behind the address",
	  HEADER(1, 3) N_A A_IN ADDRESS(N_C, "05", "01") ALIAS(N_B, "02", N_C) ALIAS(N_A, "03", N_B),
	  " c 10.0.0.1 5 b 10.0.0.1 2 a 10.0.0.1 2" },
	{ "alias that nobody asked for", HEADER(1, 2) N_A A_IN ALIAS(N_B, "03", N_C) ADDRESS(N_C, "05", "01"), "" },
	{ "alias of another class", HEADER(1, 2) N_A A_IN N_A "0005 0003 00000003 0003" N_B ADDRESS(N_B, "05", "01"),
	  "" },
	{ "alias of itself", HEADER(1, 2) N_A A_IN ALIAS(N_A, "03", N_A) ADDRESS(N_A, "05", "01"), " a 10.0.0.1 5" },
	{ "circle", HEADER(1, 3) N_A A_IN ALIAS(N_A, "03", N_B) ALIAS(N_B, "03", N_A) ADDRESS(N_B, "05", "01"),
	  " b 10.0.0.1 5 a 10.0.0.1 3" },
	{ "another record of the alias before it",
	  HEADER(1, 3) N_A A_IN N_A "0010 0001 00000003 0000" ALIAS(N_A, "03", N_B) ADDRESS(N_B, "05", "01"),
	  " b 10.0.0.1 5 a 10.0.0.1 3" },
	{ "name server is no alias", HEADER(1, 2) N_A A_IN N_A "0002 0001 00000003 0003" N_B ADDRESS(N_B, "05", "01"),
	  "" },
	{ "alias without an address", HEADER(1, 1) N_A A_IN ALIAS(N_A, "03", N_B), "" },
	{ "cut behind the first", HEADER(1, 2) N_A A_IN ADDRESS(N_A, "05", "01") "0161", " a 10.0.0.1 5" },
	{ "truncated", "0001 8380 0001 0001 0000 0000" N_A A_IN ADDRESS(N_A, "05", "01"), " a 10.0.0.1 5" },
	{ "in the authority section", "0001 8180 0001 0000 0001 0000" N_A A_IN ADDRESS(N_A, "05", "01"), "" },
	{ "in the additional section", "0001 8180 0001 0000 0000 0001" N_A A_IN ADDRESS(N_A, "05", "01"), "" },
	{ "with an error", "0001 8183 0001 0001 0000 0000" N_A A_IN ADDRESS(N_A, "05", "01"), "" },
	{ "with an error by EDNS",
	  "0001 8180 0001 0001 0000 0001" N_A A_IN ADDRESS(N_A, "05", "01") "00 0029 04d0 01000000 0000", "" },
	{ "in a query", "0001 0180 0001 0001 0000 0000" N_A A_IN ADDRESS(N_A, "05", "01"), "" },
	{ "without a question", HEADER(0, 1) ADDRESS(N_A, "05", "01"), "" },
	{ "with two questions", HEADER(2, 1) N_A A_IN N_B A_IN ADDRESS(N_A, "05", "01"), "" },
};

static void say_address(void *arg, const struct dns_name *name, const struct ip *ip, uint32_t ttl)
{
	char text[DNS_NAME_TEXT], address[IP_TEXT];

	say(arg, " %s %s %u", dns_name_format(name, text), ip_format(ip, address), ttl);
}

static void test_addresses(size_t row)
{
	uint8_t bytes[512];
	size_t len = hex_bytes(addresses[row].hex, bytes, sizeof(bytes));
	struct dns_message m;
	char text[TEXT] = "";

	tap_int(dns_parse(guard_copy(bytes, len), len, &m), 0, "addresses: %s: parse", addresses[row].name);
	dns_each_address(&m, say_address, text);
	tap_str(text, addresses[row].want, "addresses: %s", addresses[row].name);
}

static void count_address(void *arg, const struct dns_name *name, const struct ip *ip, uint32_t ttl)
{
	++*(size_t *)arg;
}

/* A question for label 0, @aliases from label n to n + 1, and then @n addresses; @want calls. */
static void test_address_limits(size_t aliases, size_t n, size_t want)
{
	static uint8_t bytes[65536];
	size_t len = 12, calls = 0;
	struct dns_message m;

	memset(bytes, 0, sizeof(bytes));
	bytes[2] = 0x80;
	bytes[5] = 1;
	put16(bytes + 6, (uint16_t)(aliases + n));
	bytes[len] = 1;
	len += 3 + 4;
	for (size_t i = 0; i < aliases + n; i++) {
		bool alias = i < aliases;
		uint8_t record[17] = { 1,
				       (uint8_t)(alias ? i : aliases),
				       0,
				       0,
				       alias ? DNS_CNAME : DNS_A,
				       0,
				       1,
				       0,
				       0,
				       0,
				       9,
				       0,
				       alias ? 3 : 4,
				       1,
				       (uint8_t)(i + 1),
				       0 };

		memcpy(bytes + len, record, alias ? 16 : 17);
		len += alias ? 16 : 17;
	}
	tap_int(dns_parse(bytes, len, &m), 0, "%zu aliases, %zu addresses: parse", aliases, n);
	dns_each_address(&m, count_address, &calls);
	tap_int(calls, want, "%zu aliases, %zu addresses", aliases, n);
}

static void test_limits(void)
{
	static const struct {
		const char *name;
		uint8_t sizes[8];
		int want;
	} names[] = {
		{ "name of 255 bytes", { 63, 63, 63, 61 }, 0 },
		{ "name of 256 bytes", { 63, 63, 63, 62 }, DNS_MALFORMED },
		{ "name of four full labels", { 63, 63, 63, 63 }, DNS_MALFORMED },
		{ "label of 64 bytes", { 64 }, DNS_MALFORMED },
	};

	for (size_t i = 0; i < COUNT(names); i++)
		test_long_name(names[i].name, names[i].sizes, names[i].want);
	test_pointers(1, 1);
	test_pointers(127, 1);
	test_pointers(128, DNS_MALFORMED);
	test_address_limits(DNS_ALIASES_MAX, 1, DNS_ALIASES_MAX + 1);
	test_address_limits(DNS_ALIASES_MAX + 1, 1, 0);
	test_address_limits(0, DNS_ANSWERS_MAX, DNS_ANSWERS_MAX);
	test_address_limits(0, DNS_ANSWERS_MAX + 1, DNS_ANSWERS_MAX);
}

static void test_equal(void)
{
	static const struct {
		const char *a, *b;
		bool equal;
	} pairs[] = {
		{ "0161 00", "0161 00", true },	      { "0161 00", "0141 00", true },
		{ "017a 00", "015a 00", true },	      { "0140 00", "0160 00", false },
		{ "015b 00", "017b 00", false },      { "0161 00", "0162 00", false },
		{ "0161 00", "0161 0162 00", false }, { "00", "00", true },
		{ "01c1 00", "01e1 00", false },
	};

	for (size_t i = 0; i < COUNT(pairs); i++) {
		struct dns_name a = { 0 }, b = { 0 };

		a.len = (uint8_t)hex_bytes(pairs[i].a, a.wire, sizeof(a.wire));
		b.len = (uint8_t)hex_bytes(pairs[i].b, b.wire, sizeof(b.wire));
		tap_int(dns_name_equal(&a, &b), pairs[i].equal, "%s is %s", pairs[i].a, pairs[i].b);
		tap_int(dns_name_equal(&b, &a), pairs[i].equal, "%s is %s", pairs[i].b, pairs[i].a);
	}
}

int main(void)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		test_row(i);
		test_mutations(i);
	}
	test_limits();
	for (size_t i = 0; i < COUNT(addresses); i++)
		test_addresses(i);
	test_equal();
	return tap_done();
}
