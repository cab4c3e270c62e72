// SPDX-License-Identifier: MIT
/* What streams send: room, turns, datagrams.
 *
 * There are two send queues. Bulk takes DATA up to BULK_SOFT, then streams wait in a list and get room in turn, a frame each.
 * Urgent is written before bulk and takes control frames and little DATA: of a stream that has nothing in bulk (that would
 * break its order), at most URGENT_DATA bytes at a time, and of all streams at most URGENT_SHARE between two movements of bulk,
 * so bulk can't starve. That is why a keystroke doesn't wait behind another stream's upload.
 *
 * All frames of one stream keep their order by one rule: while the stream has a frame in bulk, what must stay behind it goes to
 * bulk as well. */
#include "tunnel/mux_internal.h"

#include <assert.h>
#include <errno.h>

static bool in_bulk(const struct stream *s)
{
	return s->bulk_end > s->mux->bulk.taken;
}

static void put(struct stream *s, struct queue *q, const struct frame *f)
{
	mux_put(s->mux, q, f);
	if (q == &s->mux->bulk)
		s->bulk_end = q->put;
	else
		s->urgent_end = q->put;
}

void stream_put(struct stream *s, const struct frame *f)
{
	put(s, in_bulk(s) ? &s->mux->bulk : &s->mux->urgent, f);
}

void stream_put_end(struct stream *s)
{
	s->want_end = false;
	s->sent_end = true;
	list_remove(&s->wait);
	stream_put(s, &(struct frame){ .type = FRAME_END, .stream = s->id });
}

/* How many bytes of data of the stream may overtake others' bulk. */
static size_t urgent_room(struct stream *s)
{
	struct mux *m = s->mux;

	if (in_bulk(s) || m->urgent_share >= URGENT_SHARE)
		return 0;
	if (s->urgent_end <= m->urgent.taken)
		s->urgent_len = 0;
	return URGENT_DATA - s->urgent_len;
}

static size_t bulk_room(const struct stream *s)
{
	const struct mux *m = s->mux;
	size_t len = queue_len(&m->bulk);

	if (len >= BULK_SOFT || (!list_empty(&m->waiting) && !s->turn))
		return 0;
	return FRAME_DATA_MAX;
}

size_t stream_room(struct stream *s)
{
	struct mux *m = s->mux;
	size_t room;

	if (m->failed || s->sent_end || s->state == STATE_DEAD || stream_is_datagram(s))
		return 0;
	if (s->state != STATE_OPEN || !s->credit) {
		s->starved = true;
		return 0;
	}
	room = bulk_room(s);
	if (!room && s->light)
		room = urgent_room(s);
	if (!room && !list_linked(&s->wait)) {
		list_append(&m->waiting, &s->wait);
		mux_schedule_flush(m);
	}
	return room < s->credit ? room : s->credit;
}

uint8_t *stream_reserve(struct stream *s, size_t *ret_len)
{
	struct mux *m = s->mux;
	size_t len = stream_room(s), room;
	uint8_t *place;

	if (!len)
		return NULL;
	place = queue_reserve(&m->bulk, &m->pool, FRAME_HEADER + len, &room);
	if (!place) {
		mux_fail(m, ENOMEM, "queue a frame");
		return NULL;
	}
	m->reserved = s;
	m->offered = *ret_len = len;
	return place + FRAME_HEADER;
}

static void commit(struct stream *s, size_t len, uint16_t flags)
{
	struct mux *m = s->mux;
	struct frame f = { .type = FRAME_DATA, .stream = s->id, .flags = flags, .payload_len = len };
	size_t room;
	uint8_t *place;

	assert(m->reserved == s && len <= m->offered);
	m->reserved = NULL;
	if (!len)
		return;
	s->credit -= (uint32_t)len;
	if (!s->credit)
		f.flags |= FRAME_DRY;
	s->light = len < m->offered && len <= URGENT_DATA;
	place = queue_reserve(&m->bulk, &m->pool, 0, &room);
	if (len <= urgent_room(s)) {
		f.payload = place + FRAME_HEADER;
		s->urgent_len = (uint16_t)(s->urgent_len + len);
		m->urgent_share += len;
		put(s, &m->urgent, &f);
		return;
	}
	s->turn = false;
	queue_commit(&m->bulk, frame_encode(&f, place) + len);
	s->bulk_end = m->bulk.put;
	if (queue_len(&m->bulk) >= FLUSH_NOW)
		mux_flush(m);
	mux_schedule_flush(m);
}

void stream_commit(struct stream *s, size_t len)
{
	commit(s, len, 0);
}

void stream_commit_urgent(struct stream *s)
{
	commit(s, 1, FRAME_URGENT);
}

/* How long the bulk queue may be with a datagram at its end. Beside MUX_SEND_QUEUE it is what the transport took in 50 ms of late: that is no
 * more than 50 ms to whoever comes behind it, on a slow transport too, and for as long a quick one's reader may be without a processor. */
static size_t datagram_room(const struct mux *m)
{
	size_t burst = pace_of_late(&m->pace);

	return MUX_SEND_QUEUE + (burst < MUX_BURST ? burst : MUX_BURST);
}

/* Datagrams are dropped where a stream would wait. */
static void send_datagram(struct stream *s, struct frame *f)
{
	struct mux *m = s->mux;
	size_t len = FRAME_HEAD_MAX + f->payload_len;

	if (m->failed || (s->state != STATE_OPEN && s->state != STATE_OPENING) || !stream_is_datagram(s) || f->payload_len > 65535)
		return;
	f->stream = s->id;
	if (len <= urgent_room(s)) {
		s->urgent_len = (uint16_t)(s->urgent_len + len);
		m->urgent_share += len;
		put(s, &m->urgent, f);
	} else if (queue_len(&m->bulk) + len <= datagram_room(m)) {
		put(s, &m->bulk, f);
	}
}

void stream_send_datagram(struct stream *s, const struct endpoint *peer, struct packet_marks marks, const void *data, size_t len)
{
	struct frame f = { .type = FRAME_DATAGRAM, .flags = marks.dont_fragment ? FRAME_WHOLE : 0, .payload = data, .payload_len = len };

	f.datagram.peer = *peer;
	f.datagram.marks = marks;
	send_datagram(s, &f);
}

void stream_send_error(struct stream *s, const struct endpoint *peer, const struct icmp_error *error, const void *data, size_t len)
{
	struct frame f = { .type = FRAME_DATAGRAM_ERROR, .payload = data, .payload_len = len };

	f.datagram_error.peer = *peer;
	f.datagram_error.icmp = *error;
	send_datagram(s, &f);
}

void stream_wake(struct stream *s)
{
	struct mux *m = s->mux;

	if (!s->starved || !s->credit || s->state != STATE_OPEN)
		return;
	s->starved = false;
	if (bulk_room(s) || (s->light && urgent_room(s))) {
		if (s->events->on_room)
			s->events->on_room(s->arg);
	} else if (!list_linked(&s->wait)) {
		list_append(&m->waiting, &s->wait);
		mux_schedule_flush(m);
	}
}

void mux_give_turns(struct mux *m)
{
	size_t len = queue_len(&m->bulk);
	size_t turns = len < BULK_SOFT ? (BULK_SOFT - len + FRAME_DATA_MAX - 1) / FRAME_DATA_MAX : 0;

	while (turns-- && queue_len(&m->bulk) < BULK_SOFT && !m->failed) {
		struct list *node = list_pop(&m->waiting);
		struct stream *s;

		if (!node)
			return;
		s = container_of(node, struct stream, wait);
		s->turn = true;
		if (s->events->on_room)
			s->events->on_room(s->arg);
	}
}
