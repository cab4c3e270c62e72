// SPDX-License-Identifier: MIT
/* The first bytes of a connection: what is said of some of them isn't taken back when more come, nor that they are a probe, and a
 * ClientHello's names lie within it. */
#include "http/probe.h"
#include "http/sniff.h"

#include "fuzz.h"

static void check_span(const struct tls_hello *h, struct span s)
{
	const char *text = (const char *)h->text;

	fuzz_check(!s.len || (s.at >= text && s.at + s.len <= text + sizeof(h->text)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tls_hello hello;
	enum sniff said = SNIFF_MORE;
	enum probe probe_said = PROBE_MORE;
	int hello_said = 0;

	for (size_t n = 0; n <= size; n += 1 + n / 8) {
		enum sniff now = sniff_client(data, n);
		enum probe probe = probe_look(PROBE_HTTP | PROBE_HTTPS | PROBE_GRPC | PROBE_TCP, true, data, n, false);
		int h = sniff_tls_hello(data, n, &hello);

		fuzz_check(said == SNIFF_MORE || now == said);
		fuzz_check(h >= -1 && h <= 1 && (hello_said <= 0 || h == 1));
		check_span(&hello, hello.sni);
		check_span(&hello, hello.alpn);
		fuzz_check(probe_said == PROBE_MORE || probe == probe_said);
		said = now;
		probe_said = probe;
		hello_said = h;
		sniff_server_is_http2(data, n);
	}
	return 0;
}
