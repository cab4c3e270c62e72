// SPDX-License-Identifier: MIT
/* The program's calls that the keeper reports (twin/notifier.h), and what becomes of them when it is gone. */
#pragma once

#include "net/loop.h"
#include "twin/notifier.h"

struct calls;

struct calls_events {
	/* @fd comes with NOTIFY_JOINED and is the callee's; else -1. */
	void (*on_event)(void *arg, const struct notify_event *e, int fd);
	/* The keeper is gone: what was reported is to be answered now. */
	void (*on_keeper_gone)(void *arg);
	void *arg;
};

/* Has the keeper behind @keeper report from here on. @anchor, and @diag, any socket of the twin, stay the caller's. NULL with @err. */
struct calls *calls_new(struct loop *loop, int keeper, int anchor, int diag, const struct calls_events *events, struct error *err);
void calls_free(struct calls *c);
void calls_answer(struct calls *c, const struct notify_verdict *v);
/* The keeper is gone: later calls are let pass from here. */
void calls_without_keeper(struct calls *c);
/* Nobody here wants to hear of any: the keeper lets pass what comes. */
void calls_end(struct calls *c);
/* There is no program any more. */
void calls_drain(struct calls *c);
