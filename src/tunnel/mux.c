// SPDX-License-Identifier: MIT
/* The life of a tunnel: hello, keep-alive, end.
 *
 * It ends for one reason, the first (mux_fail), and never in the middle of somebody's call: the rest is done after the turn.
 * When a write fails the peer may have said why before it went, so what it sent is read first.
 *
 * Alive: a side that has heard nothing for a while sends a PING; when then nothing at all comes for longer, the peer is gone.
 * The same when the transport takes nothing for that long: a peer that sends but never reads is no peer. */
#include "tunnel/mux_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/memory.h"

const char *mux_peer_name(const struct mux *m)
{
	return m->role == MUX_SESSION ? "agent" : "session";
}

void mux_rewatch(struct mux *m)
{
	bool wanted = m->blocked || (!list_empty(&m->waiting) && !mux_is_stalled(m));
	uint32_t out = wanted && !m->broken ? EPOLLOUT : 0;

	if (m->transport != TRANSPORT_UP)
		return;
	if (m->fds[SIDE_IN] == m->fds[SIDE_OUT]) {
		loop_rewatch(m->loop, &m->watches[SIDE_IN], EPOLLIN | out);
		return;
	}
	loop_rewatch(m->loop, &m->watches[SIDE_OUT], out);
}

void mux_drop_transport(struct mux *m)
{
	for (int i = 0; i < SIDES; i++)
		loop_unwatch(m->loop, &m->watches[i]);
	if (m->fds[SIDE_OUT] == m->fds[SIDE_IN])
		m->fds[SIDE_OUT] = -1;
	fd_closep(&m->fds[SIDE_IN]);
	fd_closep(&m->fds[SIDE_OUT]);
	m->transport = TRANSPORT_DOWN;
}

static void transport_close(struct mux *m)
{
	mux_drop_transport(m);
	loop_disarm(m->loop, &m->timer);
	m->broken = EPIPE;
	mux_keep_nothing(m);
	queue_clear(&m->urgent, &m->pool);
	queue_clear(&m->bulk, &m->pool);
	pool_trim(&m->pool);
}

/* One attempt: nobody waits for the peer to read it. */
static void say_close(struct mux *m, struct queue *q, const char *text)
{
	struct frame f = { .type = FRAME_CLOSE, .payload = (const uint8_t *)text, .payload_len = strlen(text) };

	if (f.payload_len > FRAME_CLOSE_MAX)
		f.payload_len = FRAME_CLOSE_MAX;
	mux_put(m, q, &f);
	mux_flush(m);
}

static void on_ending(struct deferred *d)
{
	struct mux *m = container_of(d, struct mux, ending);

	if (!m->failed && !m->torn) {
		if (m->transport == TRANSPORT_UP)
			mux_receive(m);
		if (!m->failed && !m->torn)
			mux_tear(m, m->broken, "send to the %s", mux_peer_name(m));
		return;
	}
	if (!m->failed) {
		mux_suspend(m);
		return;
	}
	say_close(m, &m->urgent, m->why.text);
	transport_close(m);
	mux_finish_streams(m, ENETUNREACH);
	if (m->events->on_gone)
		m->events->on_gone(m->arg, &m->why);
}

void mux_fail(struct mux *m, int error, const char *format, ...)
{
	char text[512];
	va_list ap;

	if (m->failed)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	error_set(&m->why, error, "tunnel: %s", text);
	m->failed = true;
	loop_defer(m->loop, &m->ending, on_ending);
}

void mux_fail_out(struct mux *m, int error)
{
	m->broken = error;
	if (!m->failed)
		loop_defer(m->loop, &m->ending, on_ending);
}

void mux_tear(struct mux *m, int error, const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (!m->keeping || !m->ready) {
		mux_fail(m, error, "%s", text);
	} else if (!m->failed && !m->torn) {
		error_set(&m->tear, error, "%s", text);
		m->torn = true;
		loop_defer(m->loop, &m->ending, on_ending);
	}
}

static uint64_t clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * LOOP_SECOND + (uint64_t)ts.tv_nsec;
}

