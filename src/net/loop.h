// SPDX-License-Identifier: MIT
/* The event loop: one a process, epoll below, level-triggered unless a watch asks for EPOLLET. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/error.h"
#include "base/list.h"

struct loop;

/* One descriptor that the loop watches; embedded in its owner, who zero-initialises it and keeps the descriptor. */
struct watch {
	int fd;
	uint32_t events;
	bool added;
	void (*on_ready)(struct watch *w, uint32_t events);
};

/* A one-shot timer; embedded, zero-initialised. @index is the loop's. */
struct timer {
	uint64_t due;
	size_t index;
	void (*on_due)(struct timer *t);
};

/* Work for after the current batch of events: frees above all. Embedded, zero-initialised. */
struct deferred {
	struct list node;
	void (*run)(struct deferred *d);
};

/* NULL with @err set. */
struct loop *loop_new(struct error *err);
/* Runs what is deferred still. */
void loop_free(struct loop *l);

/* Watches @fd for @events (EPOLLIN, EPOLLOUT…; 0 still reports EPOLLERR and EPOLLHUP). Returns 0 or -errno. */
int loop_watch(struct loop *l, struct watch *w, int fd, uint32_t events,
	       void (*on_ready)(struct watch *, uint32_t));
/* Blocks the @n @signals, which processes started from then on inherit, and watches a signalfd(2) of them: @w's, to be read by
 * @on_ready, closed by the owner. Returns 0 or -errno. */
int loop_watch_signals(struct loop *l, struct watch *w, const int *signals, size_t n, void (*on_ready)(struct watch *, uint32_t));
/* Changes the interest; does nothing when it is the same. Returns 0 or -errno. */
int loop_rewatch(struct loop *l, struct watch *w, uint32_t events);
/* Has an edge-triggered watch, whose owner stopped before EAGAIN, report again what is ready. Returns 0 or -errno. */
int loop_rearm(struct loop *l, struct watch *w);
/* To be called before the descriptor is closed. No event of the current batch reaches @w any more. */
void loop_unwatch(struct loop *l, struct watch *w);
/* Both in one, and a system call less; of a descriptor that no other process has, nor a copy in this one (while
 * there is one, the kernel goes on to report it): who runs a loop starts processes by fd_fork_connected(). */
void loop_close(struct loop *l, struct watch *w);
/* The same, but the descriptor is closed at the end of the turn, behind all that is deferred: close(2) of a TCP socket that is to be reset
 * takes as long as two sends, and whoever waits for what this turn sends shouldn't wait for that. */
void loop_close_last(struct loop *l, struct watch *w);
/* Closes at once what the end of the turn would. Returns whether there was anything. */
bool loop_close_waiting(struct loop *l);

/* Nanoseconds of CLOCK_MONOTONIC, read once per wake-up. */
uint64_t loop_now(const struct loop *l);
enum { LOOP_MS = 1000000 };
#define LOOP_SECOND (1000 * (uint64_t)LOOP_MS)

/* (Re-)arms @t for the time @due. Returns 0 or -ENOMEM. */
int loop_arm(struct loop *l, struct timer *t, uint64_t due);
void loop_disarm(struct loop *l, struct timer *t);

void loop_defer(struct loop *l, struct deferred *d, void (*run)(struct deferred *));

/* Runs until loop_stop(), also one that came before; it may be run again. Returns 0, or -1 with @err when epoll fails. */
int loop_run(struct loop *l, struct error *err);
void loop_stop(struct loop *l);
