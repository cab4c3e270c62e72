// SPDX-License-Identifier: MIT
/* One agent per target: a second one finds the first and hands its session over.
 *
 * They meet at an abstract unix socket in the target's network namespace. What is handed over are the descriptors themselves, so no byte
 * of the session's takes a way that is longer. Whoever handed over stays until its session is over, since for whoever started it
 * its end is the session's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/client.h"
#include "base/error.h"
#include "net/loop.h"

/* What one session brings. */
struct attach_session {
	struct client_transport transport;
	int log;       /* its standard error */
	uint8_t *info; /* what its target is like, encoded */
	size_t info_len;
};

enum attach_result {
	ATTACH_HANDED,	/* another agent has taken the session */
	ATTACH_NONE,	/* there is none, and we are the one that is found from now on */
	ATTACH_STRANGER /* there is somebody else's: we serve alone, and change nothing in the target */
};
/* To be called in the target's network namespace, before agent_settle(). *ret_sock: of ATTACH_HANDED, what ends when the other agent is done
 * with our session; of ATTACH_NONE what attach_listen() wants. */
enum attach_result attach_find(const struct attach_session *mine, int *ret_sock);
/* After ATTACH_HANDED: another byte stream for that session, whose first one broke. The descriptors stay the caller's. Returns 0, or -1. */
int attach_hand_stream(int in, int out);
/* The same: we are told to end, so that session is to finish soon. @why is a line for its user. Returns 0, or -1: nobody hears it. */
enum { ATTACH_WHY = 128 };
int attach_tell_end(int sock, const char *why);

/* Takes sessions over. */
struct attach_listener;
struct attach_listener_events {
	/* The descriptors and the memory are the callee's. @sock is to be closed when the session is over; when it is readable, attach_read_end()
	 * says whether who brought it is told to end (@ret_why), or has ended (false). */
	void (*on_session)(void *arg, const struct attach_session *session, int sock);
	/* A byte stream that goes on with a session that is here; the callee's. */
	void (*on_stream)(void *arg, int in, int out);
	void *arg;
};
bool attach_read_end(int sock, char ret_why[ATTACH_WHY]);
/* Owns @sock. NULL with @err. */
struct attach_listener *attach_listen(struct loop *loop, int sock, const struct attach_listener_events *events, struct error *err);
/* From now on nobody's session is taken: newcomers are told to come later, when the name is free. */
void attach_refuse(struct attach_listener *l);
void attach_listener_free(struct attach_listener *l);
