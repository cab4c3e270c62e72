// SPDX-License-Identifier: MIT
/* A copy's life.
 *
 *   WAITING ─ a request begins ─► DIALING ─► OPEN ─► the client's connection is over, its bytes are written, the program has closed ─► freed
 *   (for a safe place)  ▲            │        │
 *                       └── refused ─┴────────┴─ a gap, too slow, the program closed it: reset
 *
 * A connection that was seen from its beginning is dialed at once, so that a program which speaks first is spoken to. What is written while
 * the dial is out, or does not fit into the socket, waits in the backlog; when that is too much the copy is dropped. Each answer
 * is read, so that the program never waits for us, and dropped.
 *
 * A program that closes a connection between two requests (an idle time of its own) gets the next request by a new one.
 *
 * With a filter a picker stands in front of that: it sees all of the client's bytes, the copy those of the requests that the filter wants, and
 * it is dialed when the first of them begins. Of HTTP/2 it doesn't see the bytes: the picker has frames of its own for the program, which are
 * pulled as the socket takes them, and reads the answers. */
#include "agent/copy.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "capture/request_start.h"

enum copy_state { WAITING, DIALING, OPEN };
enum { DROP_AT_A_TIME = 64 << 10, DROP_TURN = 16 }; /* bytes, reads */
enum { FRAMES = 64 << 10, FRAME_MAX = 32 << 10 };	    /* of HTTP/2, in one write */

static void on_linger(struct timer *t);

void copies_init(struct copies *all, struct loop *loop)
{
	all->loop = loop;
	all->linger.on_due = on_linger;
	list_init(&all->all);
	list_init(&all->leaving);
}

static void on_reap(struct deferred *d)
{
	struct copy *c = container_of(d, struct copy, reap);

	picker_free(c->picker);
	free(c);
}

static void forget_backlog(struct copy *c)
{
	c->all->bytes -= backlog_len(&c->backlog);
	backlog_fini(&c->backlog);
}

/* Back to WAITING; the program's connection, if there is one, is reset: its socket has SO_LINGER of 0. */
static void drop(struct copy *c)
{
	if (c->state == DIALING) {
		c->all->dialing--;
		c->all->abandon(c->all->arg, c);
	} else if (c->state == OPEN) {
		loop_unwatch(c->all->loop, &c->watch);
		close(c->watch.fd);
	}
	forget_backlog(c);
	if (c->picker)
		picker_disconnect(c->picker);
	c->program_ended = false;
	c->skipped = true; /* what is left out from here on was counted */
	c->state = WAITING;
}

static void end(struct copy *c)
{
	drop(c);
	c->all->bytes -= c->picked_from;
	c->picked_from = 0;
	list_remove(&c->node);
	list_remove(&c->of_connection);
	list_remove(&c->of_leaving);
	c->all->on_end(c->all->arg, c);
	loop_defer(c->all->loop, &c->reap, on_reap);
}

/* Both sides have said their end and heard the other's: no reset. */
static void close_well(struct copy *c)
{
	fd_reset_on_close(c->watch.fd, false);
	drop(c);
}

static bool is_http2(const struct copy *c)
{
	return c->picker && picker_is_http2(c->picker);
}

/* Ends what is at its end. */
static void settle(struct copy *c)
{
	bool written = c->state == OPEN && !backlog_len(&c->backlog) && (!c->picker || picker_is_over(c->picker));

	if (c->program_ended && c->client_ended && (written || is_http2(c)))
		close_well(c);
	if (list_linked(&c->of_leaving) && (c->state == WAITING || (written && c->client_reset)))
		end(c);
}

static void lose(struct copy *c, enum counter why)
{
	c->all->count(c->all->arg, c, why);
	drop(c);
	settle(c);
}

static void dial(struct copy *c)
{
	if (c->all->dialing >= COPIES_DIALING) {
		c->all->count(c->all->arg, c, COUNTER_MIRROR_SLOW);
		return;
	}
	c->all->dialing++;
	c->state = DIALING;
	c->all->dial(c->all->arg, c);
}

static void on_picked(void *arg, enum picker_event what);
static void on_picked_bytes(void *arg, const uint8_t *data, size_t len);
static const struct picker_events picker_events = { on_picked, on_picked_bytes };

struct copy *copy_new(struct copies *all, void *subscription, const struct endpoint *client, const struct endpoint *destination, bool middle,
		      struct http_filter *filter, size_t body_max)
{
	struct copy *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	*c = (struct copy){ .all = all, .subscription = subscription, .client = *client, .destination = *destination, .lost = middle };
	if (filter && !(c->picker = picker_new(filter, body_max, &client->ip, &picker_events, c))) {
		free(c);
		return NULL;
	}
	list_append(&all->all, &c->node);
	if (!middle && !filter)
		dial(c);
	return c;
}

