// SPDX-License-Identifier: MIT
/* Control messages that go with what is sent (cmsg(3)). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "net/addr.h"
#include "net/packet.h"

/* Puts one behind those that @msg has. Its msg_control is the caller's, aligned as a struct cmsghdr, zeroed, and has room for CMSG_SPACE(@size)
 * more. */
void control_put(struct msghdr *msg, int level, int type, const void *value, size_t size);
/* The address that it is sent from (ip(7), IP_PKTINFO); @v4 is the socket's family: one of IPv6 has mapped addresses for IPv4's. */
void control_put_source(struct msghdr *msg, bool v4, const struct ip *from);
/* The TTL and TOS of the IP header, each an int; those that are 0 are left to the socket. */
void control_put_marks(struct msghdr *msg, bool v4, struct packet_marks marks);
