// SPDX-License-Identifier: MIT
/* HTTP/1: the first byte says how the rest is cut into pieces; divided in pieces and in one, the requests must be the same ones, and what the view
 * shows lies in it. The same bytes as a response, and as a body. */
#include "http/h1.h"

#include <string.h>

#include "../tests/unit/http/h1_divide.h"
#include "fuzz.h"

static void check_view(const uint8_t *data, size_t size)
{
	static struct h1_view view;
	struct h1_scan scan = { 0 };
	struct h1_message m;
	ssize_t n = h1_find_head(&scan, data, size);

	fuzz_check(n <= (ssize_t)size && n <= HTTP_HEAD_MAX);
	if (n <= 0 || h1_parse_request(data, (size_t)n, &m, &view) < 0)
		return;
	fuzz_check(view.request.method.len && view.request.n_fields <= HTTP_FIELDS_MAX);
	for (size_t i = 0; i < view.request.n_fields; i++) {
		const struct http_field *f = &view.request.fields[i];

		fuzz_check(f->line >= view.text && f->line + f->len <= view.text + sizeof(view.text));
		fuzz_check(f->name_len && f->name_len + 2 <= f->len && memcmp(f->line + f->name_len, ": ", 2) == 0);
		fuzz_check(!memchr(f->line, '\r', f->len) && !memchr(f->line, '\n', f->len) && !memchr(f->line, '\0', f->len));
	}
}

static void check_response(const uint8_t *data, size_t size)
{
	const struct h1_message request = { 0 };
	struct h1_scan scan = { 0 };
	struct h1_message m;
	ssize_t n = h1_find_head(&scan, data, size);

	if (n > 0 && h1_parse_response(data, (size_t)n, &request, &m) == 0)
		fuzz_check(m.status >= 100 && m.status <= 999 && (m.framing != H1_LENGTH || m.length));
}

static void check_chunks(const uint8_t *data, size_t size)
{
	const struct h1_message chunked = { .framing = H1_CHUNKED };
	struct h1_body whole = h1_body_of(&chunked), bytes = h1_body_of(&chunked);
	ssize_t n = h1_body_take(&whole, data, size), taken = 0, one = 1;
	char *plain;

	for (size_t i = 0; i < size && one == 1; i++) {
		one = h1_body_take(&bytes, data + i, 1);
		taken = one < 0 ? one : taken + one;
	}
	fuzz_check(n == taken && (n < 0 || whole.done == bytes.done));
	if (n < 0 || !whole.done)
		return;
	plain = malloc((size_t)n);
	fuzz_check(plain && h1_unchunk(data, (size_t)n, plain) < (size_t)n);
	free(plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct divider whole, pieces;
	size_t piece;

	if (!size)
		return 0;
	piece = (size_t)data[0] + 1;
	data++;
	size--;
	check_view(data, size);
	check_response(data, size);
	check_chunks(data, size);
	divide_begin(&whole);
	divide(&whole, data, size);
	divide_begin(&pieces);
	for (size_t at = 0; at < size; at += piece)
		divide(&pieces, data + at, size - at < piece ? size - at : piece);
	fuzz_check(strcmp(divide_end(&whole), divide_end(&pieces)) == 0);
	return 0;
}