static uint32_t interest(const struct copy *c)
{
	return (c->program_ended ? 0 : EPOLLIN | EPOLLRDHUP) | (backlog_len(&c->backlog) ? EPOLLOUT : 0);
}

/* How much the socket took; -1: the program's side is gone. */
static ssize_t write_some(struct copy *c, const uint8_t *data, size_t len)
{
	ssize_t n = send(c->watch.fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == EINTR))
		return 0;
	return n;
}

static bool pass_end(struct copy *c)
{
	if (!c->client_ended || backlog_len(&c->backlog) || (c->picker && !picker_is_over(c->picker)))
		return true;
	return shutdown(c->watch.fd, SHUT_WR) == 0;
}

static bool write_backlog(struct copy *c)
{
	ssize_t n = backlog_len(&c->backlog) ? write_some(c, backlog_first(&c->backlog), backlog_len(&c->backlog)) : 0;

	if (n < 0)
		return false;
	c->all->bytes -= (size_t)n;
	if (n)
		backlog_take(&c->backlog, (size_t)n);
	return pass_end(c) && loop_rewatch(c->all->loop, &c->watch, interest(c)) == 0;
}

/* TCP drops bytes without copying them (tcp(7), MSG_TRUNC). Those of HTTP/2 have to be read: they say how much may be sent. */
static bool drop_answers(struct copy *c)
{
	static uint8_t room[DROP_AT_A_TIME];

	for (int i = 0; i < DROP_TURN; i++) {
		bool reads = is_http2(c);
		ssize_t n = recv(c->watch.fd, room, sizeof(room), MSG_DONTWAIT | (c->unix_socket || reads ? 0 : MSG_TRUNC));

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		if (n == 0) {
			c->program_ended = true;
			return loop_rewatch(c->all->loop, &c->watch, interest(c)) == 0;
		}
		if (reads && !picker_answer(c->picker, room, (size_t)n))
			return false;
		if ((size_t)n < sizeof(room))
			return true;
	}
	return true;
}

static void pass(struct copy *c, const uint8_t *data, size_t len);
static void settle_picker(struct copy *c);

/* Of the next frames, as many as go into one write. */
static size_t gather_frames(struct copy *c, uint8_t *out)
{
	size_t filled = 0, n;
	const uint8_t *data;

	while (filled < FRAMES && (n = picker_pull(c->picker, &data)) > 0) {
		memcpy(out + filled, data, n);
		filled += n;
	}
	return filled;
}

/* What there is to be said to a program by HTTP/2, as long as it is taken. */
static void push(struct copy *c)
{
	static uint8_t frames[FRAMES + FRAME_MAX];
	size_t n;

	if (!is_http2(c))
		return;
	if (c->state == WAITING)
		picker_disconnect(c->picker);
	while (c->state == OPEN && !backlog_len(&c->backlog) && (n = gather_frames(c, frames)) > 0)
		pass(c, frames, n);
	if (c->state == OPEN && !pass_end(c))
		drop(c);
	settle_picker(c);
}

static void on_ready(struct watch *w, uint32_t events)
{
	struct copy *c = container_of(w, struct copy, watch);
	bool fine = !(events & EPOLLERR);

	if (fine && !c->program_ended && events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))
		fine = drop_answers(c);
	if (fine && events & EPOLLOUT)
		fine = write_backlog(c);
	if (!fine || (events & EPOLLHUP && c->program_ended && !c->client_ended))
		drop(c);
	push(c);
	settle(c);
}

void copy_connected(struct copy *c, int fd)
{
	c->all->dialing--;
	c->state = OPEN;
	c->watch.fd = fd;
	c->unix_socket = fd_is_unix(fd);
	if (loop_watch(c->all->loop, &c->watch, fd, EPOLLIN | EPOLLRDHUP, on_ready) < 0 || !write_backlog(c))
		drop(c);
	push(c);
	settle(c);
}

void copy_refused(struct copy *c)
{
	c->all->dialing--;
	c->state = WAITING;
	drop(c);
	settle(c);
}

/* May this one have @wanted bytes that wait, of which @have are in the account? A lone copy may take a burst in; many slow ones can't fill the
 * room for good ones. */
static bool has_room(const struct copy *c, size_t have, size_t wanted)
{
	size_t others = c->all->bytes - have;

	if (others + wanted > COPIES_BACKLOG)
		return false;
	return wanted <= COPY_BACKLOG || wanted <= (COPIES_BACKLOG - others) / 2;
}

static void keep(struct copy *c, const uint8_t *data, size_t len)
{
	size_t have = backlog_len(&c->backlog);

	if (!has_room(c, have, have + len) || !backlog_add(&c->backlog, data, len)) {
		lose(c, COUNTER_MIRROR_SLOW);
		return;
	}
	c->all->bytes += len;
	if (c->state == OPEN && loop_rewatch(c->all->loop, &c->watch, interest(c)) < 0)
		drop(c);
}

