// SPDX-License-Identifier: MIT
/* Picking requests: the first byte says which filter, the second how the rest is cut into pieces; picked in pieces and in one, it must be the
 * same, and no more than was sent. A gap may follow anything. */
#include "http/picker.h"

#include "../tests/unit/http/picking.h"
#include "fuzz.h"

static const char *const texts[] = {
	"{\"header_filter\": \"^x-user: a\"}",
	"{\"any_of\": [{\"body\": \"json\", \"query\": \"$.a\", \"matches\": \"1\"}, {\"sni\": \"shop\"}]}",
	"{\"not\": {\"path\": \"x\"}}",
};
enum { FILTERS = sizeof(texts) / sizeof(texts[0]) };

static struct http_filter *filter_at(size_t i)
{
	static struct http_filter *filters[FILTERS];
	struct error err = { 0 };

	if (!filters[i])
		filters[i] = http_filter_parse(texts[i], &err);
	fuzz_check(filters[i]);
	return filters[i];
}

static void with_gaps(struct http_filter *f, const uint8_t *data, size_t size, size_t piece)
{
	static struct picked got;
	const struct ip client = { 0 };
	struct picker *p = picker_new(f, PICKED_BODY_MAX, &client, &picked_events, &got);

	got.len = 0;
	for (size_t at = 0; p && at < size; at += 2 * piece) {
		picker_data(p, data + at, size - at < piece ? size - at : piece);
		fuzz_check(picker_kept(p) <= 2 * (HTTP_HEAD_MAX + PICKED_BODY_MAX + size));
		if (!picker_gap(p, piece))
			picker_restart(p);
	}
	picker_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct picked whole, pieces;
	const struct ip client = { 0 };
	struct http_filter *f;
	struct picker *p;
	size_t piece;

	if (size < 2)
		return 0;
	f = filter_at(data[0] % FILTERS);
	piece = (size_t)data[1] + 1;
	data += 2;
	size -= 2;
	pick_all(f, data, size, SIZE_MAX - 1, &whole);
	pieces.len = 0;
	pieces.text[0] = '\0';
	p = picker_new(f, PICKED_BODY_MAX, &client, &picked_events, &pieces);
	for (size_t at = 0; p && at < size; at += piece)
		picker_data(p, data + at, size - at < piece ? size - at : piece);
	picker_end(p);
	picker_free(p);
	fuzz_check(whole.len == pieces.len && memcmp(whole.text, pieces.text, whole.len) == 0);
	with_gaps(f, data, size, piece);
	return 0;
}
