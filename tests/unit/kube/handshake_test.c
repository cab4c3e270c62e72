// SPDX-License-Identifier: MIT
/* WebSocket's handshake: the example of RFC 6455 §1.3, answers whole and cut at every place, SHA-1 by its RFC's examples. */
#include "kube/handshake.h"

#include <stdbool.h>
#include <stdlib.h>

#include "kube/sha1.h"
#include "guard.h"
#include "tap.h"

static void test_key(void)
{
	char key[HANDSHAKE_KEY], accept[BASE64_ROOM(20)];

	handshake_key((const uint8_t *)"the sample nonce", key, accept);
	tap_str(key, "dGhlIHNhbXBsZSBub25jZQ==", "the RFC's key");
	tap_str(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "the RFC's answer to it");
}

static void test_sha1(void)
{
	static const struct {
		const char *text, *sum;
	} rows[] = {
		{ "", "da39a3ee5e6b4b0d3255bfef95601890afd80709" },
		{ "abc", "a9993e364706816aba3e25717850c26c9cd0d89d" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "84983e441c3bd26ebaae4aa1f95129e5e54670f1" },
		{ "0123456701234567012345670123456701234567012345670123456701234567", "e0c094e867ef46c350ef54a7f59dd60bed92ae83" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t sum[SHA1_LEN];
		char hex[2 * SHA1_LEN + 1];

		sha1(rows[i].text, strlen(rows[i].text), sum);
		for (size_t k = 0; k < SHA1_LEN; k++)
			snprintf(hex + 2 * k, 3, "%02x", sum[k]);
		tap_str(hex, rows[i].sum, "SHA-1 of %zu bytes", strlen(rows[i].text));
	}
}

#define ACCEPTED                                                                                                                           \
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nsec-websocket-accept:  abc= \r\n"                                       \
	"Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n"

static const struct {
	const char *name, *text;
	ssize_t len; /* of the whole answer; -1: malformed */
	int status;
	const char *accept, *protocol, *body;
} answers[] = {
	{ "accepted", ACCEPTED "\x82\x01", sizeof(ACCEPTED) - 1, 101, "abc=", "v5.channel.k8s.io", "" },
	{ "refused", "HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nsorry", 49, 403, "", "", "sorr" },
	{ "refused without a body", "HTTP/1.1 404 Not Found\r\n\r\n", 26, 404, "", "", "" },
	{ "refused in chunks", "HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\nX", 73, 500, "",
	  "", "abcde" },
	{ "a header of the same beginning", "HTTP/1.1 400 Bad\r\nContent-Length-X: 9\r\n\r\n", 41, 400, "", "", "" },
	{ "a chunk without a length", "HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", -1, 0, "", "", "" },
	{ "a body that is too long", "HTTP/1.1 500 Oops\r\nContent-Length: 99999999\r\n\r\n", -1, 0, "", "", "" },
	{ "another protocol", "SSH-2.0-OpenSSH_9.2\r\n", -1, 0, "", "", "" },
	{ "no status", "HTTP/1.1 abc\r\n\r\n", -1, 0, "", "", "" },
	{ "a status that is none", "HTTP/1.1 042 Low\r\n\r\n", -1, 0, "", "", "" },
};

static ssize_t parse(const char *text, size_t len, struct handshake_answer *a, char *body)
{
	char *copy = (char *)guard_copy((const uint8_t *)text, len);
	ssize_t n = handshake_parse(copy, len, a);

	if (n > 0)
		snprintf(body, 100, "%.*s", (int)a->body_len, copy + a->body);
	return n;
}

static void test_answers(void)
{
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		size_t len = strlen(answers[i].text), early = 0;
		struct handshake_answer a = { 0 };
		char body[100] = "";

		tap_int((int)parse(answers[i].text, len, &a, body), (int)answers[i].len, "%s", answers[i].name);
		tap_int(a.status, answers[i].status, "%s: status", answers[i].name);
		tap_str(a.accept, answers[i].accept, "%s: accept", answers[i].name);
		tap_str(a.protocol, answers[i].protocol, "%s: protocol", answers[i].name);
		tap_str(body, answers[i].body, "%s: body", answers[i].name);
		for (ssize_t cut = 0; cut < answers[i].len; cut++)
			early += parse(answers[i].text, (size_t)cut, &a, body) != 0;
		tap_int((int)early, 0, "%s: cut anywhere, it asks for more", answers[i].name);
	}
}

int main(void)
{
	test_key();
	test_sha1();
	test_answers();
	return tap_done();
}
