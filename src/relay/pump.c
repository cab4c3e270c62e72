// SPDX-License-Identifier: MIT
/* The pump.
 *
 * Two sides, and from each side a direction to the other. Both are handled by the same code, indexed by the side that is read.
 *
 *   read ──► written in full ──► read again, until a short read or PUMP_TURN bytes
 *     │            └─ in part: the rest is kept, and nothing is read until the other side was writable and took it
 *     └─ end: when nothing is kept, passed on as a half-close; with both directions ended the pump ends
 *
 * The usual exchange, a few bytes in and out, takes one epoll_wait, one recv and one send, and no memory: all pumps read
 * into one buffer, and only what a slow reader didn't take is copied (at most PUMP_BUFFER bytes per direction, and PUMP_KEPT in
 * all before reads get short).
 *
 * splice(2) through a pipe was tried for bulk: it wins where the receiver is always ahead, and loses more where it isn't, since what doesn't fit
 * has to be read out of the pipe (docs/performance.md).
 *
 * Watches are edge-triggered, so the interest never changes with the state but once: EPOLLOUT joins when a write first was
 * short (earlier it would report each new socket as writable). What an edge told is remembered until a recv or send
 * says otherwise: a side is `readable` until a read came back short. A short read is the last
 * one only without `more` to tell: a FIN, a reset or urgent data behind the bytes came with the same edge, and no other will.
 *
 * Resets: whatever error a side reports, both are closed with SO_LINGER 0. Bytes that came before the reset are passed on first as far as
 * the other side takes them without waiting, as they would be in its receive queue without us; also when it is a send that meets the error
 * first (a server answers "413 Content Too Large" and closes while its client sends). Who is told the error takes it away, and a read
 * behind that says "end": it was one only after EPIPE. A side that closed while the other still sends answers with a reset of its own, and
 * that comes back as one. On a graceful end SO_LINGER is taken off, so that the kernel goes on sending what it has.
 *
 * Urgent data (EPOLLPRI): reads stop at the mark by themselves; the byte there is fetched and sent with MSG_OOB. */
#include "relay/pump.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "relay/backlog.h"

enum {
	PUMP_BUFFER = 512 << 10, /* one read, and the most that a direction keeps */
	PUMP_LEAN = 32 << 10,	 /* the same while more than PUMP_KEPT bytes are kept in all */
	PUMP_TURN = 512 << 10, /* bytes of a direction before others have their turn */
};

static const uint32_t INTEREST = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET;
static const uint32_t HANG_UP = EPOLLRDHUP | EPOLLHUP | EPOLLERR;

/* One side, and the direction from it. */
struct side {
	struct watch watch;
	struct backlog kept;
	bool index;
	bool readable, more, urgent;
	bool ended, passed; /* the end was read, and passed on */
	bool broken;	    /* it said so, and not by EPIPE */
};

struct pump {
	struct side sides[2];
	struct loop *loop;
	struct list node;
	void (*on_end)(void *arg);
	void *arg;
};

/* Of all pumps: it holds bytes only between a recv and the send behind it. */
static uint8_t buffer[PUMP_BUFFER];
static size_t kept_in_all, keep_most = PUMP_KEPT;

size_t pump_kept(void)
{
	return kept_in_all;
}

void pump_limit(size_t limit)
{
	keep_most = limit;
}

static void end(struct pump *p)
{
	list_remove(&p->node);
	for (int s = 0; s < 2; s++) {
		loop_close_last(p->loop, &p->sides[s].watch);
		kept_in_all -= backlog_len(&p->sides[s].kept);
		backlog_fini(&p->sides[s].kept);
	}
	if (p->on_end)
		p->on_end(p->arg);
	free(p);
}

static void end_gracefully(struct pump *p)
{
	for (int s = 0; s < 2; s++)
		fd_reset_on_close(p->sides[s].watch.fd, false);
	end(p);
}

/* Sends what it can. Returns how much, or -1 on an error that ends the pump. The caller keeps the rest. */
static ssize_t give(struct pump *p, struct side *from, const void *data, size_t len, int flags)
{
	struct side *to = &p->sides[!from->index];
	ssize_t n = send(to->watch.fd, data, len, flags | MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != ENOBUFS) {
		to->broken |= errno != EPIPE;
		return -1;
	}
	if (n < 0)
		n = 0;
	if ((size_t)n < len && loop_rewatch(p->loop, &to->watch, INTEREST | EPOLLOUT) < 0)
		return -1;
	return n;
}

static bool keep(struct side *from, const uint8_t *data, size_t len)
{
	if (!backlog_add(&from->kept, data, len))
		return false;
	kept_in_all += len;
	return true;
}

static bool give_kept(struct pump *p, struct side *from)
{
	ssize_t n = give(p, from, backlog_first(&from->kept), backlog_len(&from->kept), 0);

	if (n < 0)
		return false;
	kept_in_all -= (size_t)n;
	backlog_take(&from->kept, (size_t)n);
	return true;
}