static void pass(struct copy *c, const uint8_t *data, size_t len)
{
	ssize_t n = 0;

	if (c->state == WAITING)
		return;
	if (c->state == OPEN && !backlog_len(&c->backlog))
		n = write_some(c, data, len);
	if (n < 0)
		drop(c);
	else if ((size_t)n < len)
		keep(c, data + n, len - (size_t)n);
}

/* A request begins that is for the program. */
static void begin_request(struct copy *c)
{
	if (c->program_ended || (c->picker && picker_is_left(c->picker)))
		drop(c);
	if (c->state == WAITING)
		dial(c);
}

static void skip_middle(struct copy *c)
{
	if (!c->skipped)
		c->all->count(c->all->arg, c, COUNTER_MIRROR_MIDDLE);
	c->skipped = true;
}

/* Nothing more will come. */
static void finish(struct copy *c)
{
	c->client_ended = true;
	push(c);
	if (c->state == OPEN && !pass_end(c))
		drop(c);
}

static void on_picked(void *arg, enum picker_event what)
{
	static const enum counter counters[] = { [PICKER_WANTED] = COUNTER_HTTP_STOLEN, [PICKER_OTHER] = COUNTER_HTTP_PASSED,
						 [PICKER_UNSAFE] = COUNTER_HTTP_UNSAFE, [PICKER_CUT] = COUNTER_HTTP_UNSAFE,
						 [PICKER_HTTP2] = COUNTER_MIRROR_HTTP2, [PICKER_HOLE] = COUNTER_MIRROR_HOLE,
						 [PICKER_REFUSED] = COUNTER_MIRROR_REFUSED };
	struct copy *c = arg;

	c->all->count(c->all->arg, c, counters[what]);
	if (what == PICKER_WANTED)
		begin_request(c);
	else if (what == PICKER_CUT)
		drop(c);
	else if (what == PICKER_UNSAFE || what == PICKER_HTTP2)
		finish(c);
}

static void on_picked_bytes(void *arg, const uint8_t *data, size_t len)
{
	pass(arg, data, len);
}

/* What the picker keeps is in the account of all. */
static void settle_picker(struct copy *c)
{
	size_t now = picker_kept(c->picker);
	bool fits = !now || has_room(c, c->picked_from, now);

	c->all->bytes += now - c->picked_from;
	c->picked_from = now;
	if (!fits) {
		c->lost = !picker_forget(c->picker);
		settle_picker(c);
		lose(c, COUNTER_MIRROR_SLOW);
	}
}

static void pick(struct copy *c, const uint8_t *data, size_t len)
{
	if (c->lost && !(capture_request_start(data, len) && picker_restart(c->picker))) {
		skip_middle(c);
		return;
	}
	c->lost = false;
	picker_data(c->picker, data, len);
	settle_picker(c);
	push(c);
}

void copy_data(struct copy *c, const uint8_t *data, size_t len)
{
	if (c->picker) {
		pick(c, data, len);
		return;
	}
	if (c->program_ended || c->state == WAITING) {
		if (capture_request_start(data, len))
			begin_request(c);
		else if (c->state == WAITING)
			skip_middle(c);
	}
	pass(c, data, len);
}

void copy_gap(struct copy *c, size_t len)
{
	if (c->picker ? c->lost || picker_gap(c->picker, len) : c->state == WAITING)
		return;
	if (c->picker) {
		c->lost = true;
		settle_picker(c);
	}
	lose(c, COUNTER_MIRROR_HOLE);
}

static void end_client(struct copy *c)
{
	if (c->picker && !c->lost) {
		picker_end(c->picker);
		settle_picker(c);
	}
	finish(c);
}

void copy_client_end(struct copy *c)
{
	end_client(c);
	settle(c);
}

void copy_leave(struct copy *c, bool reset)
{
	list_remove(&c->of_connection);
	if (is_http2(c) && !c->client_ended) /* a reset ends the requests that weren't whole, and no others */
		end_client(c);
	c->client_reset = reset;
	c->deadline = loop_now(c->all->loop) + COPY_LINGER;
	list_append(&c->all->leaving, &c->of_leaving);
	if (!c->all->linger.index)
		loop_arm(c->all->loop, &c->all->linger, c->deadline);
	settle(c);
}

static void on_linger(struct timer *t)
{
	struct copies *all = container_of(t, struct copies, linger);

	while (!list_empty(&all->leaving)) {
		struct copy *c = container_of(all->leaving.next, struct copy, of_leaving);

		if (c->deadline > loop_now(all->loop)) {
			loop_arm(all->loop, t, c->deadline);
			return;
		}
		end(c);
	}
}

void copy_unsubscribed(struct copy *c)
{
	if (c->state != OPEN)
		end(c);
}

void copy_cut(struct copy *c)
{
	end(c);
}
