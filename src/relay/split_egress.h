// SPDX-License-Identifier: MIT
/* An egress made of two: connections leave by one, datagrams by the other. */
#pragma once

#include "relay/egress.h"

struct split_egress {
	struct egress egress;
	struct egress *connections, *datagrams;
};

/* In the caller's storage. Both parts stay the caller's. */
void split_egress_init(struct split_egress *s, struct egress *connections, struct egress *datagrams);
