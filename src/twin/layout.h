// SPDX-License-Identifier: MIT
/* What twin and relay namespace are made of: names, addresses, marks.
 *
 * Loopback addresses can't leave a namespace, so on their way between twin and relay they have aliases: a source 127.a.b.c is
 * 244.a.b.c, a destination 127.a.b.c is 243.a.b.c; ::1 is fd00:6d::1 as a source and fd00:6d::2 as a destination. Answers go the other
 * way round: from 243.a.b.c to 244.a.b.c. (240.0.0.0/4 is reserved, RFC 1112 §4; fd00::/8 is local, RFC 4193.) */
#pragma once

#include "net/addr.h"
#include "net/rtnl.h"

#define RELAY_LINK "v0" /* the relay's end of the veth pair */

enum {
	TWIN_MTU = 65535,	   /* nothing leaves the machine as packets: large ones save work */
	TPROXY_PORT = 15001,	   /* of the transparent listeners in the relay namespace */
	RELAY_TABLE = 100,	   /* routing table: everything is local */
	RELAY_MARK = 1,		   /* on a SYN given back through lo */
	TWIN_LOCAL_MARK = 0x6d69,  /* on packets given to the twin's lo from outside */
	LOOPBACK_SOURCE_NET = 244, /* first byte of an alias */
	LOOPBACK_DESTINATION_NET = 243,
};

/* Of the two ends of the veth pair; fixed, since no other link is there to share them with. */
extern const struct mac relay_mac, twin_mac;

/* The address as the program's socket knows it, from either kind of alias; any other address stays. */
struct ip loopback_from_alias(const struct ip *ip);
bool ip_is_loopback_alias(const struct ip *ip);
/* The alias under which a loopback address stands in a packet towards the twin as its source; other addresses stay. */
struct ip loopback_to_source_alias(const struct ip *ip);
