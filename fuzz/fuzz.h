// SPDX-License-Identifier: MIT
/* What every fuzz target has: the entry point, by libFuzzer's name, and a check that stays in every build. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Takes one input. Returns 0; a property that doesn't hold ends the process. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define fuzz_check(condition)                                                                                          \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "%s:%d: %s: doesn't hold: %s\n", __FILE__, __LINE__, __func__, #condition);    \
			abort();                                                                                       \
		}                                                                                                      \
	} while (0)
