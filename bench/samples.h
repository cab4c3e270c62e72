// SPDX-License-Identifier: MIT
/* Times that were taken, for their percentiles. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct samples {
	uint64_t *ns;
	size_t n, room;
};

void samples_add(struct samples *s, uint64_t ns);
/* @percent 0…100; 0 without samples. Sorts. */
uint64_t samples_percentile(struct samples *s, double percent);
void samples_fini(struct samples *s);
