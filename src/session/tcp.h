// SPDX-License-Identifier: MIT
/* The program's TCP connections, from the SYN to the join. */
#pragma once

#include "net/loop.h"
#include "relay/egress.h"
#include "session/gate.h"
#include "session/routing.h"

struct tcp;

/* What it works with; all outlives it. @exits may lose an egress (NULL) when the session fails: then every SYN is answered with
 * "network unreachable". */
struct tcp_context {
	struct loop *loop;
	struct gate **gate;
	const struct routing *routing;
	struct egress **exits;
	struct dns_streams **dns_streams; /* TCP to the name servers, where this machine answers some questions; NULL there: not so */
	struct dns_local **dns; /* what this machine answers; NULL there: nothing (any more) */
};

struct tcp *tcp_new(const struct tcp_context *context, struct error *err);
/* A SYN from the twin. */
void tcp_on_syn(struct tcp *t, const struct packet *syn);
/* An accepted connection from @from; owned from here. */
void tcp_on_connection(struct tcp *t, int fd, const struct endpoint *from);
/* Ends every connection that is not joined yet; unless @error is 0, connect() of those that wait fails with it. */
void tcp_end_all(struct tcp *t, int error);
/* The sockets in SYN_SENT in the twin are those for which @alive says so: the others' programs gave up, and so do we. */
void tcp_reconcile(struct tcp *t, bool (*alive)(void *arg, const struct endpoint *local, const struct endpoint *remote), void *arg);
/* Is there an offer that should have been taken long ago? */
bool tcp_has_stale_offer(const struct tcp *t);
/* The same for offers that are stale, with the sockets that are there at all. */
void tcp_reconcile_offers(struct tcp *t, bool (*alive)(void *arg, const struct endpoint *local, const struct endpoint *remote), void *arg);
/* Connections that wait for the remote's answer, or to be joined. */
size_t tcp_pending(const struct tcp *t);
