// SPDX-License-Identifier: MIT
/* UDP datagrams that leave from any address and port, whoever has them: CAP_NET_RAW and CAP_NET_ADMIN. */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "net/addr.h"
#include "net/packet.h"

/* One socket per family that only sends; what it sends carries @mark (0: none). Both -1 to begin with. */
struct raw_udp {
	int fds[2]; /* IPv4, IPv6; -1: none */
};

/* Returns 0, or -1 with @err. A host without IPv6 has no second socket. */
int raw_udp_open(struct raw_udp *r, uint32_t mark, struct error *err);
void raw_udp_close(struct raw_udp *r);
/* Returns 0 (also when it was dropped because of load) or an errno. The kernel fragments where that is needed. */
int raw_udp_send(const struct raw_udp *r, const struct endpoint *from, const struct endpoint *to, struct packet_marks marks, const void *data,
		 size_t len);
