// SPDX-License-Identifier: MIT
/* Which addresses are gateways of the calling process's network namespace: a pod's is mostly its node, whose kubelet asks from there. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "net/addr.h"

enum { GATEWAYS = 8 };

struct gateways {
	struct ip all[GATEWAYS];
	size_t n;
	uint64_t asked;
};

/* Asks the kernel anew once a minute; @now in ns. */
bool gateways_have(struct gateways *g, const struct ip *ip, uint64_t now);
