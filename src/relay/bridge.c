// SPDX-License-Identifier: MIT
/* The bridge.
 *
 *   socket ──recv──► place in the tunnel's send queue ──► peer          reads while the stream has room (its credit, its turn)
 *   socket ◄──send── bytes as the tunnel received them ◄── peer         what the socket doesn't take waits in the backlog
 *
 * The peer's credit bounds the backlog (MUX_WINDOW): bytes are consumed, which renews the credit, as the socket takes them. While there
 * is a backlog, its rest waits for EPOLLOUT and what comes joins it. Neither direction copies where the socket keeps up.
 *
 * Watches, short reads, the end and resets are as in the pump; see there. Where the pump has a second socket, there is a stream:
 * its room for EPOLLOUT, stream_end() for shutdown(), stream_reset() for a close with a reset.
 *
 * Urgent data: as in the pump, the byte at the mark is fetched and sent with MSG_OOB; in the tunnel it is a frame of its own. One that has to
 * wait in the backlog keeps its mark there. Of two that wait, the second has it, as in a socket's buffer.
 *
 * The socket may be one of a unix pair (egress_ops.take), whose owner has no other way to say "reset" than to close it before it has
 * read the stream's end. Then both directions are shut at once (EPOLLHUP), which a TCP socket never is before that end came. Between Unix
 * sockets such a close is nothing unusual, and no byte before it may be lost: a bridge of theirs lingers behind a reset of its stream until the
 * socket has taken what came before.
 *
 * A bridge may end in a call from the mux while it is in one to the mux, so it is freed after the turn. */
#include "relay/bridge.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

enum { BRIDGE_TURN = 256 << 10 }; /* bytes of a socket's before others have their turn */

static const uint32_t INTEREST = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET;
static const uint32_t HANG_UP = EPOLLRDHUP | EPOLLHUP | EPOLLERR;

struct bridge {
	struct watch watch;
	struct loop *loop;
	struct stream *stream; /* NULL: over, or it lingers */
	struct list node;
	struct deferred reap;
	struct backlog backlog; /* from the stream */
	size_t urgent_end;	/* how many of these bytes there are up to the urgent one; 0: none is */
	bool readable, more, urgent; /* as the pump's */
	bool read_end, got_end; /* the end of what the socket, the stream gives */
	bool lingers;
	bool closed;		/* both directions of the socket ended, and the stream hadn't */
	bool broken;		/* as the pump's */
};

static void on_reap(struct deferred *d)
{
	free(container_of(d, struct bridge, reap));
}

/* The stream is done with already. */
static void end(struct bridge *b)
{
	b->stream = NULL;
	list_remove(&b->node);
	loop_close_last(b->loop, &b->watch);
	backlog_fini(&b->backlog);
	loop_defer(b->loop, &b->reap, on_reap);
}

static void reset(struct bridge *b)
{
	if (b->stream)
		stream_reset(b->stream, ECONNRESET);
	end(b);
}

/* Ends the bridge when both directions have. */
static void settle(struct bridge *b)
{
	if (!b->read_end || !b->got_end || backlog_len(&b->backlog))
		return;
	fd_reset_on_close(b->watch.fd, false);
	stream_close(b->stream);
	end(b);
}

/* Sends what the socket takes of @len bytes. Returns how much, or -1 when it is broken. */
static ssize_t give(struct bridge *b, const uint8_t *data, size_t len, int flags)
{
	ssize_t n = send(b->watch.fd, data, len, flags | MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != ENOBUFS) {
		b->broken |= errno != EPIPE || fd_is_unix(b->watch.fd);
		return -1;
	}
	if (n < 0)
		n = 0;
	if ((size_t)n < len && loop_rewatch(b->loop, &b->watch, INTEREST | EPOLLOUT) < 0)
		return -1;
	if (n && b->stream)
		stream_consumed(b->stream, (size_t)n);
	return n;
}

/* The stream's end, when all before it has gone out. The second of the two ends is passed on by closing. */
static bool pass_end(struct bridge *b)
{
	if (!b->got_end || backlog_len(&b->backlog) || b->read_end)
		return true;
	return shutdown(b->watch.fd, SHUT_WR) == 0;
}

/* Up to the urgent byte, that byte, or all. Returns as give(). */
static ssize_t give_piece(struct bridge *b)
{
	size_t len = b->urgent_end > 1 ? b->urgent_end - 1 : b->urgent_end ? 1 : backlog_len(&b->backlog);
	ssize_t n = give(b, backlog_first(&b->backlog), len, b->urgent_end == 1 ? MSG_OOB : 0);

	if (n <= 0)
		return n;
	backlog_take(&b->backlog, (size_t)n);
	if (b->urgent_end)
		b->urgent_end -= (size_t)n;
	return n;
}

static bool give_backlog(struct bridge *b)
{
	while (backlog_len(&b->backlog)) {
		bool marked = b->urgent_end;
		ssize_t n = give_piece(b);

		if (n < 0)
			return false;
		if (n == 0 || !marked)
			break;
	}
	return pass_end(b);
}

/* At the mark, the urgent byte is fetched and passed on; otherwise the next read goes up to the mark. */
static void pass_urgent(struct bridge *b)
{
	int at_mark = 0;
	size_t room;
	uint8_t *place;

	if (ioctl(b->watch.fd, SIOCATMARK, &at_mark) < 0 || !at_mark || !(place = stream_reserve(b->stream, &room)))
		return;
	if (recv(b->watch.fd, place, 1, MSG_OOB | MSG_DONTWAIT) == 1) {
		b->urgent = false;
		stream_commit_urgent(b->stream);
	} else {
		b->urgent = errno == EAGAIN; /* announced, and still on its way */
		stream_commit(b->stream, 0);
	}
}

