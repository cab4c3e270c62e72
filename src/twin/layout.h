// SPDX-License-Identifier: MIT
/* What twin and relay namespace are made of: names, addresses, marks; aliases of loopback addresses: net/loopback.h. */
#pragma once

#include "net/loopback.h"
#include "net/rtnl.h"

#define RELAY_LINK "v0" /* the relay's end of the veth pair */

enum {
	TWIN_MTU = 65535,	  /* nothing leaves the machine as packets: large ones save work */
	TPROXY_PORT = 15001,	  /* of the transparent listeners in the relay namespace */
	TCP_TABLE = 101,	   /* routing table in the twin: the target's routes, for TCP */
	RELAY_TABLE = 100,	  /* routing table: everything is local */
	RELAY_MARK = 1,		  /* on a SYN given back through lo */
	TWIN_LOCAL_MARK = 0x6d69, /* on packets given to the twin's lo from outside */
};

/* Of the two ends of the veth pair; fixed, since no other link is there to share them with. */
extern const struct mac relay_mac, twin_mac;
