// SPDX-License-Identifier: MIT
#include "samples.h"

#include <err.h>
#include <stdlib.h>

void samples_add(struct samples *s, uint64_t ns)
{
	if (s->n == s->room) {
		s->room = s->room ? 2 * s->room : 4096;
		s->ns = reallocarray(s->ns, s->room, sizeof(*s->ns));
		if (!s->ns)
			err(1, "remember %zu times", s->room);
	}
	s->ns[s->n++] = ns;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

uint64_t samples_percentile(struct samples *s, double percent)
{
	if (!s->n)
		return 0;
	qsort(s->ns, s->n, sizeof(*s->ns), compare);
	return s->ns[(size_t)(percent / 100 * (double)(s->n - 1) + 0.5)];
}

void samples_fini(struct samples *s)
{
	free(s->ns);
	*s = (struct samples){ 0 };
}
