// SPDX-License-Identifier: MIT
/* A backlog: one block, which moves its bytes to the front before it grows. */
#include "relay/backlog.h"

#include <stdlib.h>
#include <string.h>

/* Makes room for @len more. What is added once, as a rule, gets just that; what is added to again grows by doubling. */
static bool make_room(struct backlog *b, size_t len)
{
	size_t have = backlog_len(b), room = b->room;
	uint8_t *data;

	if (b->at) {
		memmove(b->data, b->data + b->at, have);
		b->at = 0;
		b->end = (uint32_t)have;
	}
	if (have + len <= room)
		return true;
	room = have + len > 2 * room ? have + len : 2 * room;
	if (room > UINT32_MAX || !(data = realloc(b->data, room)))
		return false;
	b->data = data;
	b->room = (uint32_t)room;
	return true;
}

bool backlog_add(struct backlog *b, const void *data, size_t len)
{
	if (!len)
		return true;
	if (b->room - b->end < len && !make_room(b, len))
		return false;
	memcpy(b->data + b->end, data, len);
	b->end += (uint32_t)len;
	return true;
}

void backlog_take(struct backlog *b, size_t len)
{
	b->at += (uint32_t)len;
	if (b->at == b->end)
		backlog_fini(b);
}

void backlog_fini(struct backlog *b)
{
	free(b->data);
	*b = (struct backlog){ 0 };
}
