// SPDX-License-Identifier: MIT
/* The way in: bytes, the hello, frames.
 *
 * Frames are decoded where read(2) put them, and their payload is given to owners in place. What the peer may not send ends the
 * tunnel; what it may have sent before it knew better (a frame for a stream that we have closed) is passed over. */
#include "tunnel/mux_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void broken(struct mux *m, const char *what)
{
	mux_fail(m, 0, "the %s broke the protocol: %s", mux_peer_name(m), what);
}

/* Copies text from the peer into a message: what can't be printed becomes '?', so that it does nothing to a terminal. */
static void text_copy(char *out, size_t room, const uint8_t *text, size_t len)
{
	size_t n = len < room - 1 ? len : room - 1;

	for (size_t i = 0; i < n; i++)
		out[i] = text[i] >= ' ' && text[i] <= '~' ? (char)text[i] : '?';
	out[n] = '\0';
}

static void take_open(struct mux *m, struct stream *s, const struct frame *f)
{
	struct stream_request request = { .local = f->open.local, .remote = f->open.remote };

	if (s || f->stream % 2 == m->next_id % 2 || stream_id_is_old(m, f->stream)) {
		broken(m, "it opened a stream by an id that isn't free");
		return;
	}
	if (f->open.window > WINDOW_LIMIT) {
		broken(m, "more credit than a stream can have");
		return;
	}
	if (m->streams.n >= MUX_STREAMS && ++m->refused > REFUSED_MAX) {
		broken(m, "more streams than it may open");
		return;
	}
	m->peer_id = f->stream;
	errno = EOPNOTSUPP;
	unix_name_set(&request.name, f->payload, f->payload_len);
	if (f->open.kind < STREAM_KINDS && m->events->on_open)
		s = stream_new(m, f->stream, (uint8_t)f->open.kind, STATE_OFFERED);
	if (!s) {
		mux_put(m, &m->urgent, &(struct frame){ .type = FRAME_RESET, .stream = f->stream, .error = errno });
		return;
	}
	request.kind = (enum stream_kind)f->open.kind;
	s->credit = f->open.window;
	m->events->on_open(m->arg, s, &request);
}

static void take_opened(struct mux *m, struct stream *s, const struct frame *f)
{
	if (s->state != STATE_OPENING || f->amount > WINDOW_LIMIT) {
		broken(m, "it took a stream that it wasn't asked to, or with more credit than a stream can have");
		return;
	}
	s->state = STATE_OPEN;
	s->credit = f->amount;
	if (s->want_end)
		stream_put_end(s);
	if (s->events->on_opened)
		s->events->on_opened(s->arg);
	stream_wake(s);
}

static void take_data(struct mux *m, struct stream *s, const struct frame *f)
{
	if (s->got_end || stream_is_datagram(s)) {
		broken(m, "data on a stream that has none");
	} else if (!credit_take(s, f->payload_len, f->flags & FRAME_DRY)) {
		broken(m, "more data than it was granted");
	} else if (f->flags & FRAME_URGENT && f->payload_len == 1 && s->events->on_urgent) {
		s->events->on_urgent(s->arg, f->payload);
	} else {
		s->events->on_data(s->arg, f->payload, f->payload_len);
	}
}

static void take_end(struct mux *m, struct stream *s, const struct frame *f)
{
	if (s->got_end || stream_is_datagram(s)) {
		broken(m, "a half-close of a stream that has none");
		return;
	}
	s->got_end = true;
	credit_end(s);
	if (s->events->on_end)
		s->events->on_end(s->arg);
}

static void take_reset(struct mux *m, struct stream *s, const struct frame *f)
{
	stream_finish(s, f->error);
}

static void take_credit(struct mux *m, struct stream *s, const struct frame *f)
{
	if (stream_is_datagram(s) || f->amount > WINDOW_LIMIT - s->credit) {
		broken(m, "more credit than a stream can have");
		return;
	}
	s->credit += f->amount;
	stream_wake(s);
}

static void take_recall(struct mux *m, struct stream *s, const struct frame *f)
{
	if (!s->sent_end)
		credit_give_back(s, f->amount);
}

