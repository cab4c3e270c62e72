// SPDX-License-Identifier: MIT
/* Pauses between attempts that fail. */
#pragma once

#include <stdint.h>

/* How long to wait after the attempt number @failed (0 is the first) has failed: @first, then twice as long each time, with @doublings at most. In
 * @first's unit. */
static inline uint64_t backoff(uint64_t first, unsigned int failed, unsigned int doublings)
{
	return first << (failed < doublings ? failed : doublings);
}
