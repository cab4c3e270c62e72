// SPDX-License-Identifier: MIT
/* Memory that is free goes back to the kernel. */
#pragma once

/* To be called now and then: after many connections have ended, the heap still has their pages. Does nothing while they are few. */
void memory_trim(void);
