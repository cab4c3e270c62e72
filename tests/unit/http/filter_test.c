// SPDX-License-Identifier: MIT
/* Filters: what matches, what doesn't, and what is refused with which words. */
#include "http/filter.h"

#include <stdio.h>
#include <time.h>

#include "make_request.h"
#include "tap.h"

static const char request_text[] = "GET /shop/cart?user=7&note=a%20b+c&empty\n"
				   "host: shop.example.com:8080\n"
				   "x-user: Alice\n"
				   "x-tag: one\n"
				   "x-tag: two\n"
				   "cookie: a=1; session=s%3D1; b=\n"
				   "cookie: second=2\n"
				   "x-latin: caf\xe9\n"
				   "x-utf: caf\xc3\xa9";

static const struct {
	const char *name, *filter;
	enum http_verdict verdict;
} matching[] = {
	{ "nothing set", "{}", HTTP_YES },
	{ "true", "true", HTTP_YES },
	{ "ports alone", "{\"ports\": [80]}", HTTP_YES },
	{ "null is nothing", "{\"header_filter\": null}", HTTP_YES },
	{ "header", "{\"header_filter\": \"^x-user: alice$\"}", HTTP_YES },
	{ "header, case of the name", "{\"header_filter\": \"^X-User: ALICE$\"}", HTTP_YES },
	{ "header, no match", "{\"header_filter\": \"^x-user: bob\"}", HTTP_NO },
	{ "header, unanchored", "{\"header_filter\": \"li\"}", HTTP_YES },
	{ "header, second value of a name", "{\"header_filter\": \"^x-tag: two$\"}", HTTP_YES },
	{ "header, values aren't joined", "{\"header_filter\": \"one.*two\"}", HTTP_NO },
	{ "header, UTF-8 character", "{\"header_filter\": \"^x-utf: caf.$\"}", HTTP_YES },
	{ "header, a byte that is no UTF-8", "{\"header_filter\": \"^x-latin: caf.$\"}", HTTP_NO },
	{ "header, beside such a byte", "{\"header_filter\": \"^x-latin: caf\"}", HTTP_YES },
	{ "header, lookahead", "{\"header_filter\": \"^x-user: (?!bob)\"}", HTTP_YES },
	{ "header, back reference", "{\"header_filter\": \"(a)li(?:x|ce)\"}", HTTP_YES },
	{ "header, $ is the very end", "{\"header_filter\": \"alice\\\\n$\"}", HTTP_NO },
	{ "path", "{\"path_filter\": \"^/SHOP/cart$\"}", HTTP_YES },
	{ "path with query", "{\"path_filter\": \"user=7\"}", HTTP_YES },
	{ "path, decoded it isn't", "{\"path_filter\": \"a b\"}", HTTP_NO },
	{ "path, no match", "{\"path_filter\": \"^/cart\"}", HTTP_NO },
	{ "method", "{\"method_filter\": \"get\"}", HTTP_YES },
	{ "method, whole", "{\"method_filter\": \"GE\"}", HTTP_NO },
	{ "methods", "{\"method_filter\": [\"POST\", \"GET\"]}", HTTP_YES },
	{ "methods, none", "{\"method_filter\": [\"POST\", \"PUT\"]}", HTTP_NO },
	{ "body", "{\"body_filter\": {\"body\": \"json\", \"query\": \"$.a\", \"matches\": \"1\"}}", HTTP_NEEDS_BODY },
	{ "all of", "{\"all_of\": [{\"header\": \"alice\"}, {\"path\": \"cart\"}]}", HTTP_YES },
	{ "all of, one not", "{\"all_of\": [{\"header\": \"alice\"}, {\"path\": \"card\"}]}", HTTP_NO },
	{ "any of", "{\"any_of\": [{\"header\": \"bob\"}, {\"path\": \"cart\"}]}", HTTP_YES },
	{ "any of, none", "{\"any_of\": [{\"header\": \"bob\"}, {\"method\": \"PUT\"}]}", HTTP_NO },
	{ "not", "{\"not\": {\"header\": \"bob\"}}", HTTP_YES },
	{ "nested",
	  "{\"all_of\": [{\"any_of\": [{\"path\": \"x\"}, {\"not\": {\"all_of\": [{\"header\": \"bob\"}]}}]}, {\"method\": \"GET\"}]}", HTTP_YES },
	{ "a body isn't waited for when another decides: any",
	  "{\"any_of\": [{\"body\": \"json\", \"query\": \"$.a\", \"matches\": \"1\"}, {\"path\": \"cart\"}]}", HTTP_YES },
	{ "a body isn't waited for when another decides: all",
	  "{\"all_of\": [{\"body\": \"json\", \"query\": \"$.a\", \"matches\": \"1\"}, {\"path\": \"card\"}]}", HTTP_NO },
	{ "it is waited for else",
	  "{\"not\": {\"all_of\": [{\"body\": \"json\", \"query\": \"$.a\", \"matches\": \"1\"}, {\"path\": \"cart\"}]}}", HTTP_NEEDS_BODY },
	{ "host", "{\"host\": \"^shop\\\\.example\\\\.com$\"}", HTTP_YES },
	{ "host with port", "{\"host\": \":8080$\"}", HTTP_YES },
	{ "host, other", "{\"host\": \"^example\"}", HTTP_NO },
	{ "query parameter", "{\"query\": {\"user\": \"^7$\"}}", HTTP_YES },
	{ "query parameter, decoded", "{\"query\": {\"note\": \"^a b c$\"}}", HTTP_YES },
	{ "query parameter without value", "{\"query\": {\"empty\": \"^$\"}}", HTTP_YES },
	{ "query parameter, missing", "{\"query\": {\"user\": \"7\", \"other\": \".\"}}", HTTP_NO },
	{ "query parameter, name is whole", "{\"query\": {\"use\": \"7\"}}", HTTP_NO },
	{ "cookie", "{\"cookie\": {\"session\": \"^s%3D1$\"}}", HTTP_YES },
	{ "cookie of the second field", "{\"cookie\": {\"second\": \"2\", \"a\": \"1\"}}", HTTP_YES },
	{ "cookie, name is whole", "{\"cookie\": {\"sess\": \".\"}}", HTTP_NO },
	{ "client", "{\"client\": \"10.1.0.0/16\"}", HTTP_YES },
	{ "client, list", "{\"client\": [\"fd00::/8\", \"10.1.2.3\"]}", HTTP_YES },
	{ "client, other", "{\"client\": \"10.2.0.0/16\"}", HTTP_NO },
	{ "client, everything of IPv4", "{\"client\": \"0.0.0.0/0\"}", HTTP_YES },
	{ "client, everything of IPv6 isn't IPv4", "{\"client\": \"fd00::/8\"}", HTTP_NO },
	{ "sni", "{\"sni\": \"^tls\\\\.example$\"}", HTTP_YES },
	{ "alpn, the first", "{\"alpn\": \"^h2$\"}", HTTP_YES },
	{ "alpn, the last", "{\"alpn\": \"^HTTP/1\\\\.1$\"}", HTTP_YES },
	{ "alpn, across two", "{\"alpn\": \"h2.*http\"}", HTTP_NO },
	{ "alpn, other", "{\"alpn\": \"^h3$\"}", HTTP_NO },
	{ "sni, other", "{\"sni\": \"^other\"}", HTTP_NO },
	{ "inside a list",
	  "{\"all_of\": [{\"host\": \"shop\"}, {\"query\": {\"user\": \"7\"}}, {\"cookie\": {\"a\": \"1\"}}, {\"client\": "
	  "\"10.0.0.0/8\"}, {\"sni\": \"tls\"}]}", HTTP_YES },
	{ "gRPC, it isn't", "{\"grpc\": {\"service\": \"shop\"}}", HTTP_NO },
};

