// SPDX-License-Identifier: MIT
/* Builds the relay namespace and the twin. All functions act in the calling process, which moves between namespaces. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "tunnel/info.h"

/* What was built. Descriptors of -1 are not there. */
struct twin {
	int user_ns;	     /* -1: the user namespace is the caller's own */
	int net_ns, uts_ns;  /* the twin's */
	int relay_ns;
	int packet_in;	     /* packet socket on v0: SYNs, UDP, ICMP from the twin; SOCK_RAW, with Ethernet headers */
	int packet_out;	     /* packet socket of the relay namespace, not bound, with PACKET_VNET_HDR */
	int listeners[2];    /* transparent TCP listeners, IPv4 and IPv6; SO_LINGER of 0 */
	int diag, agent_diag; /* sock_diag(7) sockets of the twin: the session's, and one for an agent on this machine */
	uint32_t relay_index, lo_index; /* of v0 and lo in the relay namespace */
};
/* Nothing yet. */
extern const struct twin TWIN_NONE;

/* Whose the twin is: of a user namespace that is there already (a container engine's), or with -1 of the program's user. */
struct twin_owner {
	int user_ns;
	uid_t uid;
	gid_t gid;
};

/* Enters fresh namespaces: a user namespace first, mapping uid and gid to themselves, unless we may do without, or @owner has one. The process ends
 * up in the relay namespace. Returns 0, or -1 with @err. */
int twin_unshare(const struct twin_owner *owner, struct twin *ret, struct error *err);
/* Builds all in them as @info says, until packets pass in both directions. @target names it in the link's alias. */
int twin_build(struct twin *t, const struct target_info *info, const char *target, struct error *err);
/* The target is another one now: @info's addresses, routes and host name take the place of @before's. The old addresses stay beside the new
 * ones, for sockets that have them; the routes' sources are the new ones. */
int twin_readdress(int net_ns, const struct target_info *info, const struct target_info *before, struct error *err);
/* Cuts the twin off: every new connection fails with ENETUNREACH at once, while resets and errors still come in. By a process that may
 * change the twin; it ends up in it. */
void twin_cut(int net_ns);
void twin_close(struct twin *t);

/* Whether the calling process is in a twin: 1 and the target's name, 0, or -1 with @err. */
int twin_inside(char ret_target[256], struct error *err);
