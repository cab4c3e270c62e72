// SPDX-License-Identifier: MIT
/* nftables, through libnftables in this process: no program is started. */
#pragma once

#include "base/error.h"

/* Applies @rules (nft(8) text) as one transaction to the network namespace that the caller is in. Returns 0, or -1 with @err. */
int nft_apply(const char *rules, struct error *err);
