// SPDX-License-Identifier: MIT
/* The event loop.
 *
 * A batch of events is read, each is given to its watch, then deferred work runs, then timers; what is closed last is closed then. A handler
 * may unwatch any watch, its own or another's that has an event further on in the same batch: that event is struck out, so the owner may
 * free the watch in deferred work without a later handler seeing it.
 *
 * Timers are a binary heap on their due time; a timer knows its place in it (index + 1, 0 = not armed). */
#include "net/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 128 };

struct loop {
	int epoll_fd;
	bool stop;
	uint64_t now;
	struct list deferred;
	struct timer **heap;
	size_t n_timers, heap_room;
	struct epoll_event batch[BATCH];
	int batch_at, batch_len;
	int closing[BATCH], n_closing;
};

static uint64_t clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * LOOP_SECOND + (uint64_t)ts.tv_nsec;
}

struct loop *loop_new(struct error *err)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (l)
		l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!l || l->epoll_fd < 0) {
		error_set(err, errno, "make the event loop");
		free(l);
		return NULL;
	}
	list_init(&l->deferred);
	l->now = clock_now();
	return l;
}

int loop_watch(struct loop *l, struct watch *w, int fd, uint32_t events,
	       void (*on_ready)(struct watch *, uint32_t))
{
	struct epoll_event e = { .events = events, .data.ptr = w };

	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0)
		return -errno;
	*w = (struct watch){ .fd = fd, .events = events, .added = true, .on_ready = on_ready };
	return 0;
}

int loop_watch_signals(struct loop *l, struct watch *w, const int *signals, size_t n, void (*on_ready)(struct watch *, uint32_t))
{
	sigset_t set;
	int fd, r;

	sigemptyset(&set);
	for (size_t i = 0; i < n; i++)
		sigaddset(&set, signals[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	r = loop_watch(l, w, fd, EPOLLIN, on_ready);
	if (r < 0)
		close(fd);
	return r;
}

/* EPOLL_CTL_MOD looks at the descriptor anew, and so makes a new edge of what is ready. */
static int modify(struct loop *l, struct watch *w, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = w };

	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, w->fd, &e) < 0)
		return -errno;
	w->events = events;
	return 0;
}

int loop_rewatch(struct loop *l, struct watch *w, uint32_t events)
{
	return w->added && w->events != events ? modify(l, w, events) : 0;
}

int loop_rearm(struct loop *l, struct watch *w)
{
	return w->added ? modify(l, w, w->events) : 0;
}

/* An event of it further on in the batch is none any more. */
static void forget(struct loop *l, struct watch *w)
{
	w->added = false;
	for (int i = l->batch_at; i < l->batch_len; i++)
		if (l->batch[i].data.ptr == w)
			l->batch[i].data.ptr = NULL;
}

void loop_unwatch(struct loop *l, struct watch *w)
{
	if (!w->added)
		return;
	epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
	forget(l, w);
}

void loop_close(struct loop *l, struct watch *w)
{
	forget(l, w);
	close(w->fd);
}

void loop_close_last(struct loop *l, struct watch *w)
{
	forget(l, w);
	if (l->n_closing == BATCH)
		loop_close_waiting(l);
	l->closing[l->n_closing++] = w->fd;
}

bool loop_close_waiting(struct loop *l)
{
	int n = l->n_closing;

	for (int i = 0; i < n; i++)
		close(l->closing[i]);
	l->n_closing = 0;
	return n;
}

uint64_t loop_now(const struct loop *l)
{
	return l->now;
}

static void place(struct loop *l, struct timer *t, size_t i)
{
	l->heap[i] = t;
	t->index = i + 1;
}

static void sift_up(struct loop *l, size_t i)
{
	struct timer *t = l->heap[i];

	for (; i && l->heap[(i - 1) / 2]->due > t->due; i = (i - 1) / 2)
		place(l, l->heap[(i - 1) / 2], i);
	place(l, t, i);
}

static void sift_down(struct loop *l, size_t i)
{
	struct timer *t = l->heap[i];

	for (size_t child; (child = 2 * i + 1) < l->n_timers; i = child) {
		if (child + 1 < l->n_timers && l->heap[child + 1]->due < l->heap[child]->due)
			child++;
		if (l->heap[child]->due >= t->due)
			break;
		place(l, l->heap[child], i);
	}
	place(l, t, i);
}

int loop_arm(struct loop *l, struct timer *t, uint64_t due)
{
	if (t->index) {
		t->due = due;
		sift_up(l, t->index - 1);
		sift_down(l, t->index - 1);
		return 0;
	}
	if (l->n_timers == l->heap_room) {
		size_t room = l->heap_room ? 2 * l->heap_room : 64;
		struct timer **heap = realloc(l->heap, room * sizeof(struct timer *));

		if (!heap)
			return -ENOMEM;
		l->heap = heap;
		l->heap_room = room;
	}
	t->due = due;
	place(l, t, l->n_timers++);
	sift_up(l, t->index - 1);
	return 0;
}

void loop_disarm(struct loop *l, struct timer *t)
{
	size_t i = t->index;
	struct timer *last;

	if (!i--)
		return;
	t->index = 0;
	last = l->heap[--l->n_timers];
	if (last == t)
		return;
	place(l, last, i);
	sift_up(l, i);
	sift_down(l, last->index - 1);
}

void loop_defer(struct loop *l, struct deferred *d, void (*run)(struct deferred *))
{
	if (list_linked(&d->node))
		return;
	d->run = run;
	list_append(&l->deferred, &d->node);
}

static void run_deferred(struct loop *l)
{
	struct list *node;

	while ((node = list_pop(&l->deferred))) {
		struct deferred *d = container_of(node, struct deferred, node);

		d->run(d);
	}
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	run_deferred(l);
	loop_close_waiting(l);
	close(l->epoll_fd);
	free(l->heap);
	free(l);
}

static void run_timers(struct loop *l)
{
	while (l->n_timers && l->heap[0]->due <= l->now && !l->stop) {
		struct timer *t = l->heap[0];

		loop_disarm(l, t);
		t->on_due(t);
	}
}

/* Milliseconds until the first timer, rounded up; -1 without one. */
static int wait_time(const struct loop *l)
{
	uint64_t now = clock_now(), ms;

	if (!l->n_timers)
		return -1;
	if (l->heap[0]->due <= now)
		return 0;
	ms = (l->heap[0]->due - now + LOOP_MS - 1) / LOOP_MS;
	return ms > 1000000 ? 1000000 : (int)ms;
}

int loop_run(struct loop *l, struct error *err)
{
	run_deferred(l);
	while (!l->stop) {
		int n = epoll_wait(l->epoll_fd, l->batch, BATCH, wait_time(l));

		if (n < 0 && errno != EINTR)
			return error_set(err, errno, "wait for events");
		l->now = clock_now();
		l->batch_len = n > 0 ? n : 0;
		for (l->batch_at = 0; l->batch_at < l->batch_len;) {
			struct epoll_event *e = &l->batch[l->batch_at++];
			struct watch *w = e->data.ptr;

			if (w)
				w->on_ready(w, e->events);
		}
		l->batch_len = 0;
		run_deferred(l);
		run_timers(l);
		run_deferred(l);
		loop_close_waiting(l);
	}
	l->stop = false;
	return 0;
}

void loop_stop(struct loop *l)
{
	l->stop = true;
}
