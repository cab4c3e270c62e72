// SPDX-License-Identifier: MIT
/* A filter out of the configuration, up to the first NUL byte, and behind it a request's body: it is compiled or refused with words, and asked
 * about a few requests. No jq: a program would be another process. */
#include "http/filter.h"

#include <string.h>

#include "../tests/unit/http/make_request.h"
#include "fuzz.h"

static void ask(struct http_filter *f, const char *text, struct span body)
{
	struct made_request m;
	enum http_verdict before, after;

	make_request(&m, text);
	ip_parse("10.1.2.3", &m.request.client);
	m.request.sni = span_of("shop.example");
	m.request.alpn = span_of("\x02h2\x08http/1.1");
	before = http_filter_match(f, &m.request);
	m.request.body_state = HTTP_BODY_WHOLE;
	m.request.body = body;
	after = http_filter_match(f, &m.request);
	fuzz_check(after != HTTP_NEEDS_BODY && (before == HTTP_NEEDS_BODY || before == after));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = memchr(data, 0, size);
	struct error err = { 0 };
	struct http_filter *f;

	if (!end || memmem(data, size, "jq", 2))
		return 0;
	if (memmem(data, size, "\"query\"", 7) && !memmem(data, size, "\"body\"", 6))
		return 0; /* inside of lists, a string there is a jq program */
	f = http_filter_parse((const char *)data, &err);
	fuzz_check(!f == error_is_set(&err));
	if (!f)
		return 0;
	ask(f, "POST /shop.Cart/Add?user=7&x=%20\nhost: shop:80\ncontent-type: application/grpc\ncookie: a=1; b=2\nx-user: alice",
	    (struct span){ (const char *)end + 1, size - (size_t)(end - data) - 1 });
	http_filter_free(f);
	return 0;
}
