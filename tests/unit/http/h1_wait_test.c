// SPDX-License-Identifier: MIT
/* Bodies that are waited for, whole, byte by byte and at every split. What was given once is overwritten until it is shown, so that a byte that is
 * looked at twice isn't the same. */
#include "http/h1_wait.h"

#include <stdlib.h>

#include "tap.h"

enum { MOST = 20 };

static const struct {
	const char *name, *sent;
	bool chunked;
	unsigned int length;
	const char *seen; /* NULL: none */
} rows[] = {
	{ "a length", "hello", false, 5, "hello" },
	{ "what follows isn't its", "hellogoodbye", false, 5, "hello" },
	{ "nothing", "x", false, 0, "" },
	{ "as long as can be", "12345678901234567890", false, 20, "12345678901234567890" },
	{ "too long, as its head says", "", false, 21, NULL },
	{ "chunks", "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", true, 0, "abc" },
	{ "chunks, and what follows", "1\r\na\r\n0\r\nT: v\r\n\r\nGET", true, 0, "a" },
	{ "too many chunks", "1\r\na\r\n1\r\na\r\n1\r\na\r\n1\r\na\r\n0\r\n\r\n", true, 0, NULL },
	{ "a broken chunk", "2\r\nabc", true, 0, NULL },
};

static bool run(size_t i, size_t split)
{
	const struct h1_message m = { .framing = rows[i].chunked ? H1_CHUNKED : rows[i].length ? H1_LENGTH : H1_EMPTY, .length = rows[i].length };
	size_t len = strlen(rows[i].sent), at = 0, n;
	struct h1_wait w = h1_wait_begin(&m);
	struct http_request r = { .body_state = HTTP_BODY_AHEAD };
	uint8_t *bytes = malloc(len + 1);
	bool known = h1_wait_more(&w, bytes, 0, MOST), good;
	char *made;

	while (at < len && !known) {
		n = split == SIZE_MAX ? 1 : at < split && split < len ? split - at : len - at;
		memset(bytes, 0xee, at);
		memcpy(bytes + at, rows[i].sent + at, n);
		at += n;
		known = h1_wait_more(&w, bytes, at, MOST);
	}
	memcpy(bytes, rows[i].sent, len);
	h1_wait_show(&w, bytes, &r, &made);
	if (rows[i].seen)
		good = known && r.body_state == HTTP_BODY_WHOLE && span_equal(r.body, span_of(rows[i].seen));
	else
		good = known && r.body_state == HTTP_BODY_UNKNOWN;
	free(made);
	free(bytes);
	return good;
}

int main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t bad = 0, len = strlen(rows[i].sent);

		for (size_t split = 0; split <= len; split++)
			bad += !run(i, split == len ? SIZE_MAX : split);
		tap_int(bad, 0, "%s", rows[i].name);
	}
	return tap_done();
}
