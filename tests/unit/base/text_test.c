// SPDX-License-Identifier: MIT
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#include "tap.h"

enum { PIECES = 10000, MAX = 3 * PIECES };

int main(void)
{
	struct text t = { 0 };
	size_t good = 0, moved = 0;

	tap_ok(text_add(&t, "", 0, 0) && t.at && !*t.at, "a piece of no bytes makes a text of none");
	for (size_t i = 0; i < PIECES; i++) {
		size_t room = t.room;

		good += text_add(&t, "abc", 3, MAX) && t.len == 3 * (i + 1) && strlen(t.at) == t.len;
		moved += t.room != room;
	}
	tap_int(good, PIECES, "every piece");
	tap_ok(moved < 20, "few of them move it: %zu", moved);
	for (size_t i = 0; i < MAX; i++)
		good -= t.at[i] != "abc"[i % 3];
	tap_int(good, PIECES, "what was there stays");
	tap_ok(!text_add(&t, "d", 1, MAX) && t.len == MAX && t.at[MAX - 1] == 'c', "one byte too many");
	tap_ok(!text_add(&t, "d", 1, 10), "a limit that is passed already");
	tap_ok(text_add(&t, "", 0, MAX), "full, and nothing more");
	t.len = 0;
	tap_ok(text_add(&t, "new", 3, MAX) && strcmp(t.at, "new") == 0, "begun anew");
	free(t.at);
	return tap_done();
}
