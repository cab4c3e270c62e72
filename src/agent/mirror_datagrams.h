// SPDX-License-Identifier: MIT
/* Mirrored datagrams on their way to the programs: one port of the egress for each client's address of a subscription. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "net/loop.h"
#include "relay/egress.h"

struct mirror_datagrams;

enum { MIRROR_FLOWS = 1024 }; /* the one that was silent longest gives way */
#define MIRROR_FLOW_IDLE (60 * LOOP_SECOND)

/* NULL without memory. */
struct mirror_datagrams *mirror_datagrams_new(struct loop *loop);
void mirror_datagrams_free(struct mirror_datagrams *d);

struct mirror_datagram {
	uint32_t key; /* the subscription */
	struct endpoint client, destination; /* who sent it, and where to */
	struct endpoint local, remote;	     /* where it is to leave from and to go to, in the twin */
	struct packet_marks marks;
	const uint8_t *data;
	size_t len;
};
/* What comes to a UDP port of ours (SOCKET_UDP_MARK) is for the program that has it open, and no other: it is left out. Returns 0, or the errno with
 * which there is no port to the program. */
int mirror_datagrams_send(struct mirror_datagrams *d, struct egress *program, const struct mirror_datagram *g);
/* Ends the ports of one subscription; before its egress is gone. */
void mirror_datagrams_drop(struct mirror_datagrams *d, uint32_t key);
