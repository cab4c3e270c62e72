// SPDX-License-Identifier: MIT
/* A tunnel that outlives its byte stream (docs/protocol.md, Resume).
 *
 *            the byte stream breaks                      mux_resume()
 *   UP ─────────────────────────────────► DOWN ─────────────────────────────► GREETING (a session's) ─ the agent's hello ─► UP
 *                                           ▲ └── mux_resume() with the session's hello (an agent's) ──────────────────────┘
 *                                           └──────── it breaks as well ────────┘
 *
 * DOWN and GREETING together last mux_times.resume at most; then the tunnel fails as it would without all this. Nothing is lost: what was written
 * to a byte stream is in the tail until the peer acknowledges it, and each side says in its hello how far it got, to the byte. What
 * came in part stays in m->in, and what went in part goes on in its middle: so a break needs to be known to no other file.
 *
 * Meanwhile owners see a peer that doesn't read: queues fill up, streams wait for room, datagrams are dropped.
 *
 * The tail is bounded because bulk frames wait for an ACK when it is full. Control frames don't wait: two sides that both waited for room to
 * say ACK would wait for ever. */
#include "tunnel/mux_internal.h"

#include <string.h>

#include "base/fd.h"

enum { ACKS = 4 }; /* to one tail */

void mux_keep_nothing(struct mux *m)
{
	m->keeping = false;
	m->ack_step = UINT64_MAX;
	m->pool.most = 0;
	tail_clear(&m->tail, &m->pool);
}

void mux_keep(struct mux *m, uint32_t peer_tail)
{
	m->ack_step = peer_tail / ACKS + 1;
	m->pool.most = POOL_CHUNKS + MUX_TAIL / CHUNK_ROOM;
	m->times.gone = m->times.idle; /* to be wrong about it costs little */
}

void mux_acknowledge(struct mux *m)
{
	m->acknowledged = m->received;
	mux_put(m, &m->urgent, &(struct frame){ .type = FRAME_ACK, .number = m->received });
}

bool mux_take_ack(struct mux *m, uint64_t position)
{
	bool stalled = mux_is_stalled(m);

	if (!tail_acknowledge(&m->tail, &m->pool, position))
		return false;
	if (stalled)
		mux_schedule_flush(m);
	return true;
}

/* To the next thing that may be too late: a hello, or all. */
static void arm(struct mux *m)
{
	uint64_t due = m->suspended_at + m->times.resume, hello = m->greeting_at + m->times.greeting;

	loop_arm(m->loop, &m->timer, m->transport == TRANSPORT_GREETING && hello < due ? hello : due);
}

void mux_suspend(struct mux *m)
{
	struct error why = m->tear;

	if (m->transport == TRANSPORT_UP)
		m->suspended_at = loop_now(m->loop);
	mux_drop_transport(m);
	m->broken = 0;
	m->torn = false;
	arm(m);
	m->events->on_suspended(m->arg, &why);
}

void mux_tick_suspended(struct mux *m)
{
	uint64_t now = loop_now(m->loop);

	if (now >= m->suspended_at + m->times.resume)
		mux_fail(m, 0, "it broke and there was no other one to the %s within %u seconds: %s", mux_peer_name(m),
			 (unsigned int)(m->times.resume / LOOP_SECOND), m->tear.text);
	else if (m->transport == TRANSPORT_GREETING && now >= m->greeting_at + m->times.greeting)
		mux_tear(m, 0, "the %s said no hello within %u seconds", mux_peer_name(m), (unsigned int)(m->times.greeting / LOOP_SECOND));
}

/* Both hellos are there. */
static void go_on(struct mux *m, uint64_t position)
{
	tail_rewind(&m->tail, &m->pool, position);
	m->acknowledged = m->received;
	m->transport = TRANSPORT_UP;
	m->blocked = false;
	m->heard = m->moved = loop_now(m->loop);
	mux_ping_anew(m);
	loop_arm(m->loop, &m->timer, loop_now(m->loop) + m->times.tick);
	mux_schedule_flush(m);
	if (m->events->on_resumed)
		m->events->on_resumed(m->arg);
}

void mux_greet(struct mux *m)
{
	struct hello h;
	int r = hello_read(&m->greeting, m->fds[SIDE_IN], &h);

	if (r == HELLO_READ_MORE)
		return;
	if (r == HELLO_READ_FAILED)
		mux_tear(m, 0, "the %s said no hello", mux_peer_name(m));
	else if (!(h.flags & HELLO_RESUMES) || h.role != HELLO_AGENT || !tail_has(&m->tail, h.position))
		mux_fail(m, 0, "it broke, and the %s doesn't know it any more", mux_peer_name(m));
	else
		go_on(m, h.position);
}

static int attach(struct mux *m, int in, int out)
{
	int r;

	m->fds[SIDE_IN] = in;
	m->fds[SIDE_OUT] = out;
	r = mux_open_transport(m);
	return r ? r : mux_say_hello(m, HELLO_CAN_RESUME | HELLO_RESUMES);
}

void mux_resume(struct mux *m, int in, int out, const struct hello *hello)
{
	int r;

	if (m->failed || !m->keeping || !m->ready) {
		fd_closep(&in);
		if (out != in)
			fd_closep(&out);
		return;
	}
	if (m->transport == TRANSPORT_UP)
		m->suspended_at = loop_now(m->loop);
	mux_drop_transport(m);
	list_remove(&m->ending.node);
	m->torn = false;
	m->broken = 0;
	m->greeting.len = 0;
	m->greeting_at = loop_now(m->loop);
	m->transport = TRANSPORT_GREETING;
	r = attach(m, in, out);
	if (r < 0)
		mux_tear(m, -r, "go on with the tunnel to the %s", mux_peer_name(m));
	else if (hello)
		go_on(m, hello->position);
	else
		arm(m);
}

bool mux_resumes(const struct mux *m, const struct hello *hello)
{
	return m->role == MUX_AGENT && m->keeping && m->ready && !m->failed && hello->flags & HELLO_RESUMES &&
	       memcmp(m->token, hello->token, sizeof(m->token)) == 0 && tail_has(&m->tail, hello->position);
}

bool mux_is_suspended(const struct mux *m)
{
	return m->transport != TRANSPORT_UP;
}
