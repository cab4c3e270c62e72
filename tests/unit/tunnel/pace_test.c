// SPDX-License-Identifier: MIT
#include "tunnel/pace.h"

#include "tap.h"

enum { TICK = 10, STEPS = 5 };

static const struct {
	const char *name;
	struct {
		unsigned int at, len;
	} took[STEPS];
	unsigned int now; /* bytes, of late */
} rows[] = {
	{ "nothing", { { 0, 0 } }, 0 },
	{ "once", { { 1000, 7 } }, 7 },
	{ "within a tick it adds up", { { 1000, 7 }, { 1009, 5 } }, 12 },
	{ "the tick before counts while there is less", { { 1000, 7 }, { 1009, 5 }, { 1010, 3 } }, 12 },
	{ "and until there is more", { { 1000, 7 }, { 1009, 5 }, { 1010, 3 }, { 1015, 10 } }, 13 },
	{ "but no tick before that", { { 1000, 70 }, { 1010, 3 }, { 1020, 4 } }, 4 },
	{ "what is too long ago is forgotten", { { 1000, 70 }, { 1020, 3 } }, 3 },
	{ "also when that is the second one", { { 1000, 70 }, { 1010, 3 }, { 5000, 1 } }, 1 },
};

int main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pace p = { 0 };

		for (int k = 0; k < STEPS && rows[i].took[k].at; k++)
			pace_add(&p, rows[i].took[k].at, TICK, rows[i].took[k].len);
		tap_int((long)pace_of_late(&p), (long)rows[i].now, "%s", rows[i].name);
	}
	return tap_done();
}