static void send_ping(struct mux *m)
{
	m->ping_sent = clock_now();
	mux_put(m, &m->urgent, &(struct frame){ .type = FRAME_PING, .number = ++m->ping_cookie });
}

bool mux_take_pong(struct mux *m, uint64_t cookie)
{
	uint64_t trip;

	if (!m->ping_sent || cookie != m->ping_cookie)
		return false;
	trip = clock_now() - m->ping_sent;
	if (!m->round_trip || trip < m->round_trip)
		m->round_trip = trip;
	m->ping_sent = 0;
	if (m->pings) {
		m->pings--;
		send_ping(m);
	}
	return true;
}

void mux_ping_anew(struct mux *m)
{
	m->round_trip = 0;
	m->pings = PINGS - 1;
	if (m->ping_sent)
		m->ping_sent = m->greeting_at;
	else
		send_ping(m);
}

static void on_tick(struct timer *t)
{
	struct mux *m = container_of(t, struct mux, timer);
	uint64_t now = loop_now(m->loop), gone = m->times.gone;

	if (m->transport != TRANSPORT_UP)
		mux_tick_suspended(m);
	else if (!m->ready)
		mux_fail(m, 0, "the %s said no hello within %u seconds", mux_peer_name(m),
			 (unsigned int)(m->times.hello / LOOP_SECOND));
	else if (m->ping_sent && now > m->ping_sent + gone && now > m->heard + gone)
		mux_tear(m, 0, "nothing came from the %s for %u seconds", mux_peer_name(m), (unsigned int)(gone / LOOP_SECOND));
	else if (m->blocked && now > m->moved + gone)
		mux_tear(m, 0, "the %s read nothing for %u seconds", mux_peer_name(m), (unsigned int)(gone / LOOP_SECOND));
	else if (!m->ping_sent && now >= m->heard + m->times.idle)
		send_ping(m);
	if (m->ack_step != UINT64_MAX && m->received - m->acknowledged >= ACK_IDLE)
		mux_acknowledge(m);
	if (!queue_len(&m->bulk))
		pool_trim(&m->pool);
	memory_trim();
	if (!m->failed)
		loop_arm(m->loop, &m->timer, now + m->times.tick);
}

void mux_become_ready(struct mux *m, const struct hello *h)
{
	m->ready = true;
	m->peer_streams = h->streams;
	if (m->role == MUX_AGENT)
		memcpy(m->token, h->token, sizeof(m->token));
	if (m->keeping && h->flags & HELLO_CAN_RESUME)
		mux_keep(m, h->tail);
	else
		mux_keep_nothing(m);
	loop_arm(m->loop, &m->timer, loop_now(m->loop) + m->times.tick);
	mux_ping_anew(m);
	if (m->events->on_ready)
		m->events->on_ready(m->arg);
}

static void on_in(struct watch *w, uint32_t events)
{
	struct mux *m = container_of(w, struct mux, watches[SIDE_IN]);

	if (events & EPOLLOUT)
		mux_writable(m);
	if (events & ~(uint32_t)EPOLLOUT && m->transport == TRANSPORT_GREETING)
		mux_greet(m);
	else if (events & ~(uint32_t)EPOLLOUT)
		mux_receive(m);
}

static void on_out(struct watch *w, uint32_t events)
{
	struct mux *m = container_of(w, struct mux, watches[SIDE_OUT]);

	if (events & (EPOLLERR | EPOLLHUP)) {
		loop_unwatch(m->loop, w);
		mux_fail_out(m, EPIPE);
	} else {
		mux_writable(m);
	}
}

static int transport_watch(struct mux *m)
{
	int r = loop_watch(m->loop, &m->watches[SIDE_IN], m->fds[SIDE_IN], EPOLLIN, on_in);

	if (!r && m->fds[SIDE_OUT] != m->fds[SIDE_IN])
		r = loop_watch(m->loop, &m->watches[SIDE_OUT], m->fds[SIDE_OUT], 0, on_out);
	return r;
}

