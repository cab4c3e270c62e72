// SPDX-License-Identifier: MIT
/* The nftables rules of relay namespace and twin. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "tunnel/info.h"

/* To the namespace that the process is in. */
int relay_rules_apply(bool ipv6, struct error *err);
int twin_rules_apply(const struct target_info *info, bool ipv6, struct error *err);
/* The same in place of those that are there, in one go. */
int twin_rules_replace(const struct target_info *info, bool ipv6, struct error *err);
void twin_rules_remove(void);
