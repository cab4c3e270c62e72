// SPDX-License-Identifier: MIT
/* Heads of answers and what they are marked with. */
#include "http/marks.h"

#include <string.h>

#include "guard.h"
#include "tap.h"

#define CACHE "Cache-Control: no-cache, no-store, must-revalidate\r\n"

static const struct {
	const char *name;
	struct http_marks marks;
	const char *head, *marked;
} rows[] = {
	{ "nothing", { NULL, false }, "HTTP/1.1 200 OK\r\nA: b\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n\r\n" },
	{ "who", { "passed-through", false }, "HTTP/1.1 200 OK\r\nA: b\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\r\nMirrord-Agent: passed-through\r\n\r\n" },
	{ "no cache", { NULL, true }, "HTTP/1.1 200 OK\r\nA: b\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n" CACHE "\r\n" },
	{ "both, in place of what was there", { "x", true }, "HTTP/1.1 200 OK\r\ncache-CONTROL: max-age=5\r\nA: b\r\nCache-Control: private\r\n\r\n",
	  "HTTP/1.1 200 OK\r\nA: b\r\nMirrord-Agent: x\r\n" CACHE "\r\n" },
	{ "a name that begins like it", { NULL, true }, "HTTP/1.1 200 OK\r\nCache-Controls: b\r\nCache-Contro: c\r\n\r\n",
	  "HTTP/1.1 200 OK\r\nCache-Controls: b\r\nCache-Contro: c\r\n" CACHE "\r\n" },
	{ "no fields", { "x", false }, "HTTP/1.1 204\r\n\r\n", "HTTP/1.1 204\r\nMirrord-Agent: x\r\n\r\n" },
	{ "empty lines in front", { "x", false },
	  "\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\n", "\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\nMirrord-Agent: x\r\n\r\n" },
};

int main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len = strlen(rows[i].head), n;
		uint8_t out[512];

		n = http_mark_head(&rows[i].marks, guard_copy(rows[i].head, len), len, out);
		tap_ok(n == strlen(rows[i].marked) && memcmp(out, rows[i].marked, n) == 0, "%s: %.*s", rows[i].name, (int)n, out);
		tap_ok(n <= len + HTTP_MARKS_MAX, "%s: within the bound", rows[i].name);
	}
	return tap_done();
}
