// SPDX-License-Identifier: MIT
/* Sockets of the target's network namespace, lent to a session on the same machine.
 *
 * A socket belongs to the network namespace that its maker was in, whoever uses it. So the agent makes unconnected sockets ahead of
 * need and hands them over by SCM_RIGHTS, and the session connects them itself: no round trip per connection, and no byte passes
 * the agent. Over one SOCK_SEQPACKET pair: the session asks "kind, how many", the agent answers "kind, raw, errno" with the sockets. */
#pragma once

#include "net/loop.h"
#include "relay/sockets.h"

enum { LEND_BATCH = 64 };

/* The agent's side: answers requests on @fd (owned) until it hangs up. */
struct lender;
struct lender *lender_new(struct loop *loop, int fd, struct error *err);
void lender_free(struct lender *l);

/* The session's side: a source that keeps some of each kind at hand, a small part of the @descriptors that this process may have. @fd is
 * owned. @on_gone is called when the agent hung up. */
struct borrower;
struct borrower *borrower_new(struct loop *loop, int fd, size_t descriptors, void (*on_gone)(void *arg), void *arg, struct error *err);
void borrower_free(struct borrower *b);
struct socket_source *borrower_source(struct borrower *b);
/* The egress that is told when sockets came in. */
void borrower_set_egress(struct borrower *b, struct egress *e);
