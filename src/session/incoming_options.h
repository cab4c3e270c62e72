// SPDX-License-Identifier: MIT
/* What the user wants of the target's incoming traffic: feature.network.incoming and what belongs to it. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "config/config.h"

struct incoming_options {
	enum incoming_mode mode;
	/* Ports are the local ones that the program listens on, but for @ports and @filter_ports: those are the target's, behind the mapping. */
	struct config_ports ports;	  /* set: no others */
	struct config_ports ignore_ports; /* never these */
	const struct config_strings *debugger_ports; /* nor these; they may become more */
	struct config_pairs port_mapping; /* local port → the target's */
	struct config_pairs listen_ports; /* local port → port of this machine where it is published, and no other */
	bool ignore_localhost;		  /* a listener on a loopback address alone stays local */
	enum incoming_concurrent on_concurrent;
	bool steal_probes;		  /* the kubelet's probes are the program's, too */
	bool flush;			  /* reset the connections that the target has */
	const char *http_filter;	  /* JSON; NULL: everything */
	const char *http_options;	  /* JSON, http/options.h; NULL: the defaults */
	bool decrypts;			  /* they ask for TLS to be decrypted: the agent is asked first whether it can */
	struct config_ports filter_ports; /* set: the filter holds for these alone */
	bool publish;			  /* listeners are reached on this machine's localhost, too */
	bool show;			  /* say on stderr what happens */
	const char *who;		  /* the session in words, for others */
};

/* Something is to be done when the program listens. */
static inline bool incoming_wanted(const struct incoming_options *o)
{
	return o->mode != INCOMING_OFF || o->publish;
}

/* As @c says, which outlives it; without @who. 0, or -1 with @err: a file that is named there can't be read. */
int incoming_options_of(const struct config *c, bool show, struct incoming_options *ret, struct error *err);