int mux_say_hello(struct mux *m, uint32_t flags)
{
	struct hello h = { .lowest = MUX_VERSION, .highest = MUX_VERSION, .streams = MUX_STREAMS, .flags = flags };
	uint8_t out[HELLO_LEN];
	ssize_t n;

	h.role = m->role == MUX_SESSION ? HELLO_SESSION : HELLO_AGENT;
	if (flags & HELLO_CAN_RESUME)
		h.tail = MUX_TAIL;
	if (flags & HELLO_RESUMES)
		h.position = m->received;
	if (m->role == MUX_SESSION)
		memcpy(h.token, m->token, sizeof(h.token));
	hello_encode(&h, out);
	n = m->is_socket ? send(m->fds[SIDE_OUT], out, sizeof(out), MSG_NOSIGNAL) : write(m->fds[SIDE_OUT], out, sizeof(out));
	if (n == sizeof(out))
		return 0;
	if (n >= 0 || errno == EAGAIN)
		return -EAGAIN; /* a transport without room for its first bytes */
	mux_fail_out(m, errno);
	return 0;
}

int mux_open_transport(struct mux *m)
{
	struct stat st;

	for (int i = 0; i < SIDES; i++)
		if (fd_set_nonblocking(m->fds[i], true) < 0)
			return -errno;
	if (fstat(m->fds[SIDE_OUT], &st) < 0)
		return -errno;
	m->is_socket = S_ISSOCK(st.st_mode);
	return transport_watch(m);
}

static int start(struct mux *m)
{
	int r = mux_open_transport(m);

	if (!r && m->role == MUX_SESSION && getrandom(m->token, sizeof(m->token), 0) != sizeof(m->token))
		r = -errno;
	if (!r)
		r = mux_say_hello(m, m->keeping ? HELLO_CAN_RESUME : 0);
	if (!r)
		r = loop_arm(m->loop, &m->timer, loop_now(m->loop) + m->times.hello);
	return r;
}

static bool id_equal(const struct table_node *node, const void *key)
{
	return container_of(node, struct stream, node)->id == *(const uint32_t *)key;
}

struct mux *mux_new(struct loop *loop, enum mux_role role, int in, int out, const struct mux_events *events, void *arg,
		    struct error *err)
{
	struct mux *m = calloc(1, sizeof(*m));
	int r = -ENOMEM;

	if (!m) {
		error_set(err, ENOMEM, "open the tunnel");
		close(in);
		if (out != in)
			close(out);
		return NULL;
	}
	*m = (struct mux){
		.loop = loop,
		.role = role,
		.events = events,
		.arg = arg,
		.fds = { in, out },
		.next_id = role == MUX_SESSION ? 1 : 2,
		.peer_streams = MUX_STREAMS,
		.times = { .hello = MUX_HELLO_S * LOOP_SECOND, .greeting = 10 * LOOP_SECOND, .tick = 5 * LOOP_SECOND,
			   .idle = 10 * LOOP_SECOND, .gone = 30 * LOOP_SECOND, .resume = 30 * LOOP_SECOND },
		.keeping = events->on_suspended,
		.ack_step = UINT64_MAX,
	};
	m->timer.on_due = on_tick;
	m->heard = m->moved = loop_now(loop);
	list_init(&m->waiting);
	list_init(&m->dead);
	list_init(&m->orphans);
	list_init(&m->late);
	list_init(&m->lru);
	m->in = malloc(RECEIVE_ROOM);
	if (m->in)
		r = table_init(&m->streams, id_equal);
	if (!r)
		r = start(m);
	if (r) {
		error_set(err, -r, "open the tunnel to the %s", mux_peer_name(m));
		mux_free(m);
		return NULL;
	}
	return m;
}

void mux_free(struct mux *m)
{
	if (!m)
		return;
	if (!m->failed) {
		say_close(m, &m->bulk, ""); /* behind all that is to be said */
		m->failed = true;
	}
	transport_close(m);
	mux_finish_streams(m, ENETUNREACH);
	list_remove(&m->flush.node);
	list_remove(&m->reap.node);
	list_remove(&m->ending.node);
	mux_free_streams(m);
	table_fini(&m->streams);
	free(m->in);
	free(m->info);
	free(m);
}

size_t mux_stream_count(const struct mux *m)
{
	return m->streams.n;
}
