// SPDX-License-Identifier: MIT
/* Where a new flow goes: out of the target, or out of this machine. */
#pragma once

#include <stdbool.h>

#include "net/addr.h"
#include "relay/egress.h"

enum { MAX_NAME_SERVERS = 16 };

enum exit { EXIT_TARGET, EXIT_HOST };
enum { EXITS = EXIT_HOST + 1 };

/* What the user asked for. */
struct routing {
	bool tcp, udp, remote_dns; /* leave from the target */
	struct ip name_servers[MAX_NAME_SERVERS]; /* those in force in the twin */
	size_t n_name_servers;
};

/* Reads the "nameserver" lines of a resolv.conf (resolv.conf(5)); NULL has none. */
void routing_read_name_servers(struct routing *r, const char *resolv_conf);
/* @protocol: IPPROTO_TCP, _UDP, _ICMP, _ICMPV6. DNS to a name server follows remote_dns alone. */
enum exit routing_pick(const struct routing *r, int protocol, const struct endpoint *remote);
