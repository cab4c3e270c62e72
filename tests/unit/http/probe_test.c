// SPDX-License-Identifier: MIT
/* What the kubelet sends and what others do, whole and cut at every byte: nothing is said before it is known, and nothing else afterwards. */
#include "http/probe.h"

#include "guard.h"
#include "tap.h"

enum { ALL = PROBE_HTTP | PROBE_HTTPS | PROBE_GRPC | PROBE_TCP, NODE = 1, ELSEWHERE = 0 };

#define KUBELET                                                                                                        \
	"GET /ready HTTP/1.1\r\nHost: 10.244.1.5:8080\r\nUser-Agent: kube-probe/1.37\r\nAccept: */*\r\nConnection: close\r\n\r\n"
#define CURL	"GET /ready HTTP/1.1\r\nHost: shop\r\nUser-Agent: curl/8.0 kube-probe/1.37\r\n\r\n"
#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
/* A ClientHello of TLS 1.2 without extensions, and one that asks for "shop". */
#define RANDOM "01234567890123456789012345678901"
#define HELLO  "\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x03" RANDOM "\x00\x00\x02\x13\x01\x01\x00"
#define NAMED                                                                                                          \
	"\x16\x03\x01\x00\x3c\x01\x00\x00\x38\x03\x03" RANDOM                                                          \
	"\x00\x00\x02\x13\x01\x01\x00\x00\x0d\x00\x00\x00\x09\x00\x07\x00\x00\x04shop"

#define BYTES(text) (const uint8_t *)(text), sizeof(text) - 1

static const struct {
	const char *name;
	unsigned int kinds;
	bool from_node;
	const uint8_t *data;
	size_t len;
	enum probe is;
	size_t known; /* after how many bytes; 0: all of them */
} rows[] = {
	{ "HTTP", PROBE_HTTP, NODE, BYTES(KUBELET), PROBE_YES, 0 },
	{ "HTTP from an address that nobody knows", PROBE_HTTP, ELSEWHERE, BYTES(KUBELET), PROBE_YES, 0 },
	{ "HTTP where only TCP is probed", PROBE_TCP, NODE, BYTES(KUBELET), PROBE_NO, 21 },
	{ "another client", ALL, NODE, BYTES(CURL), PROBE_NO, 0 },
	{ "a request without fields", PROBE_HTTP, NODE, BYTES("GET / HTTP/1.0\r\n\r\n"), PROBE_NO, 0 },
	{ "gRPC", PROBE_GRPC, NODE, BYTES(PREFACE), PROBE_STREAMS, 0 },
	{ "gRPC from elsewhere", PROBE_GRPC, ELSEWHERE, BYTES(PREFACE), PROBE_NO, 0 },
	{ "HTTP/2 where gRPC isn't probed", PROBE_HTTP | PROBE_TCP, NODE, BYTES(PREFACE), PROBE_NO, 0 },
	{ "HTTPS", PROBE_HTTPS, NODE, BYTES(HELLO), PROBE_YES, 0 },
	{ "HTTPS from elsewhere", PROBE_HTTPS, ELSEWHERE, BYTES(HELLO), PROBE_NO, 2 },
	{ "TLS where HTTPS isn't probed", PROBE_HTTP, NODE, BYTES(HELLO), PROBE_NO, 2 },
	{ "TLS with a name", PROBE_HTTPS, NODE, BYTES(NAMED), PROBE_NO, 0 },
	{ "Redis", ALL, NODE, BYTES("*1\r\n$4\r\nPING\r\n"), PROBE_NO, 1 },
};

static void test_row(size_t i)
{
	size_t known = rows[i].known ? rows[i].known : rows[i].len, early = 0, other = 0;

	for (size_t n = 0; n <= rows[i].len; n++) {
		uint8_t *data = guard_copy(rows[i].data, n);
		enum probe is = probe_look(rows[i].kinds, rows[i].from_node, data, n, false);

		early += n < known && is != PROBE_MORE;
		other += n >= known && is != rows[i].is;
	}
	tap_int(early, 0, "%s: nothing is said too early", rows[i].name);
	tap_int(other, 0, "%s: as soon as it is known", rows[i].name);
}

static void test_ends(void)
{
	tap_int(probe_look(PROBE_TCP, true, NULL, 0, false), PROBE_MORE, "not a word so far");
	tap_int(probe_look(PROBE_TCP, true, NULL, 0, true), PROBE_YES, "TCP: an end without a word");
	tap_int(probe_look(PROBE_TCP, false, NULL, 0, true), PROBE_NO, "the same from elsewhere");
	tap_int(probe_look(PROBE_HTTP, true, NULL, 0, true), PROBE_NO, "the same where TCP isn't probed");
	tap_int(probe_look(ALL, true, BYTES("GET /re"), true), PROBE_NO, "an end in the middle");
	tap_int(probe_look(PROBE_HTTP, true, BYTES(KUBELET), true), PROBE_YES, "an end behind the request");
}

/* A head that has no end. */
static void test_long(void)
{
	static uint8_t head[PROBE_LOOK];

	memset(head, 'a', sizeof(head));
	memcpy(head, BYTES("GET / HTTP/1.1\r\nX: "));
	tap_int(probe_look(PROBE_HTTP, true, head, sizeof(head) - 1, false), PROBE_MORE, "a long head");
	tap_int(probe_look(PROBE_HTTP, true, head, sizeof(head), false), PROBE_NO,
		"one that is too long for the kubelet's");
}

int main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		test_row(i);
	test_ends();
	test_long();
	return tap_done();
}
