// SPDX-License-Identifier: MIT
/* How a process that was started beside a running agent reaches it: an abstract unix socket of the network namespace that both were started
 * in. In a cluster that process is a later exec into the agent's container, whose standard input and output are a new byte stream for
 * a tunnel whose first one broke. It lives as long as that stream, since a container's runtime ends the stream with it. */
#pragma once

#include "net/loop.h"

struct door;

struct door_events {
	/* A byte stream; the owner's. */
	void (*on_stream)(void *arg, int in, int out);
	/* Whoever had the tunnels that are suspended is gone for good. */
	void (*on_drop)(void *arg);
};

/* @name tells it from the doors of other agents. Processes of other users are not let in, but for root. NULL with @err. */
struct door *door_open(struct loop *loop, const char *name, const struct door_events *events, void *arg, struct error *err);
/* Ends the processes that are waiting there. */
void door_close(struct door *d);

/* The other process: `mirrord-agent resume --idle NAME [--drop]`. Returns the exit status. */
int door_knock(int argc, char **argv);
