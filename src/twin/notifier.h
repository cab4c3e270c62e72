// SPDX-License-Identifier: MIT
/* The keeper's work on the program's listen(2), bind(2) and connect(2) calls: they have taken effect, and the session has agreed, when they
 * return. The session is asked over a SOCK_SEQPACKET pair; both sides come from one build. */
#pragma once

#include "net/addr.h"
#include "net/loop.h"
#include "net/unix_name.h"

enum notify_kind {
	NOTIFY_LISTENS = 1, /* a TCP (or MPTCP) socket listens now */
	NOTIFY_BOUND,	    /* a UDP socket is bound to a port that the program named */
	NOTIFY_UNSEEN,	    /* something was called that could not be looked at: no answer is awaited */
	NOTIFY_ENDED,	    /* a socket of NOTIFY_LISTENS or NOTIFY_BOUND is closed, or is about to be; likewise */
	NOTIFY_CONNECTS,    /* a Unix socket is to be connected to @name */
	NOTIFY_JOINED,	    /* the answer to VERDICT_JOIN: the other end of the program's socket comes with it */
	NOTIFY_GONE,	    /* the call of a NOTIFY_CONNECTS is over without a verdict, or could not be joined */
};

/* keeper → session */
struct notify_event {
	uint64_t id, cookie; /* @cookie: SO_COOKIE, as sock_diag(7) has it */
	enum notify_kind kind;
	int protocol; /* of what listens or is bound, like @local and @v6only: IPPROTO_TCP, IPPROTO_UDP; 0: to be looked for there */
	struct endpoint local;
	bool v6only;
	int type; /* of a Unix socket: SOCK_STREAM or SOCK_SEQPACKET */
	bool nonblocking;
	struct unix_name name;
};

enum notify_what {
	VERDICT_RETURN, /* the call returns, with @error unless it is 0; a socket that listened stops to then */
	VERDICT_PASS,	/* of NOTIFY_CONNECTS: the kernel does it, as always */
	VERDICT_JOIN,	/* of NOTIFY_CONNECTS: the socket is connected, to the session */
};

/* session → keeper */
struct notify_verdict {
	uint64_t id;
	enum notify_what what;
	int error;
};

struct notifier;

/* What the notifier has of the twin: its network namespace, the one that the caller is in, and its number (SO_NETNS_COOKIE): sockets of other
 * namespaces are let pass. */
struct notifier_place {
	int there, here;
	uint64_t net_cookie;
};

/* By a process that may look into those of the twin. @listener is the seccomp(2) notification descriptor, @channel goes to the session; both
 * are owned. NULL with @err. */
struct notifier *notifier_new(struct loop *loop, int listener, int channel, const struct notifier_place *place, struct error *err);
/* Nobody answers any more: what waits goes on, and everything is let pass from here on. */
void notifier_let_pass(struct notifier *n);
/* Calls @on_over when the last process is gone; at once when it is. */
void notifier_on_over(struct notifier *n, void (*on_over)(void *arg), void *arg);

/* Where the keeper is gone, by who has the descriptor as well: lets the next call pass, and answers one that the keeper had taken. */
void notify_pass_next(int listener);
void notify_answer(int listener, const struct notify_verdict *v);
