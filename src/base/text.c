// SPDX-License-Identifier: MIT
/* It grows by doubling: a block that is moved for each piece costs the square of its length. */
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

bool text_add(struct text *t, const void *data, size_t len, size_t max)
{
	if (t->len > max || len > max - t->len)
		return false;
	if (!t->at || t->len + len + 1 > t->room) {
		size_t room = 2 * (t->len + len + 1);
		char *more = realloc(t->at, room);

		if (!more)
			return false;
		t->at = more;
		t->room = room;
	}
	if (len)
		memcpy(t->at + t->len, data, len);
	t->len += len;
	t->at[t->len] = '\0';
	return true;
}
