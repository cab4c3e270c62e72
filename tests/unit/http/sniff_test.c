// SPDX-License-Identifier: MIT
/* What a client speaks, and that it is said as soon as the bytes can't be HTTP any more. */
#include "http/sniff.h"

#include <stdio.h>

#include "guard.h"
#include "tap.h"

static const struct {
	const char *name, *bytes;
	enum sniff is;
	size_t known; /* after how many bytes; before, it is SNIFF_MORE */
} rows[] = {
	{ "GET", "GET / HTTP/1.1\r\n", SNIFF_HTTP1, 16 },
	{ "empty lines first", "\r\n\r\nGET / HTTP/1.0\r\n", SNIFF_HTTP1, 20 },
	{ "several spaces", "GET   /   HTTP/1.1\r\n", SNIFF_HTTP1, 20 },
	{ "a method of one's own", "X-9_Y * HTTP/1.1\r\n", SNIFF_HTTP1, 18 },
	{ "absolute", "GET HTTP://a/ HTTP/1.1\r\n", SNIFF_HTTP1, 24 },
	{ "CONNECT", "CONNECT a:1 HTTP/1.1\r\n", SNIFF_HTTP1, 22 },
	{ "HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", SNIFF_HTTP2, 24 },
	{ "HTTP/2, not quite", "PRI * HTTP/2.0\r\n\r\nSX", SNIFF_NEITHER, 20 },
	{ "HTTP/0.9", "GET /\r\n", SNIFF_NEITHER, 7 },
	{ "HTTP/2 in a request line", "GET / HTTP/2\r\n", SNIFF_NEITHER, 14 },
	{ "bare LF", "GET / HTTP/1.1\n", SNIFF_NEITHER, 15 },
	{ "hello", "hello ther", SNIFF_NEITHER, 1 },
	{ "small letters", "get / HTTP/1.1\r\n", SNIFF_NEITHER, 1 },
	{ "HELO", "HELO me\r\n", SNIFF_NEITHER, 6 },
	{ "PING", "PING\r\n", SNIFF_NEITHER, 5 },
	{ "Redis", "*1\r\n$4\r\nPING\r\n", SNIFF_NEITHER, 1 },
	{ "a long word", "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHI", SNIFF_NEITHER, 33 },
	{ "PostgreSQL", "\x01", SNIFF_NEITHER, 1 },
	{ "TLS", "\x16\x03\x01", SNIFF_TLS, 2 },
	{ "nearly TLS", "\x16\x02", SNIFF_NEITHER, 2 },
	{ "SSH", "SSH-2.0-x\r\n", SNIFF_NEITHER, 6 },
	{ "a CR alone", "\rG", SNIFF_NEITHER, 2 },
};

/* A ClientHello for "shop.example", h2 and http/1.1, in records of @record bytes at most. */
static size_t build_hello(uint8_t *out, size_t record)
{
	static const uint8_t sni[] = "\0\0\0\x11\0\x0f\0\0\x0cshop.example", alpn[] = "\0\x10\0\x0e\0\x0c\x02h2\x08http/1.1";
	uint8_t body[256], *at = body, *begin = out;
	size_t extensions = sizeof(sni) - 1 + sizeof(alpn) - 1, len;

	*at++ = 1;
	at += 3; /* the length, below */
	*at++ = 3;
	*at++ = 3;
	memset(at, 7, 32);
	at += 32;
	memcpy(at, "\0\0\x02\xc0\x2f\x01\0", 7); /* no session, one cipher, no compression */
	at += 7;
	*at++ = (uint8_t)(extensions >> 8);
	*at++ = (uint8_t)extensions;
	memcpy(at, sni, sizeof(sni) - 1);
	at += sizeof(sni) - 1;
	memcpy(at, alpn, sizeof(alpn) - 1);
	at += sizeof(alpn) - 1;
	len = (size_t)(at - body);
	body[1] = 0;
	body[2] = (uint8_t)((len - 4) >> 8);
	body[3] = (uint8_t)(len - 4);
	for (size_t done = 0; done < len;) {
		size_t n = len - done < record ? len - done : record;

		memcpy(out, "\x16\x03\x01", 3);
		out[3] = (uint8_t)(n >> 8);
		out[4] = (uint8_t)n;
		memcpy(out + 5, body + done, n);
		out += 5 + n;
		done += n;
	}
	return (size_t)(out - begin);
}

static void test_hello(size_t record)
{
	static struct tls_hello hello;
	uint8_t bytes[4096];
	size_t len = build_hello(bytes, record);
	int early = 0;

	tap_int(sniff_tls_hello(guard_copy(bytes, len), len, &hello), 1, "a hello in records of %zu", record);
	tap_ok(span_equal(hello.sni, span_of("shop.example")), "its name");
	tap_ok(span_equal(hello.alpn, span_of("\x02h2\x08http/1.1")), "its protocols");
	for (size_t n = 0; n < len; n++)
		early += sniff_tls_hello(guard_copy(bytes, n), n, &hello) != 0;
	tap_int(early, 0, "and with every byte less it isn't complete");
}

int main(void)
{
	static struct tls_hello hello;
	uint8_t bytes[4096];
	size_t len;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		size_t n = strlen(rows[i].bytes);
		bool right = true;

		for (size_t at = 0; at <= n; at++) {
			enum sniff want = at < rows[i].known ? SNIFF_MORE : rows[i].is;

			right &= sniff_client(guard_copy(rows[i].bytes, at), at) == want;
		}
		tap_ok(right, "%s", rows[i].name);
	}
	tap_ok(sniff_server_is_http2((const uint8_t *)"\0\0\x12\4\0\0\0\0\0\0\3", 11), "a server's SETTINGS");
	tap_ok(sniff_server_is_http2((const uint8_t *)"\0\0\0\4\0\0\0\0\0", 9), "empty ones");
	tap_ok(sniff_server_is_http2((const uint8_t *)"\0\0\x12\4", 4), "the beginning of some");
	tap_ok(!sniff_server_is_http2((const uint8_t *)"\0\0\x11\4", 4), "not with that length");
	tap_ok(!sniff_server_is_http2((const uint8_t *)"\0\0\x12\4\1", 5), "not with a flag");
	tap_ok(!sniff_server_is_http2((const uint8_t *)"220 mail", 8), "nor this");
	test_hello(4096);
	test_hello(50);
	test_hello(1);
	len = build_hello(bytes, 4096);
	bytes[5] = 2;
	tap_int(sniff_tls_hello(bytes, len, &hello), -1, "a handshake that is no hello");
	bytes[5] = 1;
	bytes[5 + 4 + 2 + 32] = 255;
	tap_int(sniff_tls_hello(bytes, len, &hello), -1, "a hello whose lengths don't fit");
	return tap_done();
}