/* At the mark, the urgent byte is fetched and passed on; otherwise the next read goes up to the mark. */
static bool pass_urgent(struct pump *p, struct side *from)
{
	int at_mark = 0;
	uint8_t byte;
	ssize_t n;

	if (ioctl(from->watch.fd, SIOCATMARK, &at_mark) < 0 || !at_mark)
		return true;
	if (recv(from->watch.fd, &byte, 1, MSG_OOB | MSG_DONTWAIT) != 1) {
		from->urgent = errno == EAGAIN; /* announced, and still on its way */
		return true;
	}
	from->urgent = false;
	n = give(p, from, &byte, 1, MSG_OOB);
	if (n == 0) /* late is better than lost: it loses its mark */
		return keep(from, &byte, 1);
	return n == 1;
}

/* One read and the write behind it. Returns the bytes read, 0 when there is no more to do now, -1 on an error. */
static ssize_t carry(struct pump *p, struct side *from)
{
	size_t room = kept_in_all > keep_most ? PUMP_LEAN : PUMP_BUFFER;
	ssize_t n, sent;

	if (from->urgent && !pass_urgent(p, from))
		return -1;
	if (backlog_len(&from->kept))
		return 0;
	n = recv(from->watch.fd, buffer, room, MSG_DONTWAIT);
	from->broken |= n < 0 && errno != EAGAIN;
	if (n <= 0 && from->broken)
		return -1;
	if (n <= 0) {
		from->readable = false;
		from->ended = n == 0;
		return 0;
	}
	if ((size_t)n < room && !from->more && !from->urgent)
		from->readable = false;
	sent = give(p, from, buffer, (size_t)n, 0);
	if (sent < 0 || (sent < n && !keep(from, buffer + sent, (size_t)(n - sent))))
		return -1;
	return n;
}

/* Passes the end on. The last of the two does it by closing. */
static bool pass_end(struct pump *p, struct side *from)
{
	struct side *to = &p->sides[!from->index];

	from->passed = true;
	return to->passed || shutdown(to->watch.fd, SHUT_WR) == 0;
}

/* Moves what there is from one side to the other. False: the connection is broken. */
static bool move(struct pump *p, struct side *from)
{
	size_t turn = 0;

	while (from->readable && !backlog_len(&from->kept)) {
		ssize_t n = carry(p, from);

		if (n < 0)
			return false;
		turn += (size_t)n;
		if (turn >= PUMP_TURN && from->readable && !from->more) {
			from->readable = false;
			if (loop_rearm(p->loop, &from->watch) < 0)
				return false;
		}
	}
	return !from->ended || from->passed || pass_end(p, from); /* with bytes kept, nothing was read behind them */
}

/* The connection is broken: what either side sent before goes first. */
static void pass_rest(struct pump *p)
{
	for (int s = 0; s < 2; s++) {
		struct side *from = &p->sides[s];

		from->readable = from->more = !from->ended;
		move(p, from);
	}
}

static void on_ready(struct watch *w, uint32_t events)
{
	struct side *side = container_of(w, struct side, watch);
	struct pump *p = container_of(side - side->index, struct pump, sides[0]);
	struct side *other = &p->sides[!side->index];
	bool fine;

	if (events & (EPOLLIN | EPOLLPRI | HANG_UP))
		side->readable = !side->ended;
	if (events & HANG_UP)
		side->more = true;
	if (events & EPOLLPRI)
		side->urgent = true;
	fine = move(p, side);
	if (fine && backlog_len(&other->kept) && events & (EPOLLOUT | HANG_UP))
		fine = give_kept(p, other) && move(p, other);
	if (!fine)
		pass_rest(p);
	if (!fine || events & EPOLLERR)
		end(p);
	else if (side->passed && other->passed)
		end_gracefully(p);
}

int pump_start(struct loop *loop, int a, int b, struct list *all, void (*on_end)(void *arg), void *arg)
{
	struct pump *p = calloc(1, sizeof(*p));
	int r = p ? 0 : -ENOMEM;

	if (!r)
		r = loop_watch(loop, &p->sides[0].watch, a, INTEREST, on_ready);
	if (!r)
		r = loop_watch(loop, &p->sides[1].watch, b, INTEREST, on_ready);
	if (r) {
		if (p)
			loop_unwatch(loop, &p->sides[0].watch);
		close(a);
		close(b);
		free(p);
		return r;
	}
	p->sides[1].index = 1;
	p->loop = loop;
	p->on_end = on_end;
	p->arg = arg;
	list_append(all, &p->node);
	return 0;
}

void pump_reset_all(struct list *all)
{
	while (!list_empty(all))
		end(container_of(all->next, struct pump, node));
}
