// SPDX-License-Identifier: MIT
/* Memory for what lives as long as a stream does: the C library keeps only seven blocks of a size at hand, and many streams end at once. */
#pragma once

#include <nghttp2/nghttp2.h>

enum {
	H2_POOL_BLOCK = 1 << 10, /* longer blocks are the C library's */
	H2_POOL_KEPT = 64 << 10, /* bytes of each size that are kept for the next */
};

/* As malloc(3) and its kind. For one thread. */
void *h2_pool_new(size_t size);
void *h2_pool_new_zeroed(size_t size);
void *h2_pool_resize(void *p, size_t size);
void h2_pool_free(void *p);

/* The same for nghttp2_session_server_new3() and its kind. */
nghttp2_mem *h2_pool_mem(void);