static void take_return(struct mux *m, struct stream *s, const struct frame *f)
{
	if (!credit_return(s, f->amount))
		broken(m, "it gave back credit that it wasn't asked for");
}

static void take_datagram(struct mux *m, struct stream *s, const struct frame *f)
{
	if (!stream_is_datagram(s))
		broken(m, "a datagram on a stream of bytes");
	else if (s->events && s->events->on_datagram)
		s->events->on_datagram(s->arg, &f->datagram.peer, f->datagram.marks, f->payload, f->payload_len);
}

static void take_datagram_error(struct mux *m, struct stream *s, const struct frame *f)
{
	if (!stream_is_datagram(s))
		broken(m, "a datagram's error on a stream of bytes");
	else if (s->events && s->events->on_error)
		s->events->on_error(s->arg, &f->datagram_error.peer, &f->datagram_error.icmp, f->payload, f->payload_len);
}

static void take_ping(struct mux *m, struct stream *s, const struct frame *f)
{
	if (++m->pongs > PONGS_MAX)
		broken(m, "a flood of pings");
	else
		mux_put(m, &m->urgent, &(struct frame){ .type = FRAME_PONG, .number = f->number });
}

static void take_pong(struct mux *m, struct stream *s, const struct frame *f)
{
	if (!mux_take_pong(m, f->number))
		broken(m, "a pong without a ping");
}

/* Puts a part of a message behind those that came. */
static int info_append(struct mux *m, const struct frame *f)
{
	uint8_t *info = f->payload_len ? realloc(m->info, m->info_len + f->payload_len) : m->info;

	if (f->payload_len && !info)
		return -1;
	m->info = info;
	if (f->payload_len)
		memcpy(m->info + m->info_len, f->payload, f->payload_len);
	m->info_len += f->payload_len;
	m->info_topic = f->topic;
	return 0;
}

static void take_info(struct mux *m, struct stream *s, const struct frame *f)
{
	uint8_t *info = m->info;
	size_t len;

	if (!info && !(f->flags & FRAME_MORE)) {
		if (m->events->on_info)
			m->events->on_info(m->arg, f->topic, f->payload, f->payload_len);
		return;
	}
	if (m->info_len + f->payload_len > MUX_INFO_MAX || (info && f->topic != m->info_topic) ||
	    ((f->flags & FRAME_MORE) && !f->payload_len)) {
		broken(m, "a message that is too long or mixed with another");
		return;
	}
	if (info_append(m, f) < 0) {
		mux_fail(m, ENOMEM, "receive a message");
		return;
	}
	if (f->flags & FRAME_MORE)
		return;
	info = m->info;
	len = m->info_len;
	m->info = NULL;
	m->info_len = 0;
	if (m->events->on_info)
		m->events->on_info(m->arg, f->topic, info, len);
	free(info);
}

static void take_ack(struct mux *m, struct stream *s, const struct frame *f)
{
	if (!m->keeping)
		broken(m, "an acknowledgement on a tunnel that can't be resumed");
	else if (!mux_take_ack(m, f->number))
		broken(m, "an acknowledgement of what wasn't sent");
}

static void take_close(struct mux *m, struct stream *s, const struct frame *f)
{
	char text[FRAME_CLOSE_MAX + 1];

	text_copy(text, sizeof(text), f->payload, f->payload_len);
	if (*text)
		mux_fail(m, 0, "the %s ended it: %s", mux_peer_name(m), text);
	else
		mux_fail(m, 0, "the %s ended it", mux_peer_name(m));
}

enum { ANY = 1 << STATE_OPENING | 1 << STATE_OFFERED | 1 << STATE_OPEN, OPEN = 1 << STATE_OPEN, HERE = 1 << STATE_OFFERED };

