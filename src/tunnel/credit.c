// SPDX-License-Identifier: MIT
/* Credit: what a peer may send before the owner has used what came.
 *
 * Every stream that receives has a window, and the windows of all never exceed MUX_BUDGET. Of a window, a part is granted (the
 * peer may send it at any time), a part is held by the owner, and the rest is due: it is granted when it is worth a frame.
 *
 * A window starts small and doubles when the peer says that it ran dry (FRAME_DRY) while the owner holds next to nothing: then
 * it is the window that holds the stream up. It never grows for an owner who reads slowly.
 *
 * Running dry is no proof beyond MUX_WINDOW_NEAR: a quick sender uses up whatever it gets, and what the way doesn't take waits in somebody's
 * buffer, with other streams' bytes behind it. A window that is too small passes once in a round trip, or in two or three when the
 * transport has to send something again, data or credit; one that takes longer is large enough. So from there on a window grows only
 * when a whole one has come within BRISK of the tunnel's least round trips (by PING): on a way that is long and quick.
 *
 * What was granted to a stream that has gone idle would be lost to the budget. So when the budget gets tight, the streams whose
 * last data is longest ago are asked to give back (RECALL, answered by RETURN) all but the least window. The last quarter of
 * the budget is for new streams alone; growth stops before it. Busy streams are asked only when little is left of that: else
 * many busy ones would take the credit out of each other's hands. */
#include "tunnel/mux_internal.h"

enum {
	WINDOW_FIRST = 64 << 10,
	BUDGET_GROWTH = MUX_BUDGET / 4 * 3,
	BUDGET_SCARCE = MUX_BUDGET / 16 * 15,
	BRISK = 4, /* round trips */
	IDLE_MS = 1000,
	RECALLS = 8, /* streams asked at a time */
};

static uint32_t now_ms(const struct mux *m)
{
	return (uint32_t)(loop_now(m->loop) / LOOP_MS);
}

static void charge(struct stream *s, uint32_t amount)
{
	s->window += amount;
	s->mux->budget_used += amount;
}

static void refund(struct stream *s, uint32_t amount)
{
	s->window -= amount;
	s->mux->budget_used -= amount;
}

static uint32_t due(const struct stream *s)
{
	return s->window - s->granted - s->held;
}

/* Moves the stream to the end of those that may be asked for credit. */
static void touch(struct stream *s)
{
	s->touched = now_ms(s->mux);
	list_remove(&s->lru);
	if (s->window > MUX_WINDOW_MIN && !s->recalled)
		list_append(&s->mux->lru, &s->lru);
}

static void recall(struct mux *m)
{
	for (int i = 0; i < RECALLS && !list_empty(&m->lru); i++) {
		struct stream *s = container_of(m->lru.next, struct stream, lru);

		if (now_ms(m) - s->touched < IDLE_MS && m->budget_used < BUDGET_SCARCE)
			return;
		list_remove(&s->lru);
		s->recalled = true;
		mux_put(s->mux, &s->mux->urgent, &(struct frame){ .type = FRAME_RECALL, .stream = s->id, .amount = MUX_WINDOW_MIN });
	}
}

static uint32_t first_window(const struct mux *m)
{
	if (m->budget_used < MUX_BUDGET / 4)
		return WINDOW_FIRST;
	if (m->budget_used < MUX_BUDGET / 2)
		return WINDOW_FIRST / 4;
	return m->budget_used < BUDGET_GROWTH ? WINDOW_FIRST / 16 : MUX_WINDOW_MIN;
}

bool credit_start(struct stream *s)
{
	struct mux *m = s->mux;
	uint32_t window = first_window(m);

	if (stream_is_datagram(s))
		return true;
	if (m->budget_used + window > BUDGET_GROWTH)
		recall(m);
	if (m->budget_used + window > MUX_BUDGET)
		return false;
	charge(s, window);
	s->granted = window;
	touch(s);
	return true;
}

static void await_window(struct stream *s, bool brisk)
{
	s->brisk = brisk;
	s->came = 0;
	s->since = now_ms(s->mux);
}

/* Each time that a whole window has come: whether it was brisk. */
static void clock_window(struct stream *s, uint32_t len)
{
	s->came += len;
	if (s->came >= s->window)
		await_window(s, now_ms(s->mux) - s->since < BRISK * (s->mux->round_trip / LOOP_MS));
}

bool credit_take(struct stream *s, size_t len, bool dry)
{
	if (len > s->granted)
		return false;
	s->granted -= (uint32_t)len;
	s->held += (uint32_t)len;
	s->dry |= dry;
	clock_window(s, (uint32_t)len);
	touch(s);
	return true;
}

/* Fits the window to how the stream goes. */
static void resize(struct stream *s)
{
	struct mux *m = s->mux;
	uint32_t most = s->brisk ? MUX_WINDOW : MUX_WINDOW_NEAR, more = s->window, spare;

	if (m->budget_used > BUDGET_GROWTH && s->window > WINDOW_FIRST) {
		spare = s->window - WINDOW_FIRST;
		refund(s, spare < due(s) ? spare : due(s));
		return;
	}
	if (!s->dry || s->held > s->window / 8 || s->window >= most)
		return;
	if (more > most - s->window)
		more = most - s->window;
	if (m->budget_used + more > BUDGET_GROWTH) {
		recall(m);
		return;
	}
	charge(s, more);
	await_window(s, false);
}

void credit_consume(struct stream *s, size_t len)
{
	uint32_t amount;

	s->held -= (uint32_t)len;
	if (s->got_end) {
		refund(s, (uint32_t)len);
		return;
	}
	if (due(s) < s->window / (s->dry || s->window > MUX_WINDOW_NEAR ? 4 : 2))
		return;
	resize(s);
	amount = due(s);
	if (!amount)
		return;
	s->dry = false;
	s->granted += amount;
	touch(s);
	mux_put(s->mux, &s->mux->urgent, &(struct frame){ .type = FRAME_CREDIT, .stream = s->id, .amount = amount });
}

bool credit_return(struct stream *s, uint32_t amount)
{
	if (!s->recalled || amount > s->granted)
		return false;
	s->recalled = false;
	s->granted -= amount;
	refund(s, amount);
	touch(s);
	return true;
}

void credit_end(struct stream *s)
{
	s->granted = 0;
	refund(s, due(s));
	list_remove(&s->lru);
}

void credit_release(struct stream *s)
{
	s->granted = s->held = 0;
	credit_end(s);
}

void credit_give_back(struct stream *s, uint32_t keep)
{
	uint32_t amount = s->credit > keep ? s->credit - keep : 0;

	s->credit -= amount;
	mux_put(s->mux, &s->mux->urgent, &(struct frame){ .type = FRAME_RETURN, .stream = s->id, .amount = amount });
}
