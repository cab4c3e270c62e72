// SPDX-License-Identifier: MIT
/* Picking requests out of HTTP/2: pieces of the client's bytes and of the program's, and holes, in the order and the lengths that the input says: the
 * first byte says which filter, then { u8 what and how long, bytes }…. Nothing breaks, what is sent comes to an end, and nothing is kept then. */
#include "http/picker.h"

#include <stdlib.h>

#include "fuzz.h"
#include "http/sniff.h"

enum { BODY_MAX = 1000, PULLED_MAX = 64 << 20 };

struct run {
	struct picker *picker;
	size_t wanted;
};

static void on_event(void *arg, enum picker_event what)
{
	struct run *run = arg;

	run->wanted += what == PICKER_WANTED;
	if (what == PICKER_WANTED && picker_is_left(run->picker))
		picker_disconnect(run->picker);
}

static void on_bytes(void *arg, const uint8_t *data, size_t len)
{
	abort();
}

static struct http_filter *filter_at(size_t i)
{
	static const char *const texts[] = { "{\"header_filter\": \"a\"}",
					     "{\"body_filter\": {\"body\": \"json\", \"query\": \"$.a\", \"matches\": \"1\"}}" };
	static struct http_filter *filters[2];
	struct error err = { 0 };

	if (!filters[i])
		filters[i] = http_filter_parse(texts[i], &err);
	fuzz_check(filters[i]);
	return filters[i];
}

static void pull(struct run *run)
{
	const uint8_t *data;
	size_t total = 0, n;

	while ((n = picker_pull(run->picker, &data)) > 0) {
		total += n;
		fuzz_check(run->wanted && total < PULLED_MAX);
	}
}

static void give(struct run *run, const uint8_t *data, size_t len, unsigned int what)
{
	if (what >= 2)
		picker_data(run->picker, data, len);
	else if (what == 1 && !picker_answer(run->picker, data, len))
		picker_disconnect(run->picker);
	else if (what == 0 && !picker_gap(run->picker, len))
		fuzz_check(!picker_is_http2(run->picker));
	pull(run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct picker_events events = { on_event, on_bytes };
	const struct ip client = { 0 };
	struct run run = { 0 };

	if (!size)
		return 0;
	run.picker = picker_new(filter_at(*data++ & 1), BODY_MAX, &client, &events, &run);
	fuzz_check(run.picker);
	picker_data(run.picker, (const uint8_t *)SNIFF_HTTP2_PREFACE, SNIFF_PREFACE);
	for (size--; size > 1;) {
		size_t n = (data[0] & 63u) + 1 < size - 1 ? (data[0] & 63u) + 1 : size - 1;

		give(&run, data + 1, n, data[0] >> 6);
		data += n + 1;
		size -= n + 1;
	}
	picker_end(run.picker);
	pull(&run);
	if (picker_is_over(run.picker))
		fuzz_check(!picker_kept(run.picker));
	picker_forget(run.picker);
	fuzz_check(!picker_kept(run.picker));
	picker_free(run.picker);
	return 0;
}
