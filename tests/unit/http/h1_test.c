// SPDX-License-Identifier: MIT
/* Requests and responses of HTTP/1: where they end, in one piece, byte by byte, and divided at every place. */
#include "http/h1.h"

#include "guard.h"
#include "h1_divide.h"
#include "tap.h"

#define H "Host: a\r\n"

static const struct {
	const char *name, *bytes, *found;
} requests[] = {
	{ "plain", "GET / HTTP/1.1\r\n" H "\r\n", "GET /" },
	{ "no fields", "GET / HTTP/1.1\r\n\r\n", "GET /" },
	{ "two", "GET /1 HTTP/1.1\r\n" H "\r\nGET /2 HTTP/1.1\r\n" H "\r\n", "GET /1; GET /2" },
	{ "empty lines before", "\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", "GET /" },
	{ "empty lines between", "GET /1 HTTP/1.1\r\n\r\n\r\nGET /2 HTTP/1.1\r\n\r\n", "GET /1; GET /2" },
	{ "several spaces", "GET   /   HTTP/1.1\r\n\r\n", "GET /" },
	{ "body", "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhelloGET /2 HTTP/1.1\r\n\r\n", "POST / body 5; GET /2" },
	{ "body of nothing", "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\nGET /2 HTTP/1.1\r\n\r\n", "POST /; GET /2" },
	{ "GET with a body", "GET / HTTP/1.1\r\ncontent-length:3\r\n\r\nabcGET /2 HTTP/1.1\r\n\r\n", "GET / body 3; GET /2" },
	{ "leading zeros", "POST / HTTP/1.1\r\nContent-Length: 005\r\n\r\nhello", "POST / body 5" },
	{ "blanks around a value", "POST / HTTP/1.1\r\nContent-Length: \t 5 \t\r\n\r\nhello", "POST / body 5" },
	{ "chunked", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /2 HTTP/1.1\r\n\r\n",
	  "POST / chunked 15; GET /2" },
	{ "chunked, capitals", "POST / HTTP/1.1\r\ntransfer-encoding:CHUNKED\r\n\r\nA\r\n0123456789\r\n00\r\n\r\n", "POST / chunked 21" },
	{ "chunk extensions", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\"b c\"\r\nabc\r\n0;x\r\n\r\n",
	  "POST / chunked 23" },
	{ "trailers", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\nC:\r\n\r\nGET / HTTP/1.1\r\n\r\n",
	  "POST / chunked 15; GET /" },
	{ "chunks of one byte", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\n\r\r\n0\r\n\r\n",
	  "POST / chunked 17" },
	{ "HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", "GET / last" },
	{ "HTTP/1.0 that stays", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET /" },
	{ "close", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", "GET / last" },
	{ "close among others", "GET / HTTP/1.1\r\nConnection: te , Close\r\n\r\n", "GET / last" },
	{ "upgrade", "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\r\n", "GET / upgrade" },
	{ "upgrade without Connection", "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", "GET /" },
	{ "CONNECT", "CONNECT a:443 HTTP/1.1\r\n" H "\r\n", "CONNECT  upgrade" },
	{ "expects", "PUT / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\nx", "PUT / body 1 expects" },
	{ "absolute form", "GET http://a:80/x?y HTTP/1.1\r\n" H "\r\n", "GET /x?y" },
	{ "absolute form without path", "GET http://a HTTP/1.1\r\n" H "\r\n", "GET /" },
	{ "absolute form without path, with a query", "GET http://a?q=/1 HTTP/1.1\r\n" H "\r\n", "GET /?q=/1" },
	{ "asterisk", "OPTIONS * HTTP/1.1\r\n" H "\r\n", "OPTIONS *" },
	{ "a URL in a query", "GET /?u=http://x/y HTTP/1.1\r\n" H "\r\n", "GET /?u=http://x/y" },
	{ "method of one's own", "M-SEARCH /x HTTP/1.1\r\n\r\n", "M-SEARCH /x" },
	{ "bytes above 127", "GET /caf\xc3\xa9 HTTP/1.1\r\nX: caf\xe9\r\n\r\n", "GET /caf\xc3\xa9" },
	{ "not complete: line", "GET / HT", "…" },
	{ "not complete: fields", "GET / HTTP/1.1\r\nA: b\r\n", "…" },
	{ "not complete: body", "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhell", "POST /…" },
	{ "bare LF", "GET / HTTP/1.1\n\n", "unsafe" },
	{ "bare LF in the end", "GET / HTTP/1.1\r\nA: b\n\r\n", "unsafe" },
	{ "LF LF", "GET / HTTP/1.1\r\nA: b\r\n\n", "unsafe" },
	{ "bare CR in a value", "GET / HTTP/1.1\r\nA: b\rC: d\r\n\r\n", "unsafe" },
	{ "bare CR in the line", "GET /\r HTTP/1.1\r\n\r\n", "unsafe" },
	{ "CR CR LF", "GET / HTTP/1.1\r\nA: b\r\r\n\r\n", "unsafe" },
	{ "a tab in a value is none", "GET / HTTP/1.1\r\nA: b\tc\r\n\r\n", "GET /" },
	{ "control character", "GET / HTTP/1.1\r\nA: \x01\r\n\r\n", "unsafe" },
	{ "DEL", "GET / HTTP/1.1\r\nA: \x7f\r\n\r\n", "unsafe" },
	{ "folded", "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "unsafe" },
	{ "folded length", "GET / HTTP/1.1\r\nContent-Length:\r\n 5\r\n\r\n", "unsafe" },
	{ "blank before the first field", "GET / HTTP/1.1\r\n A: b\r\n\r\n", "unsafe" },
	{ "blank before the colon", "GET / HTTP/1.1\r\nContent-Length : 5\r\n\r\n", "unsafe" },
	{ "no colon", "GET / HTTP/1.1\r\nabc\r\n\r\n", "unsafe" },
	{ "no name", "GET / HTTP/1.1\r\n: b\r\n\r\n", "unsafe" },
	{ "name that is no token", "GET / HTTP/1.1\r\nA(b): c\r\n\r\n", "unsafe" },
	{ "length twice", "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "unsafe" },
	{ "length twice, the same", "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "unsafe" },
	{ "lengths in a list", "POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\nhello", "unsafe" },
	{ "length with a sign", "POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\nhello", "unsafe" },
	{ "negative length", "POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\nhello", "unsafe" },
	{ "length in hex", "POST / HTTP/1.1\r\nContent-Length: 0x5\r\n\r\nhello", "unsafe" },
	{ "empty length", "POST / HTTP/1.1\r\nContent-Length:\r\n\r\nhello", "unsafe" },
	{ "endless length", "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", "unsafe" },
	{ "length with an underscore", "POST / HTTP/1.1\r\nContent_Length: 5\r\n\r\nhello", "unsafe" },
	{ "encoding with an underscore", "POST / HTTP/1.1\r\nTransfer_Encoding: chunked\r\n\r\n0\r\n\r\n", "unsafe" },
	{ "length and encoding", "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "unsafe" },
	{ "encoding and length", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "unsafe" },
	{ "encoding twice", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "unsafe" },
	{ "another encoding", "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "unsafe" },
	{ "identity", "POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n", "unsafe" },
	{ "xchunked", "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "unsafe" },
	{ "chunked in quotes", "POST / HTTP/1.1\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", "unsafe" },
	{ "vertical tab before chunked", "POST / HTTP/1.1\r\nTransfer-Encoding: \x0b"
	  "chunked\r\n\r\n0\r\n\r\n", "unsafe" },
	{ "chunked in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "unsafe" },
	{ "chunk size: none", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", "POST / unsafe" },
	{ "chunk size: no digit", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\ng\r\n", "POST / unsafe" },
	{ "chunk size: 0x", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n", "POST / unsafe" },
	{ "chunk size: sign", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n", "POST / unsafe" },
	{ "chunk size: blank behind", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n", "POST / unsafe" },
	{ "chunk size: endless", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n", "POST / unsafe" },
	{ "chunk size: bare LF", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n", "POST / unsafe" },
	{ "chunk extension: bare LF", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n", "POST / unsafe" },
	{ "chunk extension: bare CR", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;a\rb\r\nhello\r\n", "POST / unsafe" },
	{ "chunk too long for its size", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n", "POST / unsafe" },
	{ "chunk ends in LF", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n", "POST / unsafe" },
	{ "trailer: bare LF", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\n\r\n", "POST / unsafe" },
	{ "trailer: folded", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n c\r\n\r\n", "POST / unsafe" },
	{ "CONNECT with a length", "CONNECT a:1 HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", "unsafe" },
	{ "HTTP/0.9", "GET /\r\n\r\n", "unsafe" },
	{ "HTTP/1.2", "GET / HTTP/1.2\r\n\r\n", "unsafe" },
	{ "HTTP/2.0", "GET / HTTP/2.0\r\n\r\n", "unsafe" },
	{ "http/1.1", "GET / http/1.1\r\n\r\n", "unsafe" },
	{ "method in small letters", "get / HTTP/1.1\r\n\r\n", "unsafe" },
	{ "space in a target", "GET /a b HTTP/1.1\r\n\r\n", "unsafe" },
	{ "tab for a space", "GET\t/ HTTP/1.1\r\n\r\n", "unsafe" },
	{ "blank behind the version", "GET / HTTP/1.1 \r\n\r\n", "unsafe" },
};

static void test_requests(void)
{
	static struct divider d;

	for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
		const char *bytes = requests[i].bytes;
		size_t len = strlen(bytes);
		bool same = true;

		divide_begin(&d);
		divide(&d, guard_copy(bytes, len), len);
		tap_str(divide_end(&d), requests[i].found, "%s", requests[i].name);
		divide_begin(&d);
		for (size_t at = 0; at < len; at++)
			divide(&d, guard_copy(bytes + at, 1), 1);
		tap_str(divide_end(&d), requests[i].found, "%s, byte by byte", requests[i].name);
		for (size_t split = 1; split < len && same; split++) {
			divide_begin(&d);
			divide(&d, guard_copy(bytes, split), split);
			divide(&d, guard_copy(bytes + split, len - split), len - split);
			same = strcmp(divide_end(&d), requests[i].found) == 0;
		}
		tap_ok(same, "%s, at every split", requests[i].name);
	}
}

static void test_nul(void)
{
	static const char line[] = "GET /\0 HTTP/1.1\r\n\r\n", value[] = "GET / HTTP/1.1\r\nA: b\0c\r\n\r\n";
	static struct divider d;

	divide_begin(&d);
	divide(&d, guard_copy(line, sizeof(line) - 1), sizeof(line) - 1);
	tap_str(divide_end(&d), "unsafe", "a NUL in the line");
	divide_begin(&d);
	divide(&d, guard_copy(value, sizeof(value) - 1), sizeof(value) - 1);
	tap_str(divide_end(&d), "unsafe", "a NUL in a value");
}

/* A head of exactly @len bytes. */
static const char *divided_head(size_t len, size_t piece)
{
	static struct divider d;
	static char head[2 * HTTP_HEAD_MAX];

	memset(head, 'a', len);
	memcpy(head, "GET / HTTP/1.1\r\nA: ", 19);
	memcpy(head + len - 4, "\r\n\r\n", 4);
	divide_begin(&d);
	for (size_t at = 0; at < len; at += piece)
		divide(&d, (uint8_t *)head + at, len - at < piece ? len - at : piece);
	return divide_end(&d);
}

static void test_long_heads(void)
{
	static struct divider d;
	static char many[HTTP_HEAD_MAX];
	size_t at = 0;

	tap_str(divided_head(HTTP_HEAD_MAX, HTTP_HEAD_MAX), "GET /", "the longest head");
	tap_str(divided_head(HTTP_HEAD_MAX, 1), "GET /", "byte by byte");
	tap_str(divided_head(HTTP_HEAD_MAX + 1, 4000), "too long", "one byte longer");
	at += (size_t)sprintf(many, "GET / HTTP/1.1\r\n");
	while (at + 6 < sizeof(many))
		at += (size_t)sprintf(many + at, "A:\r\n");
	at += (size_t)sprintf(many + at, "\r\n");
	divide_begin(&d);
	divide(&d, (uint8_t *)many, at);
	tap_str(divide_end(&d), "GET /", "as many fields as can be");
}

static void test_view(void)
{
	static const char head[] = "POST http://shop:8080/x?y HTTP/1.1\r\nHOST:  other \r\nX-Empty:\r\nCookie:a=b\r\n\r\n";
	static struct h1_view view;
	struct h1_message m;

	tap_int(h1_parse_request(guard_copy(head, strlen(head)), strlen(head), &m, &view), 0, "a request to look at");
	tap_ok(span_equal(view.request.method, span_of("POST")), "method");
	tap_ok(span_equal(view.request.target, span_of("/x?y")), "target");
	tap_ok(span_equal(view.request.authority, span_of("shop:8080")), "the target's authority goes before Host");
	tap_int(view.request.n_fields, 3, "fields");
	tap_ok(span_equal((struct span){ view.fields[0].line, view.fields[0].len }, span_of("host: other")), "name in small letters, no blanks");
	tap_ok(span_equal((struct span){ view.fields[1].line, view.fields[1].len }, span_of("x-empty: ")), "an empty value");
	tap_ok(span_equal((struct span){ view.fields[2].line, view.fields[2].len }, span_of("cookie: a=b")), "a blank behind the colon is added");
}

static const struct {
	const char *name, *head, *method;
	int result;
	enum h1_framing framing;
	uint64_t length;
	bool last, upgrade;
} responses[] = {
	{ "length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "GET", 0, H1_LENGTH, 3, false, false },
	{ "no reason", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "GET", 0, H1_EMPTY, 0, false, false },
	{ "empty reason", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "GET", 0, H1_EMPTY, 0, false, false },
	{ "chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", 0, H1_CHUNKED, 0, false, false },
	{ "neither", "HTTP/1.1 200 OK\r\n\r\n", "GET", 0, H1_UNTIL_CLOSE, 0, false, false },
	{ "of HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HEAD", 0, H1_EMPTY, 0, false, false },
	{ "of HEAD, chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD", 0, H1_EMPTY, 0, false, false },
	{ "204", "HTTP/1.1 204 No Content\r\n\r\n", "GET", 0, H1_EMPTY, 0, false, false },
	{ "204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", "GET", 0, H1_EMPTY, 0, false, false },
	{ "304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", "GET", 0, H1_EMPTY, 0, false, false },
	{ "100", "HTTP/1.1 100 Continue\r\n\r\n", "GET", 0, H1_EMPTY, 0, false, false },
	{ "103", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", "GET", 0, H1_EMPTY, 0, false, false },
	{ "101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "GET", 0, H1_EMPTY, 0, false, true },
	{ "200 of CONNECT", "HTTP/1.1 200 OK\r\n\r\n", "CONNECT", 0, H1_EMPTY, 0, false, true },
	{ "407 of CONNECT", "HTTP/1.1 407 No\r\nContent-Length: 1\r\n\r\n", "CONNECT", 0, H1_LENGTH, 1, false, false },
	{ "close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n", "GET", 0, H1_LENGTH, 1, true, false },
	{ "HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", "GET", 0, H1_LENGTH, 1, true, false },
	{ "HTTP/1.0 that stays", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n",
	  "GET", 0, H1_LENGTH, 1, false, false },
	{ "length and encoding", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
	  "GET", H1_UNSAFE, 0, 0, false, false },
	{ "length twice", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", "GET", H1_UNSAFE, 0, 0, false, false },
	{ "no status", "HTTP/1.1 abc\r\n\r\n", "GET", H1_UNSAFE, 0, 0, false, false },
	{ "status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", "GET", H1_UNSAFE, 0, 0, false, false },
	{ "no HTTP", "SSH-2.0-OpenSSH_9.2p1\r\n\r\n", "GET", H1_UNSAFE, 0, 0, false, false },
	{ "an empty line first", "\r\nHTTP/1.1 200 OK\r\n\r\n", "GET", H1_UNSAFE, 0, 0, false, false },
};

static void test_responses(void)
{
	for (size_t i = 0; i < sizeof(responses) / sizeof(*responses); i++) {
		const struct h1_message request = { .head = strcmp(responses[i].method, "HEAD") == 0,
						    .connect = strcmp(responses[i].method, "CONNECT") == 0 };
		struct h1_message m = { 0 };
		size_t len = strlen(responses[i].head);

		tap_int(h1_parse_response(guard_copy(responses[i].head, len), len, &request, &m), responses[i].result,
			"response: %s", responses[i].name);
		tap_ok(m.framing == responses[i].framing && m.length == responses[i].length && m.last == responses[i].last &&
			       m.upgrade == responses[i].upgrade,
		       "its end: %s", responses[i].name);
	}
}

int main(void)
{
	test_requests();
	test_nul();
	test_long_heads();
	test_view();
	test_responses();
	return tap_done();
}
