// SPDX-License-Identifier: MIT
/* HTTP/2 from a client, HTTP/1 from a server, in the order and the lengths that the input says: { u8 what and how long, bytes }…. Nothing breaks, and
 * what is sent comes to an end. */
#include "http/gateway.h"

#include <string.h>

#include "base/list.h"
#include "fuzz.h"

enum { EXCHANGES = 16, SENT_MAX = 64 << 20 };

struct run {
	struct exchange *exchanges[EXCHANGES]; /* that have a connection */
	int owner;			       /* whose address all of them have */
};

static void on_exchange(void *arg, struct exchange *x)
{
	struct run *run = arg;

	for (size_t i = 0; i < EXCHANGES; i++) {
		if (run->exchanges[i])
			continue;
		run->exchanges[i] = x;
		exchange_set_owner(x, &run->owner);
		return;
	}
	exchange_fail(x, "too many");
}

static void forget(struct run *run, const struct exchange *x)
{
	for (size_t i = 0; i < EXCHANGES; i++)
		if (run->exchanges[i] == x)
			run->exchanges[i] = NULL;
}

static void on_cancel(void *arg, struct exchange *x)
{
	forget(arg, x);
}

static void answer(struct run *run, struct exchange *x, const uint8_t *data, size_t len)
{
	bool keeps;

	if (len == 64)
		exchange_end(x);
	else if (exchange_has_room(x) && !exchange_is_done(x, &keeps))
		exchange_receive(x, data, len);
	if (exchange_is_done(x, &keeps)) {
		exchange_let_go(x);
		forget(run, x);
	}
}

static void move(struct run *run, struct gateway *g)
{
	const uint8_t *data;
	size_t total = 0, n;

	for (size_t i = 0; i < EXCHANGES; i++)
		if (run->exchanges[i] && (n = exchange_request(run->exchanges[i], &data)) > 0)
			exchange_sent(run->exchanges[i], n);
	while ((n = gateway_pull(g, &data)) > 0) {
		total += n;
		fuzz_check(total < SENT_MAX);
	}
}

static const char PREFACE[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct gateway_events events = { .on_exchange = on_exchange, .on_cancel = on_cancel };
	struct run run = { { NULL }, 0 };
	struct gateway *g = gateway_new(&events, &run);

	fuzz_check(g);
	gateway_receive(g, (const uint8_t *)PREFACE, sizeof(PREFACE));
	while (size > 1) {
		unsigned int what = data[0] >> 6;
		size_t n = (data[0] & 63u) + 1 < size - 1 ? (data[0] & 63u) + 1 : size - 1;

		if (what >= 2)
			gateway_receive(g, data + 1, n);
		else if (run.exchanges[what])
			answer(&run, run.exchanges[what], data + 1, n);
		move(&run, g);
		data += n + 1;
		size -= n + 1;
	}
	gateway_free(g);
	return 0;
}
