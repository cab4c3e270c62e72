// SPDX-License-Identifier: MIT
/* Streams' lives.
 *
 *   stream_open ──► OPENING ──OPENED──► OPEN ◄──stream_accept── OFFERED ◄── OPEN came
 *                      │                 │                         │
 *                      └─ RESET either way, stream_close, the tunnel's end ─► DEAD
 *
 * An OFFERED stream that the peer resets before anybody attached becomes an ORPHAN: its handle is still somebody's, who learns
 * of the end when he accepts. A DEAD one is in no table; it is freed after the turn, since callers further up hold it.
 *
 * Ids are never used twice while frames of their first use may be under way: each side counts its own upwards (odd ones the
 * session, even ones the agent). So a frame for a stream that is not in the table is either late (its id was passed already) and
 * passed over, or broken. */
#include "tunnel/mux_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

bool stream_is_datagram(const struct stream *s)
{
	return s->kind == STREAM_UDP || s->kind == STREAM_ECHO;
}

struct stream *stream_find(struct mux *m, uint32_t id)
{
	struct table_node *node = table_find(&m->streams, &id, sizeof(id));

	return node ? container_of(node, struct stream, node) : NULL;
}

/* Ids wrap around, as sequence numbers do (RFC 1982). */
bool stream_id_is_old(const struct mux *m, uint32_t id)
{
	if (id % 2 == m->next_id % 2)
		return (int32_t)(id - m->next_id) < 0;
	return (int32_t)(id - m->peer_id) <= 0;
}

struct stream *stream_new(struct mux *m, uint32_t id, uint8_t kind, enum stream_state state)
{
	struct stream *s;

	if (m->streams.n >= MUX_STREAMS) {
		errno = ENOBUFS;
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (!s) {
		errno = ENOMEM;
		return NULL;
	}
	s->mux = m;
	s->id = id;
	s->kind = kind;
	s->state = (uint8_t)state;
	s->light = true;
	if (!credit_start(s)) {
		free(s);
		errno = ENOBUFS;
		return NULL;
	}
	table_add(&m->streams, &s->node, &s->id, sizeof(s->id));
	return s;
}

static void tell_late(struct mux *m)
{
	struct list *node;

	while ((node = list_pop(&m->late))) {
		struct stream *s = container_of(node, struct stream, wait);

		s->state = STATE_DEAD;
		list_append(&m->dead, &s->wait);
		if (s->events->on_reset)
			s->events->on_reset(s->arg, s->error);
	}
}

static void on_reap(struct deferred *d)
{
	struct mux *m = container_of(d, struct mux, reap);
	struct list *node;

	tell_late(m);
	while ((node = list_pop(&m->dead)))
		free(container_of(node, struct stream, wait));
}

/* Takes the stream out of all that knows it. */
static void leave(struct stream *s, enum stream_state state, struct list *where)
{
	struct mux *m = s->mux;

	if (s->state != STATE_ORPHAN) {
		table_remove(&m->streams, &s->node);
		credit_release(s);
		m->refused = 0;
	}
	list_remove(&s->wait);
	s->state = (uint8_t)state;
	list_append(where, &s->wait);
	if (m->reserved == s)
		m->reserved = NULL;
	if (where != &m->orphans)
		loop_defer(m->loop, &m->reap, on_reap);
}

void stream_finish(struct stream *s, int error)
{
	struct mux *m = s->mux;

	if (s->state == STATE_OFFERED && !s->events) {
		s->error = error;
		leave(s, STATE_ORPHAN, &m->orphans);
		return;
	}
	leave(s, STATE_DEAD, &m->dead);
	if (s->events->on_reset)
		s->events->on_reset(s->arg, error);
}

void mux_finish_streams(struct mux *m, int error)
{
	struct table_node *node;

	while ((node = table_first(&m->streams)))
		stream_finish(container_of(node, struct stream, node), error);
	tell_late(m);
}

static void free_all(struct list *streams)
{
	struct list *node;

	while ((node = list_pop(streams)))
		free(container_of(node, struct stream, wait));
}

void mux_free_streams(struct mux *m)
{
	free_all(&m->dead);
	free_all(&m->late);
	free_all(&m->orphans);
}

/* The next id of ours that no stream has; 0 is the tunnel itself. */
static uint32_t take_id(struct mux *m)
{
	uint32_t id;

	do {
		id = m->next_id;
		m->next_id += 2;
	} while (!id || stream_find(m, id));
	return id;
}

struct stream *stream_open(struct mux *m, const struct stream_request *request, const struct stream_events *events, void *arg)
{
	struct frame f = { .type = FRAME_OPEN };
	struct stream *s;

	if (m->failed || m->streams.n >= m->peer_streams || queue_len(&m->urgent) > URGENT_OPEN_MAX) {
		errno = m->failed ? ENETUNREACH : ENOBUFS;
		return NULL;
	}
	s = stream_new(m, take_id(m), (uint8_t)request->kind, STATE_OPENING);
	if (!s)
		return NULL;
	s->events = events;
	s->arg = arg;
	f.stream = s->id;
	f.open.kind = (uint16_t)request->kind;
	f.open.window = s->granted;
	f.open.local = request->local;
	f.open.remote = request->remote;
	if (request->kind == STREAM_UNIX || request->kind == STREAM_RECORDS) {
		f.payload = (const uint8_t *)request->name.bytes;
		f.payload_len = request->name.len;
	}
	stream_put(s, &f);
	return s;
}

void stream_attach(struct stream *s, const struct stream_events *events, void *arg)
{
	s->events = events;
	s->arg = arg;
	if (s->state == STATE_ORPHAN) {
		list_remove(&s->wait);
		list_append(&s->mux->late, &s->wait);
		loop_defer(s->mux->loop, &s->mux->reap, on_reap);
	}
}

void stream_accept(struct stream *s, const struct stream_events *events, void *arg)
{
	assert(s->state == STATE_OFFERED || s->state == STATE_ORPHAN || s->state == STATE_DEAD);
	if (s->state == STATE_DEAD)
		return;
	stream_attach(s, events, arg);
	if (s->state == STATE_ORPHAN)
		return;
	s->state = STATE_OPEN;
	stream_put(s, &(struct frame){ .type = FRAME_OPENED, .stream = s->id, .amount = s->granted });
	if (s->want_end)
		stream_put_end(s);
}

void stream_consumed(struct stream *s, size_t len)
{
	if (s->state == STATE_DEAD)
		return;
	assert(len <= s->held);
	credit_consume(s, len);
}

void stream_end(struct stream *s)
{
	if (s->sent_end || s->want_end || s->state == STATE_DEAD || stream_is_datagram(s))
		return;
	if (s->state == STATE_OPEN)
		stream_put_end(s);
	else
		s->want_end = true;
}

void stream_reset(struct stream *s, int error)
{
	if (s->state == STATE_DEAD)
		return;
	if (s->state != STATE_ORPHAN)
		stream_put(s, &(struct frame){ .type = FRAME_RESET, .stream = s->id, .error = error });
	leave(s, STATE_DEAD, &s->mux->dead);
}

void stream_close(struct stream *s)
{
	if (s->state == STATE_OPEN && s->sent_end && s->got_end)
		leave(s, STATE_DEAD, &s->mux->dead);
	else
		stream_reset(s, ECONNRESET);
}
