// SPDX-License-Identifier: MIT
/* The rights that the agent has over the target's network namespace. */
#pragma once

#include <stdint.h>

#include "base/error.h"

/* Keeps of the effective capabilities those in @keep (bits 1 << CAP_…) and gives up all others for good. Returns 0, or -1 with @err. */
int capability_keep(uint64_t keep, struct error *err);
/* 0, or -1 with @err: "stealing needs CAP_NET_ADMIN", with @instead (what still works) as part of the advice. */
int capability_need(int capability, const char *name, const char *what, const char *instead, struct error *err);
