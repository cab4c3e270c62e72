// SPDX-License-Identifier: MIT
/* Asking the kernel's connection tracking, where the network namespace has it (nf_conntrack_netlink). */
#pragma once

#include "net/addr.h"

struct conntrack;

/* Of the network namespace that the caller is in now. NULL without memory or sockets. Nothing is asked, and no module is loaded, as long as
 * nothing is tracked there. */
struct conntrack *conntrack_open(void);
void conntrack_close(struct conntrack *c);
/* The port that answers the TCP connection @client made to @server: another one than the server's where it was redirected (NAT). 0 when it isn't
 * tracked, or the kernel doesn't tell (that takes CAP_NET_ADMIN). */
uint16_t conntrack_answering_port(struct conntrack *c, const struct endpoint *client, const struct endpoint *server);
