// SPDX-License-Identifier: MIT
/* Sockets of another network namespace: the target's, lent to a session on the same machine, or the relay's, lent by the keeper.
 *
 * A socket belongs to the network namespace that its maker was in, whoever uses it. So the agent makes unconnected sockets ahead of
 * need and hands them over by SCM_RIGHTS, and the session connects them itself: no round trip per connection, and no byte passes
 * the agent. Over one SOCK_SEQPACKET pair: the session asks "kind, how many", the agent answers "kind, raw, errno" with the sockets, and once
 * more when it has closed them itself. */
#pragma once

#include "net/loop.h"
#include "relay/sockets.h"

enum { LEND_BATCH = 64 };

/* The lender's side: answers requests on @fd (owned) until it hangs up. LEND_TRANSPARENT: TCP sockets alone, which may be bound to any
 * address (IP_TRANSPARENT; the lender needs CAP_NET_ADMIN). */
struct lender;
enum lend_what { LEND_ALL, LEND_TRANSPARENT };
struct lender *lender_new(struct loop *loop, int fd, enum lend_what what, struct error *err);
/* The borrower may offer something in return: the end of another lender's, of sockets that the lender's process may borrow, and a socket of
 * sock_diag(7) to ask about listeners there, or -1. Both are @on_offer's. */
void lender_on_offer(struct lender *l, void (*on_offer)(void *arg, int fd, int diag), void *arg);
void lender_free(struct lender *l);

/* The borrower's side: a source that keeps some of each kind at hand, a small part of the @descriptors that this process may have. @fd is
 * owned. @on_gone is called when the agent hung up. */
struct borrower;
struct borrower *borrower_new(struct loop *loop, int fd, size_t descriptors, void (*on_gone)(void *arg), void *arg, struct error *err);
void borrower_free(struct borrower *b);
struct socket_source *borrower_source(struct borrower *b);
/* Offers the lender the end of another one's, and @diag as above. Both stay the caller's. Returns 0 or -errno. */
int borrower_offer(struct borrower *b, int fd, int diag);
/* The egress that is told when sockets came in. */
void borrower_set_egress(struct borrower *b, struct egress *e);
