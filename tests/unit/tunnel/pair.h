// SPDX-License-Identifier: MIT
/* Two muxes on one loop, joined by a socketpair, and owners of streams that count what they are told. Or one mux, and the test
 * itself as its peer that writes bytes by hand. */
#pragma once

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "tunnel/frame.h"
#include "tunnel/hello.h"
#include "tunnel/mux_internal.h"

#include "clock.h"
#include "tap.h"

enum { SESSION, AGENT };

/* One end of a stream. What it sends and what it expects are the same pattern: byte @i of the stream of number @n is (n * 31 + i). */
struct end {
	struct stream *s;
	struct side *side;
	unsigned int number;
	size_t sent, to_send, received, wrong, unconsumed;
	int opened, ended, reset, rooms, datagrams, errors;
	bool hold;	   /* does not consume */
	bool echo;	   /* ends when the peer ended, after sending as much as it received */
	bool end_after;	   /* ends when all is sent */
	bool close_at_end; /* closes when both have ended */
	bool done;
	struct endpoint peer;
	struct packet_marks marks;
	struct icmp_error icmp;
	size_t datagram_len;
};

struct side {
	struct mux *mux;
	bool ready;
	int gone, suspended, resumed;
	struct error why;
	struct end *ends; /* of the streams that the peer opens */
	size_t n_ends, max_ends;
	struct end like; /* what they are like */
	int refuse;	 /* or: the error that they are refused with */
	bool later;	 /* they are neither taken nor refused */
	struct stream *offered;
	struct stream_request request;
	size_t info_len, infos;
	uint16_t info_topic;
	uint8_t *info;
};

struct pair {
	struct loop *loop;
	struct side sides[2];
	int raw; /* the test's own end, with one mux */
	const struct mux_events *events;
};

/* The datagram that came last, to whomever. */
static uint8_t last_datagram[65536];

static inline uint8_t pattern(unsigned int number, size_t at)
{
	return (uint8_t)(number * 31 + at + (at >> 8) * 7);
}

static const struct stream_events end_events;

/* Sends what there is to send and room for; half-closes behind it. */
static inline void end_push(struct end *e)
{
	size_t room;
	uint8_t *place;

	if (e->done || e->reset)
		return;
	while (e->sent < e->to_send && (place = stream_reserve(e->s, &room))) {
		if (room > e->to_send - e->sent)
			room = e->to_send - e->sent;
		for (size_t i = 0; i < room; i++)
			place[i] = pattern(e->number, e->sent + i);
		stream_commit(e->s, room);
		e->sent += room;
	}
	if (e->sent == e->to_send && (e->end_after || (e->echo && e->ended == 1)))
		stream_end(e->s);
	if (e->close_at_end && e->ended && e->sent == e->to_send && !e->unconsumed) {
		e->done = true;
		stream_close(e->s);
	}
}

static void end_on_opened(void *arg)
{
	struct end *e = arg;

	e->opened++;
	end_push(e);
}

static void end_on_data(void *arg, const uint8_t *data, size_t len)
{
	struct end *e = arg;

	for (size_t i = 0; i < len; i++)
		e->wrong += data[i] != pattern(e->number, e->received + i);
	e->received += len;
	e->unconsumed += len;
	if (!e->hold) {
		stream_consumed(e->s, e->unconsumed);
		e->unconsumed = 0;
	}
	if (e->echo)
		e->to_send = e->received;
	end_push(e);
}

static void end_on_end(void *arg)
{
	struct end *e = arg;

	e->ended++;
	end_push(e);
}

static void end_on_reset(void *arg, int error)
{
	struct end *e = arg;

	e->reset = error;
}

static void end_on_room(void *arg)
{
	struct end *e = arg;

	e->rooms++;
	end_push(e);
}

static void end_on_datagram(void *arg, const struct endpoint *peer, struct packet_marks marks, const uint8_t *data, size_t len)
{
	struct end *e = arg;

	e->datagrams++;
	e->peer = *peer;
	e->marks = marks;
	e->datagram_len = len;
	if (len)
		memcpy(last_datagram, data, len);
	if (e->echo)
		stream_send_datagram(e->s, peer, marks, data, len);
}

static void end_on_error(void *arg, const struct endpoint *peer, const struct icmp_error *error, const uint8_t *data, size_t len)
{
	struct end *e = arg;

	e->errors++;
	e->peer = *peer;
	e->icmp = *error;
	e->datagram_len = len;
	if (len)
		memcpy(last_datagram, data, len);
}

static const struct stream_events end_events = { end_on_opened, end_on_data,	 end_on_end,  end_on_reset,
						 end_on_room,	end_on_datagram, end_on_error,
						 NULL };

static void side_on_ready(void *arg)
{
	((struct side *)arg)->ready = true;
}

static void side_on_open(void *arg, struct stream *s, const struct stream_request *request)
{
	struct side *side = arg;
	struct end *e;

	side->request = *request;
	side->offered = s;
	if (side->later)
		return;
	if (side->refuse || side->n_ends == side->max_ends) {
		stream_reset(s, side->refuse ? side->refuse : EMFILE);
		return;
	}
	e = &side->ends[side->n_ends++];
	*e = side->like;
	e->s = s;
	e->side = side;
	e->number = request->remote.port;
	stream_accept(s, &end_events, e);
	end_push(e);
}

