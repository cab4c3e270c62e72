// SPDX-License-Identifier: MIT
/* HTTP/2: pieces of bytes from the client and from two servers, in the order and the lengths that the input says: { u8 whose and how long,
 * bytes }…. Nothing breaks, and what is sent comes to an end. */
#include "http/h2.h"

#include <string.h>

#include "fuzz.h"

struct run {
	struct h2 *h2;
	struct h2_link *links[2];
	unsigned int chosen;
	bool lacks; /* each second time, for some methods, an answer */
};

static struct h2_link *choose(void *arg, struct http_request *r, enum h2_lack *ret_lacks)
{
	struct run *run = arg;

	if (r->body_state == HTTP_BODY_AHEAD && r->method.len == 4) {
		*ret_lacks = H2_LACKS_BODY;
		return NULL;
	}
	run->lacks ^= r->method.len == 5;
	if (run->lacks && r->method.len == 5) {
		*ret_lacks = H2_LACKS_ANSWERS;
		return NULL;
	}
	return run->links[run->chosen++ % 2];
}

/* Nothing is asked here; so whoever lacks an answer has it when that is looked at. */
static uint64_t on_wait(void *arg)
{
	return 1;
}

static const char PREFACE[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
static const uint8_t SETTINGS[] = { 0, 0, 0, 4, 0, 0, 0, 0, 0 };

static void pull(struct h2_link *l)
{
	const uint8_t *data;
	size_t total = 0, n;

	while ((n = h2_pull(l, &data)) > 0) {
		total += n;
		fuzz_check(total < 64 << 20);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct h2_events events = { .choose = choose, .on_wait = on_wait };
	struct run run = { .h2 = h2_new(&events, &run, 1000) };

	fuzz_check(run.h2);
	for (int i = 0; i < 2; i++)
		run.links[i] = h2_connect(run.h2, i == 0);
	h2_receive(run.links[0], SETTINGS, sizeof(SETTINGS));
	h2_greet(run.h2);
	h2_receive(h2_client(run.h2), (const uint8_t *)PREFACE, sizeof(PREFACE));
	while (size) {
		unsigned int whose = data[0] >> 6;
		size_t n = (data[0] & 63u) + 1 < size - 1 ? (data[0] & 63u) + 1 : size - 1;
		struct h2_link *l = whose >= 2 ? h2_client(run.h2) : run.links[whose];

		if (l)
			h2_receive(l, data + 1, n);
		if (whose == 1 && n == 64 && l) {
			h2_disconnect(l, "gone");
			run.links[1] = NULL;
		}
		h2_take_answers(run.h2);
		pull(h2_client(run.h2));
		for (int i = 0; i < 2; i++)
			if (run.links[i])
				pull(run.links[i]);
		data += n + 1;
		size -= n + 1;
	}
	h2_give_up_bodies(run.h2, 1);
	h2_free(run.h2);
	return 0;
}
