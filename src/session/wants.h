// SPDX-License-Identifier: MIT
/* What the session has subscribed at the agent: kept equal to what the program listens on. */
#pragma once

#include "kube/probes.h"
#include "net/sock_diag.h"
#include "session/incoming_options.h"
#include "tunnel/mux.h"

struct wants;

/* A socket of the program's that gets the traffic of the target's @port. */
struct wanted {
	struct diag_socket socket;
	uint16_t port;
};

/* @mux may point to NULL when the agent is lost: then nothing is told to anybody. @probes are those of the target. All arguments outlive it.
 * NULL without memory. */
struct wants *wants_new(struct mux **mux, const struct incoming_options *options, const struct kube_probes *probes);
/* Without a word to the agent, who ends what is left with the session. */
void wants_free(struct wants *s);

/* Subscribes what is new, changes what has changed, and ends what isn't in @wanted (sorted here) any more. */
void wants_update(struct wants *s, struct wanted *wanted, size_t n);
/* The same for one more: of a port that nothing is wanted for yet. */
void wants_add(struct wants *s, const struct wanted *wanted);
bool wants_has(const struct wants *s, int protocol, uint16_t port);
size_t wants_count(const struct wants *s);
/* Whether one of the program's listeners that are wanted has that port: there is no reason to connect to another. */
bool wants_listens(const struct wants *s, int protocol, uint16_t local_port);
/* Something was subscribed at some time. */
bool wants_used(const struct wants *s);

/* There is another agent, who knows nothing: it is asked for everything. */
void wants_move(struct wants *s);
/* Asks again for a port that was refused before. */
void wants_retry(struct wants *s, int protocol, uint16_t port);
/* How the last request for that port went: EINPROGRESS while the agent hasn't answered, EADDRINUSE when it refused to
 * steal, else 0: a program runs as well without a copy. */
int wants_state(const struct wants *s, int protocol, uint16_t port);
/* SUBSCRIBED came. */
void wants_on_answer(struct wants *s, const uint8_t *data, size_t len);
