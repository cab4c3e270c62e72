// SPDX-License-Identifier: MIT
/* What the agent tells of the target when it has entered it, and its encoding (docs/protocol.md, INFO topic 1). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "net/addr.h"

enum { INFO_ANSWER_S = 15 }; /* so long an agent that has started may take for INFO_TARGET or INFO_FAILURE, the first it says */
enum { INFO_TARGET = 1, INFO_FAILURE = 2, INFO_ENDING = 3 };

/* What the agent has the capabilities for. */
enum { INFO_MAY_STEAL = 1, INFO_MAY_MIRROR = 2 };

/* INFO_ENDING, one byte, from the session. QUIET: the program has ended, nobody reads stderr any more. LAST: no stream will be opened; the
 * agent hangs up when those that there are have been served to the end. */
enum { ENDING_QUIET = 1, ENDING_LAST = 2 };

/* An address of the target's. */
struct info_address {
	struct ip ip;
	uint8_t prefix_len;
};

/* A route of the target's main table. @type is rtnetlink's RTN_UNICAST, _UNREACHABLE, _PROHIBIT, _BLACKHOLE or _THROW. @source is the
 * preferred source address, "any" without one. @mtu is the largest packet that leaves by it, 0 when that isn't known. */
struct info_route {
	struct ip prefix;
	uint8_t prefix_len, type;
	struct ip source;
	uint32_t metric, mtu;
};

/* A sysctl of the target's network namespace that shows in the program's own sockets, as a path below /proc/sys/net. */
struct info_sysctl {
	char name[64], value[64];
};

enum { INFO_ADDRESSES = 256, INFO_ROUTES = 4096, INFO_SYSCTLS = 64, INFO_FILE_MAX = 1 << 20, INFO_VARIABLES = 8192,
       INFO_VARIABLES_MAX = 1 << 20 /* bytes of them all, as strings */ };

/* All pointers are owned by the struct (target_info_fini). Files that the target doesn't have are NULL. */
struct target_info {
	char interface[16]; /* the name of the interface with the default route, or of the first that isn't lo */
	char hostname[65];
	struct info_address *addresses; /* own ones on lo too; not 127.0.0.0/8, ::1, fe80::/10 */
	size_t n_addresses;
	struct info_route *routes;
	size_t n_routes;
	struct info_sysctl *sysctls;
	size_t n_sysctls;
	char *resolv_conf, *hosts; /* NUL-terminated contents */
	char **variables; /* NAME=value: the environment of the target's process; none where there is no process */
	size_t n_variables;
	char kernel[65], version[32]; /* the release of the kernel there; the agent's version. "": not told */
	uint8_t may;		   /* INFO_MAY_… */
	int policy_routing;	   /* the target has routing rules beyond the three that every namespace has */
};

void target_info_fini(struct target_info *info);
/* Names that can't be told, since they could mean something else in a rule or a file ("eth(0)", "(none)"): the interface is eth0 then, and
 * the host has none. */
void target_info_tidy(struct target_info *info);
/* The encoded bytes are the caller's; NULL without memory. */
uint8_t *target_info_encode(const struct target_info *info, size_t *ret_len);
/* Returns 0, or -1 with @err; @ret is set only with 0. Unknown fields are passed over. */
int target_info_decode(const uint8_t *data, size_t len, struct target_info *ret, struct error *err);

/* INFO_FAILURE: the agent could not enter the target; @e travels whole. */
uint8_t *failure_encode(const struct error *e, size_t *ret_len);
int failure_decode(const uint8_t *data, size_t len, struct error *ret);