static const struct {
	const char *name, *filter, *error;
} refused[] = {
	{ "not JSON", "{", "http_filter: line 1, column 1: string or '}' expected near end of file" },
	{ "no object", "7", "http_filter: an object must stand here" },
	{ "unknown key", "{\"heder_filter\": \"x\"}", "http_filter.heder_filter: there is no such key here" },
	{ "inner name outside", "{\"header\": \"x\"}", "http_filter.header: there is no such key here" },
	{ "outer name inside",
	  "{\"all_of\": [{\"header_filter\": \"x\"}]}", "http_filter.all_of[0].header_filter: there is no such key here" },
	{ "two kinds", "{\"header_filter\": \"x\", \"method_filter\": \"GET\"}",
	  "http_filter: Cannot use multiple types of HTTP filter at the same time, use 'any_of' or 'all_of' to combine filters "
	  "(header_filter, method_filter)" },
	{ "two kinds inside",
	  "{\"all_of\": [{\"header\": \"x\", \"path\": \"y\"}]}", "http_filter.all_of[0]: one filter only may stand here, not header and path" },
	{ "empty list", "{\"any_of\": []}", "http_filter.any_of: Composite HTTP filter cannot be empty" },
	{ "empty object in a list", "{\"any_of\": [{}]}", "http_filter.any_of[0]: no filter is in this object" },
	{ "empty string", "{\"path_filter\": \"\"}", "http_filter.path_filter: HTTP filter cannot be an empty string" },
	{ "empty method", "{\"method_filter\": [\"GET\", \"\"]}", "http_filter.method_filter: HTTP filter cannot be an empty string" },
	{ "methods in one word", "{\"method_filter\": \"GET,POST\"}",
	  "http_filter.method_filter: \"GET,POST\" is no method; several are a list: [\"GET\", \"POST\"]" },
	{ "regex", "{\"all_of\": [{\"path\": \"ok\"}, {\"header\": \"^a(b\"}]}",
	  "http_filter.all_of[1].header: regular expression \"^a(b\": offset 4: missing closing parenthesis" },
	{ "JSONPath", "{\"body_filter\": {\"body\": \"json\", \"query\": \"$.a[\", \"matches\": \"x\"}}",
	  "http_filter.body_filter.query: JSONPath \"$.a[\": offset 4: a name in quotes, a number, a slice, * or ? must stand here" },
	{ "body's regex", "{\"body_filter\": {\"body\": \"json\", \"query\": \"$\", \"matches\": \"[\"}}",
	  "http_filter.body_filter.matches: regular expression \"[\": offset 1: missing terminating ] for character class" },
	{ "body's type", "{\"body_filter\": {\"body\": \"xml\", \"query\": \"$\", \"matches\": \"x\"}}",
	  "http_filter.body_filter: {\"body\": \"json\", \"query\": JSONPath, \"matches\": regular expression} must stand here" },
	{ "port", "{\"ports\": [0]}", "http_filter.ports: a port is a number from 1 to 65535" },
	{ "network", "{\"client\": \"10.0.0.0/33\"}", "http_filter.client: \"10.0.0.0/33\" is no address and no network like 10.0.0.0/8" },
	{ "network's length",
	  "{\"client\": \"10.0.0.0/8x\"}", "http_filter.client: \"10.0.0.0/8x\" is no address and no network like 10.0.0.0/8" },
	{ "gRPC",
	  "{\"grpc\": {\"servce\": \"x\"}}", "http_filter.grpc: {\"service\": \"package.Service\", \"method\": \"Method\"} "
	  "must stand here, or one of the two" },
	{ "string as parameters", "{\"query\": \"x\"}", "http_filter.query: {\"name\": \"regular expression\"} must stand here" },
};

