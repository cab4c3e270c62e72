// SPDX-License-Identifier: MIT
/* bench-driver's figures: one file each. Each prints its result as one JSON object, the last line of standard output. */
#pragma once

#include <stdbool.h>

#include "remote.h"

struct options {
	struct remote remote;
	double seconds;
	bool datagrams; /* -u */
	bool fin;	/* -f: close with a FIN instead of a reset */
	bool down;	/* -d: server to driver */
	int count;	/* -n: in flight, flows, threads, runs */
	double rate;	/* -r: datagrams per second, 0 as fast as it goes */
	int bytes;	/* -b: size of one datagram */
	const char *domain; /* -D: below which names are asked for */
	char **command; /* after -- */
};

int figure_round_trip(const struct options *o);
int figure_connect_rate(const struct options *o);
int figure_bulk(const struct options *o);
int figure_unread(const struct options *o);
int figure_datagrams(const struct options *o);
int figure_lookups(const struct options *o);
int figure_flows(const struct options *o);
int figure_spawn(const struct options *o);
/* Waits at the gate, then becomes the command. */
int figure_gate(const struct options *o);
