// SPDX-License-Identifier: MIT
/* Two muxes that can resume, and between them a wire that the test cuts behind any byte: what was written and not yet delivered is lost, as
 * on a broken connection. When the session is told of it, it gets a new wire; the agent reads the hello from that as an agent
 * with several tunnels does. */
#pragma once

#include <fcntl.h>
#include <limits.h>
#include <poll.h>

#include "tunnel/greeting.h"
#include "tunnel/pair.h"

enum { WHOLE = 1 << 30, WIRE_PASS = 65536 };

/* Descriptors by the side whose mux is there, in and out: one socket or two pipes. @left is what may still pass from that side. */
struct wire {
	int near[2][SIDES];
	struct watch watches[2];
	size_t left[2], passed[2];
	bool cut;
};

struct cutter {
	struct pair *pair;
	struct wire *wires;
	size_t n, max;
	bool pipes;
	/* What the next wire lets pass from each side. */
	void (*plan)(struct cutter *c, size_t n, size_t left[2]);
	size_t plan_side, plan_at, plan_again;
	unsigned int random;
	size_t greeted, refused;
	struct greeting *greeting;
};

static struct cutter cutter;

static inline void wire_close(struct wire *w)
{
	for (int i = 0; i < 2; i++) {
		loop_unwatch(cutter.pair->loop, &w->watches[i]);
		if (w->near[i][SIDE_OUT] == w->near[i][SIDE_IN])
			w->near[i][SIDE_OUT] = -1;
		fd_closep(&w->near[i][SIDE_IN]);
		fd_closep(&w->near[i][SIDE_OUT]);
	}
	w->cut = true;
}

/* Nothing passes any more, and neither side hears that the other left: a network that lost the connection. */
static inline void wire_stall(struct wire *w)
{
	for (int i = 0; i < 2; i++)
		loop_unwatch(cutter.pair->loop, &w->watches[i]);
}

/* How much can be written there at once; -1: nothing now. A write that waits would wait for this thread. */
static inline ssize_t wire_room(const struct wire *w, int side)
{
	struct pollfd p = { .fd = w->near[side][SIDE_OUT], .events = POLLOUT };

	return poll(&p, 1, 0) != 1 ? -1 : cutter.pipes ? PIPE_BUF : WIRE_PASS;
}

static inline void wire_pass(struct wire *w, int from)
{
	static uint8_t bytes[WIRE_PASS];
	ssize_t room = wire_room(w, !from), n;
	size_t most = w->left[from] < (size_t)room ? w->left[from] : (size_t)room;

	if (!most) { /* to be cut as soon as the other hello has passed: before that nothing can be resumed */
		loop_unwatch(cutter.pair->loop, &w->watches[from]);
		return;
	}
	if (room < 0)
		return;
	n = read(w->near[from][SIDE_IN], bytes, most);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || fd_write_all(w->near[!from][SIDE_OUT], bytes, (size_t)n) < 0) {
		wire_close(w);
		return;
	}
	w->passed[from] += (size_t)n;
	w->left[from] -= (size_t)n;
	for (int i = 0; i < 2; i++)
		if (!w->left[i] && (w != cutter.wires || w->passed[!i] >= HELLO_LEN))
			wire_close(w);
}

static inline void wire_on_session(struct watch *watch, uint32_t events)
{
	wire_pass(container_of(watch, struct wire, watches[SESSION]), SESSION);
}

static inline void wire_on_agent(struct watch *watch, uint32_t events)
{
	wire_pass(container_of(watch, struct wire, watches[AGENT]), AGENT);
}

/* A new wire; the muxes' ends are put into @ret_ends by side, in and out. */
static inline void wire_new(int ret_ends[2][SIDES])
{
	struct wire *w = &cutter.wires[cutter.n];
	int fds[2];

	if (cutter.n == cutter.max)
		abort();
	*w = (struct wire){ .left = { WHOLE, WHOLE } };
	if (cutter.plan)
		cutter.plan(&cutter, cutter.n, w->left);
	cutter.n++;
	for (int i = 0; i < 2; i++) {
		if (!cutter.pipes) {
			pair_fds(fds);
			ret_ends[i][SIDE_IN] = ret_ends[i][SIDE_OUT] = fds[0];
			w->near[i][SIDE_IN] = w->near[i][SIDE_OUT] = fds[1];
		} else if (pipe2(w->near[i], O_CLOEXEC) < 0 || pipe2(ret_ends[i], O_CLOEXEC) < 0) {
			abort();
		} else { /* each side reads what the other wrote */
			int in = ret_ends[i][SIDE_IN];

			ret_ends[i][SIDE_IN] = w->near[i][SIDE_IN];
			w->near[i][SIDE_IN] = in;
		}
		fd_set_nonblocking(w->near[i][SIDE_IN], true);
		loop_watch(cutter.pair->loop, &w->watches[i], w->near[i][SIDE_IN], EPOLLIN, i == SESSION ? wire_on_session : wire_on_agent);
	}
}

static inline void on_greeted(void *arg, int in, int out, const struct hello *hello)
{
	struct mux *m = cutter.pair->sides[AGENT].mux;

	cutter.greeting = NULL;
	if (hello && mux_resumes(m, hello)) {
		cutter.greeted++;
		mux_resume(m, in, out, hello);
	} else if (hello) {
		cutter.refused++;
		greeting_refuse(in, out);
	} else {
		close(in);
		if (out != in)
			close(out);
	}
}

static inline void side_on_suspended(void *arg, const struct error *why)
{
	struct side *side = arg;
	int ends[2][SIDES];

	side->suspended++;
	if (side != &cutter.pair->sides[SESSION])
		return;
	wire_new(ends);
	greeting_free(cutter.greeting);
	cutter.greeting = greeting_new(cutter.pair->loop, ends[AGENT][SIDE_IN], ends[AGENT][SIDE_OUT], on_greeted, NULL);
	mux_resume(side->mux, ends[SESSION][SIDE_IN], ends[SESSION][SIDE_OUT], NULL);
}

static inline void side_on_resumed(void *arg)
{
	((struct side *)arg)->resumed++;
}

static const struct mux_events resumable_events = {
	.on_ready = side_on_ready,
	.on_open = side_on_open,
	.on_info = side_on_info,
	.on_gone = side_on_gone,
	.on_suspended = side_on_suspended,
	.on_resumed = side_on_resumed,
};

/* Both muxes over the first wire. @max is the most wires. */
static inline struct pair *cutter_start(size_t streams, size_t max)
{
	struct pair *p = pair_alloc();
	int ends[2][SIDES];

	cutter.pair = p;
	cutter.wires = calloc(max, sizeof(*cutter.wires));
	cutter.max = max;
	cutter.n = cutter.greeted = cutter.refused = 0;
	p->events = &resumable_events;
	wire_new(ends);
	for (int i = 0; i < 2; i++)
		side_start(p, i, ends[i][SIDE_IN], ends[i][SIDE_OUT]);
	pair_ends(p, streams);
	return p;
}

static inline void cutter_end(void)
{
	struct pair *p = cutter.pair;

	greeting_free(cutter.greeting);
	cutter.greeting = NULL;
	for (size_t i = 0; i < cutter.n; i++)
		wire_close(&cutter.wires[i]);
	pair_free(p);
	free(cutter.wires);
	cutter = (struct cutter){ 0 };
}
