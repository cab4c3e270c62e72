// SPDX-License-Identifier: MIT
/* free(3) gives back what lies at the heap's end alone; one block there that is in use keeps all below it. */
#include "base/memory.h"

#include <malloc.h>
#include <stddef.h>

#ifdef __GLIBC__
enum { FREE_MAX = 512 << 10, KEEP = 64 << 10 };

void memory_trim(void)
{
	if (mallinfo2().fordblks > FREE_MAX)
		malloc_trim(KEEP);
}
#else
void memory_trim(void)
{
}
#endif
