// SPDX-License-Identifier: MIT
/* Which addresses are the calling process's network namespace's own. */
#pragma once

#include <stdbool.h>

#include "net/addr.h"

struct local_addresses;

struct local_addresses *local_addresses_new(void); /* NULL without memory */
/* Asks the kernel anew when @ip is not known and routes have changed, or a second has passed; @now in ns. Any is taken while the
 * kernel doesn't tell. */
bool local_addresses_has(struct local_addresses *l, const struct ip *ip, uint64_t now);