/* What is done with each frame, and in which states of its stream it may come. */
static const struct {
	void (*take)(struct mux *m, struct stream *s, const struct frame *f);
	unsigned int states;
} takers[] = {
	[FRAME_OPEN] = { take_open, ANY },
	[FRAME_OPENED] = { take_opened, ANY },
	[FRAME_DATA] = { take_data, OPEN },
	[FRAME_END] = { take_end, OPEN },
	[FRAME_RESET] = { take_reset, ANY },
	[FRAME_CREDIT] = { take_credit, OPEN | HERE },
	[FRAME_RECALL] = { take_recall, ANY },
	[FRAME_RETURN] = { take_return, ANY },
	[FRAME_DATAGRAM] = { take_datagram, OPEN | HERE },
	[FRAME_DATAGRAM_ERROR] = { take_datagram_error, OPEN | HERE },
	[FRAME_PING] = { take_ping, 0 },
	[FRAME_PONG] = { take_pong, 0 },
	[FRAME_INFO] = { take_info, 0 },
	[FRAME_ACK] = { take_ack, 0 },
	[FRAME_CLOSE] = { take_close, 0 },
};

static void take_frame(struct mux *m, const struct frame *f)
{
	struct stream *s = f->stream ? stream_find(m, f->stream) : NULL;

	if (!frame_name(f->type))
		return; /* one that may be ignored */
	if (s && !(takers[f->type].states & 1u << s->state)) {
		broken(m, "a frame for a stream that isn't open");
		return;
	}
	if (f->stream && !s && f->type != FRAME_OPEN) {
		if (!stream_id_is_old(m, f->stream))
			broken(m, "a frame for a stream that never was");
		return;
	}
	takers[f->type].take(m, s, f);
}

static void hello_refuse(struct mux *m, int error)
{
	char text[65];

	if (error == HELLO_NOT_OURS) {
		text_copy(text, sizeof(text), m->in, m->in_len);
		mux_fail(m, 0, "the other side is no mirrord %s; it began with \"%s\"", mux_peer_name(m), text);
	} else {
		broken(m, "a malformed hello");
	}
}

/* Returns the bytes it took; 0 when the hello isn't whole or doesn't suit. */
static size_t take_hello(struct mux *m)
{
	static const struct hello ours = { .lowest = MUX_VERSION, .highest = MUX_VERSION };
	struct hello h;
	ssize_t n = hello_decode(m->in, m->in_len, &h);

	if (n < 0)
		hello_refuse(m, (int)n);
	if (n <= 0)
		return 0;
	if (!hello_version(&ours, &h))
		mux_fail(m, 0, "the %s speaks versions %u to %u of the protocol, we speak %u", mux_peer_name(m), h.lowest, h.highest,
			 MUX_VERSION);
	else if (h.role != (m->role == MUX_SESSION ? HELLO_AGENT : HELLO_SESSION))
		mux_fail(m, 0, "the other side is no %s", mux_peer_name(m));
	else if (h.flags & HELLO_RESUMES)
		mux_fail(m, 0, "the %s wants to resume a tunnel that is gone", mux_peer_name(m));
	else
		mux_become_ready(m, &h);
	m->received -= (size_t)n;
	return (size_t)n;
}

/* Looks at what was read. */
static void take_bytes(struct mux *m)
{
	size_t at = m->ready ? 0 : take_hello(m);

	while (m->ready && !m->failed) {
		struct frame f;
		ssize_t n = frame_decode(m->in + at, m->in_len - at, &f);

		if (n < 0)
			broken(m, frame_strerror((int)n));
		if (n <= 0)
			break;
		at += (size_t)n;
		take_frame(m, &f);
	}
	m->in_len -= at;
	memmove(m->in, m->in + at, m->in_len);
}

void mux_receive(struct mux *m)
{
	for (int i = 0; i < RECEIVE_READS && !m->failed && !m->torn; i++) {
		size_t room = RECEIVE_ROOM - m->in_len;
		ssize_t n = read(m->fds[SIDE_IN], m->in + m->in_len, room);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0 && errno == ECONNRESET)
			n = 0; /* it hung up without having read all */
		if (n < 0)
			mux_tear(m, errno, "read from the %s", mux_peer_name(m));
		else if (n == 0)
			mux_tear(m, 0, m->in_len ? "the %s hung up in the middle of a frame" : "the %s hung up", mux_peer_name(m));
		if (n <= 0)
			return;
		m->in_len += (size_t)n;
		m->received += (size_t)n;
		m->heard = loop_now(m->loop);
		take_bytes(m);
		if (m->received - m->acknowledged >= m->ack_step)
			mux_acknowledge(m);
		if ((size_t)n < room)
			return;
	}
}