/* One read into the stream. Returns the bytes, 0 when there is no more to do now, -1 when the socket is broken. */
static ssize_t carry(struct bridge *b)
{
	size_t room;
	uint8_t *place;
	ssize_t n;
	bool fine;

	if (b->urgent)
		pass_urgent(b);
	place = stream_reserve(b->stream, &room);
	if (!place)
		return 0; /* on_room follows */
	n = recv(b->watch.fd, place, room, MSG_DONTWAIT);
	b->broken |= n < 0 && errno != EAGAIN;
	fine = n > 0 || !b->broken;
	stream_commit(b->stream, n > 0 ? (size_t)n : 0);
	if (n <= 0 || ((size_t)n < room && !b->more))
		b->readable = false;
	if (n == 0 && fine) {
		b->read_end = true;
		if (!b->closed)
			stream_end(b->stream);
	}
	return !fine ? -1 : n > 0 ? n : 0;
}

/* Reads while there is something to read and room for it. False: the socket is broken. */
static bool read_socket(struct bridge *b)
{
	size_t turn = 0;

	while (b->readable && b->stream) {
		ssize_t n = carry(b);

		if (n <= 0)
			return n == 0;
		turn += (size_t)n;
		if (turn >= BRIDGE_TURN && b->readable)
			return loop_rearm(b->loop, &b->watch) == 0;
	}
	return true;
}

/* The socket is broken: what it had before goes first, as far as there is room. */
static void give_up(struct bridge *b)
{
	b->readable = b->more = !b->read_end;
	while (b->readable && b->stream && carry(b) > 0)
		;
	if (b->stream)
		reset(b);
}

static void go_on(struct bridge *b, bool fine)
{
	if (!b->stream)
		return;
	if (!fine)
		give_up(b);
	else if (b->closed && b->read_end)
		reset(b);
	else
		settle(b);
}

static void on_ready(struct watch *w, uint32_t events)
{
	struct bridge *b = container_of(w, struct bridge, watch);
	bool fine;

	if (!b->stream) {
		if (!give_backlog(b) || !backlog_len(&b->backlog))
			end(b);
		return;
	}
	if (events & EPOLLPRI)
		b->urgent = true;
	if (events & (EPOLLIN | EPOLLPRI | HANG_UP))
		b->readable = !b->read_end;
	if (events & (EPOLLPRI | HANG_UP)) /* reads are short at the mark, too */
		b->more = true;
	if (events & EPOLLHUP && !(events & EPOLLERR) && !b->got_end) /* a TCP socket that had a FIN and a reset has both */
		b->closed = true;
	fine = read_socket(b);
	if (fine && b->stream && backlog_len(&b->backlog) && events & (EPOLLOUT | HANG_UP))
		fine = give_backlog(b);
	go_on(b, fine && !(events & EPOLLERR));
}

static void on_data(void *arg, const uint8_t *data, size_t len)
{
	struct bridge *b = arg;
	ssize_t n = backlog_len(&b->backlog) ? 0 : give(b, data, len, 0);

	if (n < 0 || !backlog_add(&b->backlog, data + n, len - (size_t)n))
		give_up(b);
}

static void on_urgent(void *arg, const uint8_t *byte)
{
	struct bridge *b = arg;
	ssize_t n = backlog_len(&b->backlog) ? 0 : give(b, byte, 1, MSG_OOB);

	if (n == 0 && backlog_add(&b->backlog, byte, 1))
		b->urgent_end = backlog_len(&b->backlog);
	else if (n <= 0)
		give_up(b);
}

static void on_end(void *arg)
{
	struct bridge *b = arg;

	b->got_end = true;
	go_on(b, pass_end(b));
}

static void on_reset(void *arg, int error)
{
	struct bridge *b = arg;

	b->stream = NULL;
	if (!b->lingers || !backlog_len(&b->backlog))
		end(b);
}

static void on_room(void *arg)
{
	struct bridge *b = arg;

	if (b->readable)
		go_on(b, read_socket(b));
}

static const struct stream_events events = { .on_data = on_data, .on_urgent = on_urgent, .on_end = on_end, .on_reset = on_reset, .on_room = on_room };

static void start(struct loop *loop, struct stream *s, int fd, struct backlog *early, bool ended, struct list *all, bool lingers)
{
	struct bridge *b = calloc(1, sizeof(*b));

	if (!b || loop_watch(loop, &b->watch, fd, INTEREST, on_ready) < 0) {
		stream_reset(s, ECONNRESET);
		close(fd);
		free(b);
		return;
	}
	b->loop = loop;
	b->stream = s;
	b->got_end = ended;
	b->lingers = lingers;
	if (early) {
		b->backlog = *early;
		*early = (struct backlog){ 0 };
	}
	list_append(all, &b->node);
	stream_attach(s, &events, b);
	go_on(b, backlog_len(&b->backlog) ? give_backlog(b) : pass_end(b));
}

void bridge_start(struct loop *loop, struct stream *s, int fd, struct backlog *early, bool ended, struct list *all)
{
	start(loop, s, fd, early, ended, all, false);
}

void bridge_start_unix(struct loop *loop, struct stream *s, int fd, struct backlog *early, bool ended, struct list *all)
{
	start(loop, s, fd, early, ended, all, true);
}

void bridge_reset_all(struct list *all)
{
	while (!list_empty(all))
		reset(container_of(all->next, struct bridge, node));
}
