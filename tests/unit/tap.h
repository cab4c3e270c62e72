// SPDX-License-Identifier: MIT
/* The Test Anything Protocol in one header: a check prints where it failed and both values; the plan comes last. */
#pragma once

#include <stdio.h>
#include <string.h>

static int tap_count, tap_failed;

#define tap_ok(condition, ...)                                                                     \
	do {                                                                                       \
		int ok_ = !!(condition);                                                           \
		printf("%sok %d - ", ok_ ? "" : "not ", ++tap_count);                              \
		printf(__VA_ARGS__);                                                               \
		printf("\n");                                                                      \
		if (!ok_) {                                                                        \
			tap_failed++;                                                              \
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #condition);                   \
		}                                                                                  \
		fflush(stdout);                                                                    \
	} while (0)

#define tap_int(got, want, ...)                                                                    \
	do {                                                                                       \
		long long got_ = (long long)(got), want_ = (long long)(want);                      \
		tap_ok(got_ == want_, __VA_ARGS__);                                                \
		if (got_ != want_)                                                                 \
			printf("# got %lld, want %lld\n", got_, want_);                            \
	} while (0)

#define tap_str(got, want, ...)                                                                    \
	do {                                                                                       \
		const char *sgot_ = (got), *swant_ = (want);                                       \
		tap_ok(sgot_ && strcmp(sgot_, swant_) == 0, __VA_ARGS__);                          \
		if (!sgot_ || strcmp(sgot_, swant_) != 0)                                          \
			printf("# got \"%s\", want \"%s\"\n", sgot_ ? sgot_ : "(null)", swant_);   \
	} while (0)

static inline int tap_done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed != 0;
}
