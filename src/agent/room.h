// SPDX-License-Identifier: MIT
/* How many connections the queue of a program's listener still takes, as far as the agent knows: told now and then, and counted in between. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Embedded; zero-initialised, nothing is known, and there is no end to it. */
struct room {
	bool known;
	int64_t places;	 /* of the queue */
	int64_t free;	 /* of these, at the last answer; less than 0: there are more in the queue than it takes, as when it was made shorter */
	int64_t handed;	 /* to it since then; as if none of them had been accepted */
	int64_t pending; /* handed to it, and not known to have come into it: the answer doesn't count these yet */
};

enum { ROOM_ENDLESS = 65535, ROOM_CLOSE = 64 };

/* The kernel's answer: the backlog as listen(2) had it, and how many wait for accept(2). Linux takes one more than the backlog. */
void room_answer(struct room *r, uint32_t backlog, uint32_t waiting);
/* There is none: no such listener, or nobody to ask. */
void room_forget(struct room *r);
/* One is handed over; it has come into the queue, or never will. */
void room_hand(struct room *r);
void room_arrive(struct room *r);

/* How many may be let in; 0: none. */
uint32_t room_left(const struct room *r);
/* Little is left, and an answer might tell of more: it is worth asking before anything else comes. */
bool room_is_close(const struct room *r);
/* Nothing that is known could become more. */
bool room_is_whole(const struct room *r);
