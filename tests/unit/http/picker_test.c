// SPDX-License-Identifier: MIT
/* What is picked out of a client's bytes: whole, byte by byte, and at every split. */
#include "http/picker.h"

#include <stdio.h>

#include "picking.h"
#include "tap.h"

#define ALICE "x-user: alice\r\n"
#define GET(path, fields) "GET " path " HTTP/1.1\r\nhost: a\r\n" fields "\r\n"
#define POST(path, fields, body) "POST " path " HTTP/1.1\r\n" fields "\r\n" body
#define UPGRADE "Connection: Upgrade\r\nUpgrade: websocket\r\n"
#define CHUNKED "transfer-encoding: chunked\r\n"
#define USER "{\"header_filter\": \"^x-user: alice$\"}"
#define BODY "{\"body_filter\": {\"body\": \"json\", \"query\": \"$.a\", \"matches\": \"^1$\"}}"

static const struct {
	const char *name, *filter, *sent, *picked;
} rows[] = {
	{ "one that is wanted", USER, GET("/", ALICE), "[" GET("/", ALICE) },
	{ "one that isn't", USER, GET("/", ""), "-" },
	{ "every other one", USER, GET("/1", "") GET("/2", ALICE) GET("/3", "") GET("/4", ALICE), "-[" GET("/2", ALICE) "-[" GET("/4", ALICE) },
	{ "bodies go with their requests", USER, POST("/1", "content-length: 5\r\n" ALICE, "hello") POST("/2", "content-length: 3\r\n", "not"),
	  "[" POST("/1", "content-length: 5\r\n" ALICE, "hello") "-" },
	{ "chunks and trailers", USER, POST("/1", CHUNKED, "2;x\r\nab\r\n0\r\nt: v\r\n\r\n") POST("/2", CHUNKED ALICE, "1\r\na\r\n0\r\nt: v\r\n\r\n"),
	  "-[" POST("/2", CHUNKED ALICE, "1\r\na\r\n0\r\nt: v\r\n\r\n") },
	{ "a body that looks like a request", USER, POST("/", "content-length: 42\r\n", GET("/", ALICE)) GET("/2", ALICE),
	  "-[" GET("/2", ALICE) },
	{ "cut off in its body", USER, POST("/1", "content-length: 9\r\n" ALICE, "hello"), "[" POST("/1", "content-length: 9\r\n" ALICE, "hello") },
	{ "cut off in its head", USER, "GET / HTTP/1.1\r\n" ALICE, "" },
	{ "behind the last one", USER, GET("/1", "connection: close\r\n") GET("/2", ALICE), "-" },
	{ "the last one", USER, GET("/1", "connection: close\r\n" ALICE) "more", "[" GET("/1", "connection: close\r\n" ALICE) "more" },
	{ "body filter", BODY, POST("/1", "content-length: 7\r\n", "{\"a\":1}") POST("/2", "content-length: 7\r\n", "{\"a\":2}"),
	  "[" POST("/1", "content-length: 7\r\n", "{\"a\":1}") "-" },
	{ "body filter, chunks", BODY, POST("/1", CHUNKED, "3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n") GET("/2", ""),
	  "[" POST("/1", CHUNKED, "3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n") "-" },
	{ "body filter, cut off", BODY, POST("/1", "content-length: 8\r\n", "{\"a\":1}"), "-" },
	{ "not that body, cut off", "{\"not\": {\"body\": \"json\", \"query\": \"$.a\", \"matches\": \"1\"}}",
	  POST("/1", "content-length: 9\r\n", "{\"a\""),
	  "[" POST("/1", "content-length: 9\r\n", "{\"a\"") },
	{ "body filter, a broken chunk", BODY, POST("/1", CHUNKED, "zz\r\n"), "-!" },
	{ "a broken chunk of one that is wanted", USER, POST("/1", CHUNKED ALICE, "zz\r\n"), "X" },
	{ "both lengths", USER, GET("/", ALICE) POST("/1", "content-length: 5\r\n" CHUNKED ALICE, "0\r\n\r\n") GET("/2", ALICE),
	  "[" GET("/", ALICE) "!" },
	{ "an upgrade that is wanted", USER, GET("/ws", UPGRADE ALICE) "\x81\x85" "abcdhello",
	  "[" GET("/ws", UPGRADE ALICE) "\x81\x85" "abcdhello" },
	{ "one that isn't, then", USER, GET("/ws", UPGRADE) "\x81\x85" "abcdhello", "-" },
	{ "one that was refused", USER, GET("/ws", UPGRADE ALICE) GET("/2", "") GET("/3", ALICE),
	  "[" GET("/ws", UPGRADE ALICE) "-[" GET("/3", ALICE) },
	{ "CONNECT", USER, "CONNECT a:1 HTTP/1.1\r\n" ALICE "\r\n\x16\x03\x01",
	  "[CONNECT a:1 HTTP/1.1\r\n" ALICE "\r\n\x16\x03\x01" },
	{ "to HTTP/2", USER, GET("/", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n" ALICE) "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxyz",
	  "[" GET("/", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n" ALICE) "2" },
	{ "no HTTP", USER, "EHLO x-user: alice\r\n", "" },
	{ "no HTTP, any client", "{\"client\": \"0.0.0.0/0\"}", "EHLO you\r\n", "" },
	{ "TLS", USER, "\x16\x03\x01\x00\x05hello", "" },
};

static void show(const char *title, const char *text)
{
	printf("# %s \"", title);
	for (; *text; text++)
		printf(*text == '\r' ? "\\r" : *text == '\n' ? "\\n" : "%c", *text);
	printf("\"\n");
}

static void test_row(size_t i)
{
	static struct picked got;
	struct error err = { 0 };
	struct http_filter *f = http_filter_parse(rows[i].filter, &err);
	size_t len = strlen(rows[i].sent), bad = 0;

	for (size_t split = 0; f && split <= len + 1; split++) {
		pick_all(f, rows[i].sent, len, split > len ? SIZE_MAX : split, &got);
		if (strcmp(got.text, rows[i].picked) == 0)
			continue;
		if (!bad++)
			show(split > len ? "bytes:" : "got", got.text);
	}
	tap_ok(f && !bad, "%s", rows[i].name);
	http_filter_free(f);
}

static struct http_filter *filter_of(const char *text)
{
	struct error err = { 0 };
	struct http_filter *f = http_filter_parse(text, &err);

	if (!f)
		abort();
	return f;
}

static void give(struct picker *p, const char *text)
{
	picker_data(p, (const uint8_t *)text, strlen(text));
}

/* A filter on bodies keeps so much and no more, however the bytes come. */
static void test_large_body(void)
{
	static struct picked got;
	static uint8_t bytes[1000];
	const struct ip client = { 0 };
	struct http_filter *f = filter_of(BODY);
	struct picker *p = picker_new(f, PICKED_BODY_MAX, &client, &picked_events, &got);
	size_t most = 0;

	memset(bytes, ' ', sizeof(bytes));
	give(p, POST("/", CHUNKED, "fffff\r\n"));
	for (int i = 0; i < 200; i++) {
		picker_data(p, bytes, sizeof(bytes));
		most = picker_kept(p) > most ? picker_kept(p) : most;
	}
	tap_str(got.text, "-", "a body that is too large");
	tap_ok(most > PICKED_BODY_MAX && most <= 2 * PICKED_BODY_MAX, "was kept up to the limit (%zu)", most);
	tap_int(picker_kept(p), 0, "and no longer");
	picker_free(p);
	http_filter_free(f);
}

/* However the body comes, the filter is asked twice: about the head, and about all of it. A search that takes too long is counted each time. */
static void test_asked_twice(void)
{
	static struct picked got;
	struct http_filter *f = filter_of("{\"any_of\": [{\"header\": \"(a+)+$\"}, {\"body\": \"json\", \"query\": \"$.a\", \"matches\": \"1\"}]}");
	const char text[] = POST("/", CHUNKED "x: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\r\n",
				   "1\r\n{\r\n3\r\n\"a\"\r\n3\r\n:1}\r\n0\r\n\r\n");

	pick_all(f, text, strlen(text), SIZE_MAX, &got);
	tap_ok(got.len == strlen(text) + 1 && *got.text == '[', "a body that comes byte by byte is found");
	tap_int(http_filter_trouble(f).regex, 2, "the filter was asked twice");
	http_filter_free(f);
}

static void test_gaps(void)
{
	static struct picked got;
	const struct ip client = { 0 };
	struct http_filter *f = filter_of(USER);
	struct picker *p = picker_new(f, PICKED_BODY_MAX, &client, &picked_events, &got);

	give(p, POST("/1", "content-length: 100\r\n", "12345"));
	tap_ok(picker_gap(p, 95), "a gap in a body that nobody wants");
	give(p, POST("/2", CHUNKED, "64\r\n12345"));
	tap_ok(picker_gap(p, 94), "in a chunk");
	give(p, "x\r\n0\r\n\r\n" GET("/3", ALICE));
	tap_str(got.text, "--[" GET("/3", ALICE), "the request behind them is found");
	got.len = 0;
	tap_ok(!picker_gap(p, 1), "a gap between requests");
	tap_ok(picker_restart(p), "begins again");
	give(p, POST("/4", CHUNKED, "64\r\n12345"));
	tap_ok(!picker_gap(p, 96), "a gap beyond a chunk");
	tap_ok(picker_restart(p), "begins again");
	give(p, GET("/ws", UPGRADE ALICE) "\x81\x85");
	tap_str(got.text, "-[" GET("/ws", UPGRADE ALICE) "\x81\x85", "an upgrade");
	tap_ok(!picker_gap(p, 1) && !picker_restart(p), "a gap behind it: nothing is picked any more");
	got.len = 0;
	give(p, GET("/5", ALICE));
	tap_int(got.len, 0, "whatever comes");
	picker_free(p);
	http_filter_free(f);
}

static void test_tls(void)
{
	static const uint8_t hello[] = "\x16\x03\x01\x00\x3c\x01\x00\x00\x38\x03\x03________________________________\x00\x00\x02\xc0\x2f\x01\x00"
				       "\x00\x0d\x00\x00\x00\x09\x00\x07\x00\x00\x04shop!more";
	static struct picked got;
	struct http_filter *f = filter_of("{\"sni\": \"^shop$\"}");
	size_t len = sizeof(hello) - 1;

	pick_all(f, hello, len, SIZE_MAX, &got);
	tap_ok(got.len == len + 1 && got.text[0] == '[' && memcmp(got.text + 1, hello, len) == 0, "TLS for a server name that is wanted, whole");
	http_filter_free(f);
	f = filter_of("{\"sni\": \"^shops$\"}");
	pick_all(f, hello, len, SIZE_MAX, &got);
	tap_int(got.len, 0, "for another one");
	http_filter_free(f);
}

int main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		test_row(i);
	test_large_body();
	test_asked_twice();
	test_gaps();
	test_tls();
	return tap_done();
}
