// SPDX-License-Identifier: MIT
/* Room. The kernel knows the queue's length at the moment of the answer; what is handed over later is taken off what was free then. The program
 * accepts meanwhile, of which nobody hears: so what is left is never more than there is, and grows with the next answer. */
#include "agent/room.h"

void room_answer(struct room *r, uint32_t backlog, uint32_t waiting)
{
	r->known = true;
	r->places = (int64_t)backlog + 1;
	r->free = r->places - waiting - r->pending;
	r->handed = 0;
}

void room_forget(struct room *r)
{
	r->known = false;
	r->handed = 0;
}

void room_hand(struct room *r)
{
	r->handed++;
	r->pending++;
}

void room_arrive(struct room *r)
{
	r->pending--;
}

uint32_t room_left(const struct room *r)
{
	int64_t left = r->free - r->handed;

	if (!r->known || left > ROOM_ENDLESS)
		return ROOM_ENDLESS;
	return left < 0 ? 0 : (uint32_t)left;
}

bool room_is_whole(const struct room *r)
{
	return !r->known || r->free - r->handed >= r->places;
}

bool room_is_close(const struct room *r)
{
	return !room_is_whole(r) && room_left(r) < ROOM_CLOSE;
}
