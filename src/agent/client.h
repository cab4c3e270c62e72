// SPDX-License-Identifier: MIT
/* One session that the agent serves: its tunnel, what it asks to leave from the target, what it takes of the target's incoming traffic. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/subscriptions.h"
#include "net/loop.h"
#include "relay/egress.h"
#include "tunnel/hello.h"
#include "tunnel/info.h"

enum { CLIENT_DRAIN_S = 10 }; /* so long connections in flight may take when the agent ends */

struct capture_streams;
struct client;
struct sock_diag;

/* What all clients of an agent share. */
struct client_services {
	struct loop *loop;
	struct egress *target; /* over sockets: what leaves from the target; NULL when there is no target */
	struct subscriptions *subscriptions;
	struct capture_streams *captures; /* NULL without a target */
	/* The session has gone, or has said that it will go and its last stream is over. The owner frees the client, now or later. */
	void (*on_end)(void *arg, struct client *c);
	/* Whether the filter and the options could be used: 0, or -1 with @err. */
	int (*check)(void *arg, const struct subscription *want, struct error *err);
	/* Nobody reads the session's standard error any more. May be NULL. */
	void (*on_quiet)(void *arg, struct client *c);
	void *arg;
};

/* The session's end of the tunnel as mux_new() wants it, of the lender (-1: none), and its target's root directory (-1: none). */
struct client_transport {
	int in, out, lend, root;
};

void client_transport_close(const struct client_transport *t);
/* @services stays the caller's; the transport is owned, also when this fails. NULL with @err. */
struct client *client_new(const struct client_services *services, const struct client_transport *transport, struct error *err);
/* Ends its subscriptions, resets its streams, and hangs up. Not from inside one of its own calls, but for on_end. */
void client_free(struct client *c);

/* Whether @hello, which came on a new byte stream, goes on with this client's tunnel; and that it does. The descriptors are owned. */
bool client_resumes(const struct client *c, const struct hello *hello);
void client_resume(struct client *c, int in, int out, const struct hello *hello);
/* Ends the client when its byte stream broke: nobody will make another one. */
void client_give_up(struct client *c);

/* Its subscriptions end, and there are no new ones: what was handed over goes on. The user is told why. */
void client_drain(struct client *c, const char *why);
/* True while a connection is on its way to the program, or with it. */
bool client_busy(const struct client *c);

/* What the session hears first: what the target (@info, encoded) is like, or why there is none. Returns 0 or -errno. */
int client_tell_target(struct client *c, const uint8_t *info, size_t len);
int client_tell_failure(struct client *c, const struct error *e);
/* A subscription that was good until now is so no more (it has gone from the registry). */
void client_lose(struct client *c, uint32_t id, const struct error *why);
/* A line for the user. */
void client_notice(struct client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The session hears of it within a second, and when the agent ends. */
void client_count(struct client *c, enum counter what, uint64_t n);

/* Asks the kernel of the program's twin, where that is on this machine and its keeper has offered it; else NULL. It lives as long as the client. */
struct sock_diag *client_twin(struct client *c);
/* The way to the program, an egress in the session's network. It lives as long as the client. */
struct egress *client_program(struct client *c);
