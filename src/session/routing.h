// SPDX-License-Identifier: MIT
/* Where a new flow goes: out of the target, or out of this machine. */
#pragma once

#include <stdbool.h>

#include "net/addr.h"
#include "relay/egress.h"
#include "session/names.h"
#include "session/route.h"
#include "tunnel/info.h"

enum { MAX_NAME_SERVERS = 16 };

enum exit { EXIT_TARGET, EXIT_HOST };
enum { EXITS = EXIT_HOST + 1 };

struct table;

/* What the user asked for, and what is known of the twin. */
struct routing {
	bool remote_dns; /* leaves from the target */
	struct route_rules rules;
	struct names *names;  /* NULL: without a filter nobody asks */
	struct table *logged; /* destinations of which the log has told */
	struct ip name_servers[MAX_NAME_SERVERS]; /* those in force in the twin */
	size_t n_name_servers;
	struct ip *own; /* the target's addresses */
	size_t n_own;
};

/* Copies the target's addresses; those that it was told of before stay. Returns 0 or -ENOMEM. */
int routing_set_own(struct routing *r, const struct target_info *info);
/* Whether a packet to @ip came by way of the twin's lo: to a loopback address, or one of the target's own. */
bool routing_is_local(const struct routing *r, const struct ip *ip);

/* The addresses of the "nameserver" lines of a resolv.conf (resolv.conf(5)); returns how many. NULL has none. */
size_t routing_read_name_servers(const char *resolv_conf, struct ip ret[MAX_NAME_SERVERS]);
/* This machine's, which is the twin's without feature.network.dns; NULL when it can't be read. The caller frees it. */
char *routing_host_resolv_conf(void);
/* Reads the configuration, and the resolv.conf that is in force in the twin (NULL: none). Returns 0 or -ENOMEM. */
int routing_init(struct routing *r, const struct config *c, const char *resolv_conf);
void routing_fini(struct routing *r);
bool routing_is_name_server(const struct routing *r, const struct endpoint *e);
/* @protocol: IPPROTO_TCP, _UDP, _ICMP, _ICMPV6. DNS to a name server follows remote_dns alone. The log tells of each new destination
 * once. @now: nanoseconds. */
enum exit routing_pick(const struct routing *r, int protocol, const struct endpoint *remote, uint64_t now);