static void set_peers(struct http_request *r)
{
	ip_parse("10.1.2.3", &r->client);
	r->sni = span_of("tls.example");
	r->alpn = span_of("\x02h2\x08http/1.1");
}

static enum http_verdict verdict_of(const char *filter, struct http_request *r)
{
	struct error err = { 0 };
	struct http_filter *f = http_filter_parse(filter, &err);
	enum http_verdict v = (enum http_verdict) - 1;

	if (f)
		v = http_filter_match(f, r);
	else
		printf("# %s\n", err.text);
	http_filter_free(f);
	return v;
}

static void test_tables(void)
{
	struct made_request m;

	make_request(&m, request_text);
	set_peers(&m.request);
	for (size_t i = 0; i < sizeof(matching) / sizeof(*matching); i++)
		tap_int(verdict_of(matching[i].filter, &m.request), matching[i].verdict, "%s", matching[i].name);
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		struct error err = { 0 };
		struct http_filter *f = http_filter_parse(refused[i].filter, &err);

		tap_ok(!f, "refused: %s", refused[i].name);
		tap_str(err.text, refused[i].error, "its words: %s", refused[i].name);
		http_filter_free(f);
	}
}

static void test_hints(void)
{
	static const char jq[] = "http_filter.header_filter_jq: jq program \"test(\": ";
	struct error err = { 0 };

	http_filter_parse("{\"header_filter_jq\": \"test(\"}", &err);
	tap_ok(strncmp(err.text, jq, strlen(jq)) == 0 && strstr(err.text, "syntax error"), "jq's own words: %s", err.text);
	err = (struct error){ 0 };

	http_filter_parse("{\"heder_filter\": \"x\"}", &err);
	tap_str(err.hint, "did you mean header_filter?", "a mistyped key");
	err = (struct error){ 0 };
	http_filter_parse("{\"any_of\": [{\"path_filter\": \"x\"}]}", &err);
	tap_str(err.hint, "inside all_of and any_of, it is called path", "a name of elsewhere");
}

