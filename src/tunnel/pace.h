// SPDX-License-Identifier: MIT
/* How much a transport took of late. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Zero-initialise before use. */
struct pace {
	uint64_t since;	     /* when the time began that @len is of */
	size_t len, before; /* bytes in it, in the one before */
};

/* It took @len bytes; the clock's and the tick's units are the caller's. */
void pace_add(struct pace *p, uint64_t now, uint64_t tick, size_t len);
/* The most that it took in a tick, of the last two in which it took something. */
size_t pace_of_late(const struct pace *p);
