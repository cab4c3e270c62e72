// SPDX-License-Identifier: MIT
/* nftables, through libnftables in this process: no program is started. */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/* Applies @rules (nft(8) text) as one transaction to the network namespace that the caller is in; names the piece of the kernel that is
 * missing when it is one. Returns 0, or -1 with @err. */
int nft_apply(const char *rules, struct error *err);

/* A connection to nftables that stays. A table with `flags owner` (Linux 5.12) belongs to the connection that made it: nobody else can
 * change it, and it goes when the connection is closed or its process dies. NULL with @err. */
struct nft;
struct nft *nft_open(struct error *err);
void nft_close(struct nft *n);
/* One transaction. Returns 0, or -1 with @err. */
int nft_run(struct nft *n, const char *rules, struct error *err);

/* True when the kernel has no @module ("nft_tproxy"). Tries it. */
bool nft_lacks(const char *module);
/* Sets the advice to the piece that the kernel lacks, if one is missing. @without stands behind it: what is to be had all the same. */
void nft_name_missing_piece(struct error *err, const char *without);