static void note(void *arg, const struct error *e)
{
	char *all = arg;

	snprintf(all + strlen(all), 2048 - strlen(all), "%s%s", *all ? "\n" : "", e->text);
}

static void test_check(void)
{
	static const struct {
		const char *filter, *errors;
	} rows[] = {
		{ "{\"any_of\": [{\"path\": \"a\"}]}", "" },
		{ "true", "" },
		{ "[]", "http_filter: an object must stand here" },
		{ "{", "http_filter: line 1, column 1: string or '}' expected near end of file" },
		{ "{\"ports\": [0]}", "http_filter.ports: a port is a number from 1 to 65535" },
		{ "{\"path_filter\": \"(\", \"header_filter\": \"[\"}",
		  "http_filter.path_filter: regular expression \"(\": offset 1: missing closing parenthesis\n"
		  "http_filter.header_filter: regular expression \"[\": offset 1: missing terminating ] for character class" },
		{ "{\"any_of\": [{\"path\": \"(\"}, {\"foo\": 1}, {}, 1, {\"not\": {\"all_of\": [{\"method\": \"\"}, {\"host\": \"x\"}]}},"
		  " {\"not\": []}, {\"all_of\": []},"
		  " {\"path\": \"a\", \"host\": \"b\"}, {\"body\": \"json\", \"query\": \"$.a\", \"matches\": \"(\"}]}",
		  "http_filter.any_of[0].path: regular expression \"(\": offset 1: missing closing parenthesis\n"
		  "http_filter.any_of[1].foo: there is no such key here\n"
		  "http_filter.any_of[2]: no filter is in this object\n"
		  "http_filter.any_of[3]: an object must stand here\n"
		  "http_filter.any_of[4].not.all_of[0].method: HTTP filter cannot be an empty string\n"
		  "http_filter.any_of[5].not: an object must stand here\n"
		  "http_filter.any_of[6].all_of: Composite HTTP filter cannot be empty\n"
		  "http_filter.any_of[7]: one filter only may stand here, not path and host\n"
		  "http_filter.any_of[8].body.matches: regular expression \"(\": offset 1: missing closing parenthesis" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char all[2048] = "";

		http_filter_check(rows[i].filter, note, all);
		tap_str(all, rows[i].errors, "all that is wrong with %s", rows[i].filter);
	}
}

static void test_body(void)
{
	static const struct {
		const char *name, *query, *matches, *body;
		enum http_verdict verdict;
	} rows[] = {
		{ "a string is taken raw", "$.user", "^al", "{\"user\": \"alice\"}", HTTP_YES },
		{ "case matters", "$.user", "^AL", "{\"user\": \"alice\"}", HTTP_NO },
		{ "an integer", "$.n", "^42$", "{\"n\": 42}", HTTP_YES },
		{ "a real, shortest", "$.n", "^0\\\\.1$", "{\"n\": 0.1}", HTTP_YES },
		{ "a whole real", "$.n", "^2\\\\.0$", "{\"n\": 2.0}", HTTP_YES },
		{ "an integer beyond 64 bits", "$.n", "^1e\\\\+20$", "{\"n\": 100000000000000000000}", HTTP_YES },
		{ "an object is compact", "$.o", "^{\\\"a\\\":\\\\[1,null,true]}$", "{\"o\": {\"a\": [1, null, true]}}", HTTP_YES },
		{ "any of several nodes", "$.l[*]", "^b$", "{\"l\": [\"a\", \"b\"]}", HTTP_YES },
		{ "no node", "$.x", ".*", "{\"l\": 1}", HTTP_NO },
		{ "a document that is a string", "$", "^x$", "\"x\"", HTTP_YES },
		{ "typeof", "$[?typeof(@) == 'string']", "b", "[1, \"b\"]", HTTP_YES },
		{ "no JSON", "$", ".", "hello", HTTP_NO },
		{ "two documents", "$", ".", "1 2", HTTP_NO },
		{ "nothing", "$", ".*", "", HTTP_NO },
	};
	char filter[512];
	struct made_request m;

	make_request(&m, "POST /x\nhost: a");
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		m.request.body_state = HTTP_BODY_WHOLE;
		m.request.body = span_of(rows[i].body);
		snprintf(filter, sizeof(filter), "{\"body_filter\": {\"body\": \"json\", \"query\": \"%s\", \"matches\": \"%s\"}}", rows[i].query,
			 rows[i].matches);
		tap_int(verdict_of(filter, &m.request), rows[i].verdict, "body: %s", rows[i].name);
	}
	m.request.body_state = HTTP_BODY_UNKNOWN;
	tap_int(verdict_of("{\"body_filter\": {\"body\": \"json\", \"query\": \"$\", \"matches\": \"\\\\S\"}}", &m.request), HTTP_NO,
		"body: one that couldn't be had matches nothing");
	tap_int(verdict_of("{\"any_of\": [{\"body\": \"json\", \"query\": \"$\", \"matches\": \"x\"}, {\"path\": \"x\"}]}", &m.request), HTTP_YES,
		"body: the other filters go on without it");
}