static void side_on_info(void *arg, uint16_t topic, const uint8_t *data, size_t len)
{
	struct side *side = arg;

	free(side->info);
	side->info = malloc(len + 1);
	if (len)
		memcpy(side->info, data, len);
	side->info_len = len;
	side->info_topic = topic;
	side->infos++;
}

static void side_on_gone(void *arg, const struct error *why)
{
	struct side *side = arg;

	side->gone++;
	side->why = *why;
}

static const struct mux_events side_events = {
	.on_ready = side_on_ready, .on_open = side_on_open, .on_info = side_on_info, .on_gone = side_on_gone
};

struct pair_wait {
	struct timer timer;
	struct pair *pair;
	bool (*done)(void *arg);
	void *arg;
	unsigned int left; /* ticks */
	bool met;
};

static void pair_on_tick(struct timer *t)
{
	struct pair_wait *w = container_of(t, struct pair_wait, timer);

	w->met = w->done && w->done(w->arg);
	if (w->met || w->left-- == 0)
		loop_stop(w->pair->loop);
	else
		loop_arm(w->pair->loop, t, loop_now(w->pair->loop) + LOOP_MS);
}

/* Runs the loop until @done(@arg), or for @ms at least: so many turns of it, in each of which all that was ready is done; on a slow machine
 * they take longer. Returns whether it came true. */
static inline bool pair_wait(struct pair *p, unsigned int ms, bool (*done)(void *arg), void *arg)
{
	struct pair_wait w = { .pair = p, .done = done, .arg = arg, .left = ms };
	struct error err;

	w.timer.on_due = pair_on_tick;
	loop_arm(p->loop, &w.timer, 0);
	loop_run(p->loop, &err);
	return w.met;
}

static inline void pair_fds(int fds[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		abort();
}

static inline void side_start(struct pair *p, int role, int in, int out)
{
	struct error err = { 0 };

	p->sides[role].mux = mux_new(p->loop, role == SESSION ? MUX_SESSION : MUX_AGENT, in, out, p->events, &p->sides[role], &err);
	if (!p->sides[role].mux)
		abort();
}

static inline struct pair *pair_alloc(void)
{
	struct pair *p = calloc(1, sizeof(*p));
	struct error err;

	p->loop = loop_new(&err);
	p->raw = -1;
	p->events = &side_events;
	signal(SIGPIPE, SIG_IGN); /* as mux_new() wants it for pipes */
	return p;
}

static inline void pair_ends(struct pair *p, size_t max)
{
	for (int i = 0; i < 2; i++) {
		p->sides[i].ends = calloc(max, sizeof(struct end));
		p->sides[i].max_ends = max;
	}
}

/* Both muxes, with room for @max streams opened by either. */
static inline struct pair *pair_new(size_t max)
{
	struct pair *p = pair_alloc();
	int fds[2];

	pair_fds(fds);
	side_start(p, SESSION, fds[0], fds[0]);
	side_start(p, AGENT, fds[1], fds[1]);
	pair_ends(p, max);
	return p;
}

/* One mux of @role; the test speaks as its peer over p->raw. */
static inline struct pair *pair_new_raw(int role, size_t max)
{
	struct pair *p = pair_alloc();
	int fds[2];

	pair_fds(fds);
	side_start(p, role, fds[0], fds[0]);
	p->raw = fds[1];
	pair_ends(p, max);
	return p;
}

static inline void pair_free(struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		mux_free(p->sides[i].mux);
		free(p->sides[i].ends);
		free(p->sides[i].info);
	}
	if (p->raw >= 0)
		close(p->raw);
	loop_free(p->loop);
	free(p);
}

/* Opens a stream from @side; @e says what it does. */
static inline void end_open(struct pair *p, int side, struct end *e, enum stream_kind kind, unsigned int number)
{
	struct stream_request r = { .kind = kind };

	r.local = (struct endpoint){ .ip = IP_ANY4, .port = 4000 };
	r.remote = (struct endpoint){ .ip = ip_from_v4("\x0a\x00\x00\x01"), .port = (uint16_t)number };
	e->number = number;
	e->side = &p->sides[side];
	e->s = stream_open(p->sides[side].mux, &r, &end_events, e);
	if (e->s)
		end_push(e);
	else
		e->reset = errno;
}

static inline bool end_is_over(void *arg)
{
	struct end *e = arg;

	return e->done || e->reset;
}

static inline bool end_is_opened(void *arg)
{
	return ((struct end *)arg)->opened;
}

static inline bool both_ready(void *arg)
{
	struct pair *p = arg;

	return p->sides[0].ready && p->sides[1].ready;
}

static inline bool any_gone(void *arg)
{
	struct pair *p = arg;

	return p->sides[0].gone || p->sides[1].gone;
}

static inline void raw_hello(struct pair *p, int role, uint32_t streams)
{
	struct hello h = { .lowest = 1, .highest = 1, .streams = streams, .role = role == SESSION ? HELLO_SESSION : HELLO_AGENT };
	uint8_t out[HELLO_LEN];

	hello_encode(&h, out);
	if (fd_write_all(p->raw, out, sizeof(out)) < 0)
		abort();
}

static inline void raw_frame(struct pair *p, const struct frame *f)
{
	static uint8_t out[FRAME_HEADER + FRAME_BODY_MAX];
	size_t head = frame_encode(f, out);

	if (f->payload_len)
		memcpy(out + head, f->payload, f->payload_len);
	if (fd_write_all(p->raw, out, head + f->payload_len) < 0)
		tap_ok(0, "the test can't write: %s", strerror(errno));
}
