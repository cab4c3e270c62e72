// SPDX-License-Identifier: MIT
/* What is left of a queue, step by step. */
#include "agent/room.h"

#include <stdio.h>
#include <string.h>

#include "tap.h"

/* Steps: "h" hands one over, "a" has one arrive, "f" forgets, "Q/W" is an answer: backlog and how many wait. */
static const struct {
	const char *name, *steps;
	uint32_t left;
	bool close, whole;
} rows[] = {
	{ "nothing is known", "", ROOM_ENDLESS, false, true },
	{ "an empty queue", "3/0", 4, false, true },
	{ "a backlog of 0 is one place", "0/0", 1, false, true },
	{ "a full queue", "3/4", 0, true, false },
	{ "a queue that was made shorter", "3/9", 0, true, false },
	{ "some wait", "128/100", 29, true, false },
	{ "some wait, and there is much room", "128/10", 119, false, false },
	{ "one was handed over", "3/0 h", 3, true, false },
	{ "it has arrived, and may be there still", "3/0 h a", 3, true, false },
	{ "as the answer says", "3/0 h a 3/1", 3, true, false },
	{ "it has been accepted", "3/0 h a 3/0", 4, false, true },
	{ "it hasn't arrived, and is no part of the answer", "3/0 h 3/0", 3, true, false },
	{ "nor of the next one", "3/0 h 3/0 3/0", 3, true, false },
	{ "it arrives after the answer", "3/0 h 3/0 a", 3, true, false },
	{ "and is part of the next one", "3/0 h 3/0 a 3/1", 3, true, false },
	{ "the queue is used up", "3/0 h h h h", 0, true, false },
	{ "all were accepted", "3/0 h h h h a a a a 3/0", 4, false, true },
	{ "half were", "3/0 h h h h a a a a 3/2", 2, true, false },
	{ "a longer backlog", "3/4 16/4", 13, true, false },
	{ "a shorter one", "16/4 3/4", 0, true, false },
	{ "the longest backlog", "2147483647/0", ROOM_ENDLESS, false, true },
	{ "and what the kernel makes of -1", "4294967295/4294967295", 1, true, false },
	{ "the listener is gone", "3/4 f", ROOM_ENDLESS, false, true },
	{ "there is another one, and one still on its way to it", "3/4 h f 3/0", 3, true, false },
};

static void play(struct room *r, const char *steps)
{
	for (const char *s = steps; *s; s += strcspn(s, " "), s += strspn(s, " ")) {
		unsigned int backlog, waiting;

		if (*s == 'h')
			room_hand(r);
		else if (*s == 'a')
			room_arrive(r);
		else if (*s == 'f')
			room_forget(r);
		else if (sscanf(s, "%u/%u", &backlog, &waiting) == 2)
			room_answer(r, backlog, waiting);
	}
}

int main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct room r = { 0 };

		play(&r, rows[i].steps);
		tap_int(room_left(&r), rows[i].left, "%s: left", rows[i].name);
		tap_int(room_is_close(&r), rows[i].close, "%s: little is", rows[i].name);
		tap_int(room_is_whole(&r), rows[i].whole, "%s: all is", rows[i].name);
	}
	return tap_done();
}
