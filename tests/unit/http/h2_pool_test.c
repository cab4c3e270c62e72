// SPDX-License-Identifier: MIT
/* Memory of streams: blocks come again, with nothing of what was in them where that was asked for. */
#include "http/h2_pool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tap.h"

enum { MOST = 3 * H2_POOL_BLOCK };

static bool holds(const unsigned char *p, unsigned char want, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != want)
			return false;
	return true;
}

/* Every size, so also those at the borders between lists and behind the last. */
static void test_sizes(void)
{
	bool good = true;

	for (size_t n = 0; n <= MOST; n++) {
		unsigned char *a = h2_pool_new(n), *b = h2_pool_new(n), *c;

		good = good && a && b && (uintptr_t)a % _Alignof(max_align_t) == 0;
		memset(a, 'a', n);
		memset(b, 'b', n);
		good = good && holds(a, 'a', n);
		h2_pool_free(a);
		c = h2_pool_new_zeroed(n);
		good = good && c && holds(c, 0, n) && holds(b, 'b', n);
		h2_pool_free(b);
		h2_pool_free(c);
	}
	tap_ok(good, "blocks of all sizes are whole, and zeroed when they are to be");
}

static void test_resize(void)
{
	unsigned char *p = NULL;
	bool good = true;
	size_t had = 0;

	for (size_t n = 1; n <= MOST; n += 31) {
		p = h2_pool_resize(p, n);
		good = good && p && holds(p, 'x', had);
		memset(p, 'x', n);
		had = n;
	}
	good = good && h2_pool_resize(p, 1) == p;
	h2_pool_free(p);
	tap_ok(good, "what is made longer keeps what is in it");
}

/* Many at a time, so that lists are full and empty again. */
static void test_many(void)
{
	static unsigned char *all[2 * H2_POOL_KEPT / 64];
	const size_t n = sizeof(all) / sizeof(*all);
	bool good = true;

	for (int turn = 0; turn < 3; turn++) {
		for (size_t i = 0; i < n; i++)
			if ((all[i] = h2_pool_new(64)))
				memset(all[i], (int)(i % 251), 64);
		for (size_t i = 0; i < n; i++)
			good = good && all[i] && holds(all[i], (unsigned char)(i % 251), 64);
		for (size_t i = 0; i < n; i++)
			h2_pool_free(all[i]);
	}
	tap_ok(good, "no block is given twice");
}

int main(void)
{
	nghttp2_mem *mem = h2_pool_mem();
	void *p;

	test_sizes();
	test_resize();
	test_many();
	h2_pool_free(NULL);
	tap_ok(!h2_pool_new(SIZE_MAX) && !mem->calloc(SIZE_MAX / 2, 3, NULL), "there is no memory for that");
	p = mem->calloc(3, 100, NULL);
	tap_ok(p && holds(p, 0, 300), "nghttp2's calloc");
	mem->free(p, NULL);
	return tap_done();
}