static void test_grpc(void)
{
	struct made_request m;

	make_request(&m, "POST /shop.Cart/Add\n:method: POST\n:path: /shop.Cart/Add\n:authority: shop:50051\n"
			 "host: shop:50051\ncontent-type: application/grpc+proto");
	tap_int(verdict_of("{\"grpc\": {\"service\": \"shop.Cart\"}}", &m.request), HTTP_YES, "gRPC: service");
	tap_int(verdict_of("{\"grpc\": {\"method\": \"Add\"}}", &m.request), HTTP_YES, "gRPC: method");
	tap_int(verdict_of("{\"grpc\": {\"service\": \"shop.Cart\", \"method\": \"Add\"}}", &m.request), HTTP_YES, "gRPC: both");
	tap_int(verdict_of("{\"grpc\": {\"service\": \"shop.Car\"}}", &m.request), HTTP_NO, "gRPC: the whole name");
	tap_int(verdict_of("{\"grpc\": {\"service\": \"shop.Cart\", \"method\": \"add\"}}", &m.request), HTTP_NO, "gRPC: case");
	tap_int(verdict_of("{\"header_filter\": \"^:authority: shop\"}", &m.request), HTTP_YES, "HTTP/2: pseudo-headers are seen");
	tap_int(verdict_of("{\"header_filter\": \"^host: shop\"}", &m.request), HTTP_YES, "HTTP/2: so is a host");
	tap_int(verdict_of("{\"host\": \"^shop$\"}", &m.request), HTTP_YES, "HTTP/2: host");
}

