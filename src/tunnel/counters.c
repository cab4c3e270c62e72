// SPDX-License-Identifier: MIT
/* Counters on the wire: a row of u16 number, u64 total. */
#include "tunnel/subscription.h"

#include "tunnel/writing.h"

enum { COUNTER_LEN = 10 };

static const char *const texts[COUNTERS] = {
#define COUNTER(NAME, number, text) [number] = (text),
#include "tunnel/counter.def"
#undef COUNTER
};

size_t counters_encode(const uint64_t totals[COUNTERS], uint8_t *ret, size_t size)
{
	uint8_t *p = ret;

	for (unsigned int i = 0; i < COUNTERS; i++)
		if (totals[i] && (size_t)(p - ret) + COUNTER_LEN <= size)
			p = write_u64(write_u16(p, (uint16_t)i), totals[i]);
	return (size_t)(p - ret);
}

int counters_decode(const uint8_t *data, size_t len, uint64_t ret_totals[COUNTERS], struct error *err)
{
	uint64_t totals[COUNTERS] = { 0 };

	if (len % COUNTER_LEN)
		return error_set(err, 0, "counters are malformed: %zu bytes", len);
	for (; len; data += COUNTER_LEN, len -= COUNTER_LEN)
		if (get16(data) < COUNTERS)
			totals[get16(data)] = get64(data + 2);
	memcpy(ret_totals, totals, sizeof(totals));
	return 0;
}

const char *counter_text(unsigned int number)
{
	return number < COUNTERS ? texts[number] : NULL;
}
