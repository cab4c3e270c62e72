// SPDX-License-Identifier: MIT
/* The way out: frames into the two queues, the queues into the transport.
 *
 * Urgent goes before bulk, but a frame that has gone in part goes on first. All that one turn of the loop queued is written at
 * its end, by one system call as a rule. */
#include "tunnel/mux_internal.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

#include "tunnel/writing.h"

enum { VECTORS = 16, BULK_MAX = MUX_SEND_QUEUE + MUX_BURST + MUX_INFO_MAX };
static const uint64_t PACE_TICK = LOOP_SECOND / 20;

bool mux_is_stalled(const struct mux *m)
{
	return tail_len(&m->tail) >= MUX_TAIL;
}

void mux_put(struct mux *m, struct queue *q, const struct frame *f)
{
	size_t room, head;
	uint8_t *p;

	if (m->broken && !m->keeping)
		return;
	p = queue_reserve(q, &m->pool, FRAME_HEAD_MAX + f->payload_len, &room);
	if (!p) {
		mux_fail(m, ENOMEM, "queue a frame");
		return;
	}
	if (!queue_len(&m->urgent) && !queue_len(&m->bulk))
		m->moved = loop_now(m->loop);
	head = frame_encode(f, p);
	write_bytes(p + head, f->payload, f->payload_len);
	queue_commit(q, head + f->payload_len);
	if (queue_len(&m->urgent) > URGENT_MAX || tail_len(&m->tail) > MUX_TAIL + BULK_MAX + URGENT_MAX)
		mux_fail(m, 0, "the %s doesn't read what is sent to it", mux_peer_name(m));
	mux_schedule_flush(m);
}

struct batch {
	struct iovec iov[VECTORS];
	size_t n;
	size_t again, partial, urgent, bulk; /* bytes of each, in this order; all others wait for those that go again */
};

static void batch_fill(const struct mux *m, struct batch *b)
{
	bool stalled = mux_is_stalled(m);

	*b = (struct batch){ 0 };
	b->n = tail_vectors(&m->tail, b->iov, VECTORS, &b->again);
	if (b->n)
		return;
	if (m->bulk.partial && (stalled || queue_len(&m->urgent)))
		b->n = queue_vectors(&m->bulk, m->bulk.partial, b->iov, VECTORS, &b->partial);
	b->n += queue_vectors(&m->urgent, SIZE_MAX, b->iov + b->n, VECTORS - b->n, &b->urgent);
	if (!stalled && !b->partial && b->urgent == queue_len(&m->urgent))
		b->n += queue_vectors(&m->bulk, SIZE_MAX, b->iov + b->n, VECTORS - b->n, &b->bulk);
}

static void batch_take(struct mux *m, const struct batch *b, size_t len)
{
	struct tail *tail = m->keeping ? &m->tail : NULL;
	size_t partial = len < b->partial ? len : b->partial;
	size_t urgent = len - partial < b->urgent ? len - partial : b->urgent;

	m->moved = loop_now(m->loop);
	pace_add(&m->pace, m->moved, PACE_TICK, len);
	if (b->again) {
		tail_repeat(&m->tail, len);
		return;
	}
	if (len > urgent)
		m->urgent_share = 0;
	queue_take(&m->bulk, &m->pool, partial, tail);
	queue_take(&m->urgent, &m->pool, urgent, tail);
	queue_take(&m->bulk, &m->pool, len - partial - urgent, tail);
	if (!queue_len(&m->urgent))
		m->pongs = 0;
}

static ssize_t batch_write(const struct mux *m, struct batch *b)
{
	struct msghdr msg = { .msg_iov = b->iov, .msg_iovlen = b->n };

	if (m->is_socket)
		return sendmsg(m->fds[SIDE_OUT], &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	return writev(m->fds[SIDE_OUT], b->iov, (int)b->n);
}

void mux_flush(struct mux *m)
{
	while (m->transport == TRANSPORT_UP && !m->blocked && !m->broken) {
		struct batch b;
		ssize_t n;

		batch_fill(m, &b);
		if (!b.n)
			return;
		if (m->keeping && !tail_reserve(&m->tail, VECTORS)) {
			mux_fail(m, ENOMEM, "keep what is sent");
			return;
		}
		n = batch_write(m, &b);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			mux_fail_out(m, errno);
			return;
		}
		if (n > 0)
			batch_take(m, &b, (size_t)n);
		m->blocked = n < 0 || (size_t)n < b.again + b.partial + b.urgent + b.bulk;
	}
}

static void on_flush(struct deferred *d)
{
	struct mux *m = container_of(d, struct mux, flush);

	mux_flush(m);
	mux_rewatch(m);
}

void mux_schedule_flush(struct mux *m)
{
	if (!m->failed)
		loop_defer(m->loop, &m->flush, on_flush);
}

void mux_writable(struct mux *m)
{
	m->blocked = false;
	mux_flush(m);
	mux_give_turns(m);
	mux_schedule_flush(m);
}

int mux_send_info(struct mux *m, uint16_t topic, const void *data, size_t len)
{
	struct frame f = { .type = FRAME_INFO, .topic = topic, .payload = data };

	if (len > MUX_INFO_MAX)
		return -EMSGSIZE;
	if (m->failed || (m->broken && !m->keeping))
		return -EPIPE;
	if (queue_len(&m->bulk) > BULK_MAX)
		return -ENOMEM;
	do {
		f.payload_len = len < FRAME_INFO_MAX ? len : FRAME_INFO_MAX;
		len -= f.payload_len;
		f.flags = len ? FRAME_MORE : 0;
		mux_put(m, &m->bulk, &f);
		f.payload += f.payload_len;
	} while (len && !m->failed);
	return m->failed ? -ENOMEM : 0;
}