/* Of a TLS connection only the server name and the client are known. */
static void test_connections(void)
{
	struct http_request r = { .body_state = HTTP_BODY_UNKNOWN };

	set_peers(&r);
	tap_int(verdict_of("{\"sni\": \"tls\"}", &r), HTTP_YES, "a connection by its name");
	tap_int(verdict_of("{\"header_filter\": \"x\"}", &r), HTTP_NEEDS_BODY, "nobody knows");
	tap_int(verdict_of("{\"not\": {\"header\": \"x\"}}", &r), HTTP_NEEDS_BODY, "nor whether not");
	tap_int(verdict_of("{\"any_of\": [{\"path\": \"x\"}, {\"client\": \"10.0.0.0/8\"}]}", &r), HTTP_YES, "one of several is enough");
	tap_int(verdict_of("{\"all_of\": [{\"path\": \"x\"}, {\"client\": \"10.0.0.0/8\"}]}", &r), HTTP_NEEDS_BODY, "of all it isn't");
}

static void test_ports(void)
{
	struct error err = { 0 };
	struct http_filter *f = http_filter_parse("{\"path_filter\": \"x\", \"ports\": 80}", &err);

	tap_ok(http_filter_is_set(f) && http_filter_on_port(f, 80) && !http_filter_on_port(f, 81), "one port");
	http_filter_free(f);
	f = http_filter_parse("{\"path_filter\": \"x\", \"ports\": [80, 8080]}", &err);
	tap_ok(http_filter_on_port(f, 8080) && !http_filter_on_port(f, 81), "several ports");
	http_filter_free(f);
	f = http_filter_parse("{\"path_filter\": \"x\"}", &err);
	tap_ok(http_filter_on_port(f, 8080), "all ports");
	http_filter_free(f);
	f = http_filter_parse("{\"ports\": [80]}", &err);
	tap_ok(!http_filter_is_set(f) && !http_filter_on_port(f, 80), "no filter, so on no port");
	http_filter_free(f);
}

static double cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* As much for a pattern to chew on as a head has room for, in many fields, or in the strings of a body. */
static void test_time(void)
{
	static const char *const filters[] = {
		"{\"header_filter\": \"(a+)+[!?]$\"}", "{\"body_filter\": {\"body\": \"json\", \"query\": \"$[*]\", \"matches\": \"(a+)+[!?]$\"}}",
		"{\"body_filter\": {\"body\": \"json\", \"query\": \"$[?search(@, '(a+)+[!?]$')]\"}}",
	};
	static struct http_field fields[HTTP_FIELDS_MAX];
	static char body[HTTP_HEAD_MAX];
	static const char line[] = "a: aaaaaaaaaaaaaaaaaaaaaaaaaaaaa", item[] = "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",";
	struct http_request r = { .method = span_of("GET"), .target = span_of("/"), .fields = fields, .body_state = HTTP_BODY_WHOLE };
	struct error err = { 0 };

	for (; r.n_fields < HTTP_HEAD_MAX / sizeof(line); r.n_fields++)
		fields[r.n_fields] = (struct http_field){ line, 1, sizeof(line) - 1 };
	strcpy(body, "[");
	for (size_t i = 0; i < HTTP_HEAD_MAX / sizeof(item) - 1; i++)
		strcpy(body + 1 + i * (sizeof(item) - 1), item);
	strcpy(strrchr(body, ','), "]");
	r.body = span_of(body);
	for (size_t i = 0; i < sizeof(filters) / sizeof(*filters); i++) {
		struct http_filter *f = http_filter_parse(filters[i], &err);
		double begin = cpu_ms(), took;

		tap_int(http_filter_match(f, &r), HTTP_NO, "%s: no match", filters[i]);
		took = cpu_ms() - begin;
		tap_ok(took < 200, "… in %.0f ms", took);
		tap_ok(http_filter_trouble(f).regex > 0, "… and that it was given up is counted");
		http_filter_free(f);
	}
}

int main(void)
{
	test_time();
	test_tables();
	test_hints();
	test_check();
	test_body();
	test_grpc();
	test_connections();
	test_ports();
	return tap_done();
}
