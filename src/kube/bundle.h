// SPDX-License-Identifier: MIT
/* The agent with all that it needs to run in a container that has nothing of it: its loader and its libraries, as they are on this machine. */
#pragma once

#include <stddef.h>

#include "base/error.h"

enum { BUNDLE_BLOCK = 4096, BUNDLE_FILES = 48 };

/* One after the other in a file, each from a whole block on: dd(1) can take them apart. What fills the last block of one is zeros. */
struct bundle {
	int fd;
	size_t blocks, n;
	struct bundle_file {
		char name[64];
		size_t at, blocks;
	} files[BUNDLE_FILES]; /* "agent", "loader", and libraries by their names */
};

/* Returns 0, or -1 with @err. */
int bundle_make(struct bundle *ret, struct error *err);
void bundle_fini(struct bundle *b);
