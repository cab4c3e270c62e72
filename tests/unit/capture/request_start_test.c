// SPDX-License-Identifier: MIT
#include "capture/request_start.h"

#include <string.h>

#include "guard.h"
#include "tap.h"

static const struct {
	const char *bytes;
	bool want;
} rows[] = {
	{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n", true },
	{ "GET / HTTP/1.0\r\n", true },
	{ "GET / HTTP/1.1\n", true },
	{ "M-SEARCH * HTTP/1.1\r\n", true },
	{ "OPTIONS * HTTP/1.1\r\n", true },
	{ "GET http://a/b?c=d%20e HTTP/1.1\r\n", true },
	{ "GET / HTTP/1.1\r", false },
	{ "GET / HTTP/1.1", false },
	{ "GET / HTTP/1.2\r\n", false },
	{ "GET / HTTP/2.0\r\n", false },
	{ "PRI * HTTP/2.0\r\n", false },
	{ "GET  HTTP/1.1\r\n", false },
	{ "GET HTTP/1.1\r\n", false },
	{ " HTTP/1.1\r\n", false },
	{ "get / HTTP/1.1\r\n", false },
	{ "X-Header: GET / HTTP/1.1\r\n", false },
	{ "HTTP/1.1 200 OK\r\n", false },
	{ "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHI / HTTP/1.1\r\n", false },
	{ "\r\nGET / HTTP/1.1\r\n", false },
	{ "\n", false },
	{ "", false },
};

int main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len = strlen(rows[i].bytes), early = 0;
		const char *end = strchr(rows[i].bytes, '\n');

		tap_int(capture_request_start(guard_copy(rows[i].bytes, len), len), rows[i].want, "row %zu: %.20s", i, rows[i].bytes);
		for (size_t cut = 0; end && cut <= (size_t)(end - rows[i].bytes); cut++)
			early += capture_request_start(guard_copy(rows[i].bytes, cut), cut);
		tap_int(early, 0, "row %zu: not before the line is whole", i);
	}
	return tap_done();
}
