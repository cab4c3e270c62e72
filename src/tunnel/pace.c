// SPDX-License-Identifier: MIT
/* A transport that takes nothing at all keeps its pace: it may be that its reader gets no processor for a moment. When it has taken
 * something again, after more than a tick, what was before doesn't count any more. */
#include "tunnel/pace.h"

void pace_add(struct pace *p, uint64_t now, uint64_t tick, size_t len)
{
	if (now - p->since >= tick) {
		p->before = now - p->since < 2 * tick ? p->len : 0;
		p->len = 0;
		p->since = now;
	}
	p->len += len;
}

size_t pace_of_late(const struct pace *p)
{
	return p->len > p->before ? p->len : p->before;
}
