// SPDX-License-Identifier: MIT
/* A socket of an HTTP connection. Watched by edges, as in the pump: what an edge told is remembered until a read or a write says otherwise.
 * With TLS there is a codec between the socket and what is read and written; `out` has records then, and the same number of calls is made. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/http_internal.h"
#include "agent/tls_dial.h"
#include "agent/tls_farewell.h"
#include "agent/tls_link.h"
#include "base/fd.h"

enum {
	WIRE = 128 << 10,      /* one read of TLS records */
	WIRE_EARLY = 16 << 10, /* the same before anybody wants to have what is in them */
};

static const uint32_t INTEREST = EPOLLIN | EPOLLRDHUP | EPOLLET;
static const uint32_t HANG_UP = EPOLLRDHUP | EPOLLHUP | EPOLLERR;

/* Of all connections: it holds bytes only between a read and the write behind it. */
uint8_t http_buffer[HTTP_BUFFER];
static size_t kept_in_all;

bool http_keep(struct backlog *b, const void *data, size_t len)
{
	if (!backlog_add(b, data, len))
		return false;
	kept_in_all += len;
	return true;
}

void http_kept_take(struct backlog *b, size_t len)
{
	if (len) {
		kept_in_all -= len;
		backlog_take(b, len);
	}
}

int http_end_open(struct http_conn *c, struct http_end *e, int fd, struct tls_codec *tls, void (*on_ready)(struct watch *, uint32_t))
{
	int r = loop_watch(c->port->loop, &e->watch, fd, INTEREST, on_ready);

	e->tls = tls;
	if (r < 0) {
		close(fd);
		tls_codec_free(tls);
		e->tls = NULL;
		e->watch.fd = -1;
	}
	return r;
}

/* As an error would be told, which won't be. */
static void on_lost(struct socket_tie *t)
{
	struct http_end *e = container_of(t, struct http_end, tie);

	e->lost = true;
	e->watch.on_ready(&e->watch, EPOLLERR | EPOLLHUP);
}

int http_end_take(struct http_conn *c, struct http_end *e, struct dial *d, void (*on_ready)(struct watch *, uint32_t))
{
	struct tls_codec *tls = NULL;
	struct egress *egress = tls_dial_is(d) ? tls_dial_egress(d) : d->egress;
	int fd = tls_dial_is(d) ? tls_dial_take(d, &tls) : egress_dial_take(d);
	struct backlog kept = e->out;

	if (fd < 0)
		return fd;
	fd = http_end_open(c, e, fd, tls, on_ready);
	if (fd < 0)
		return fd;
	socket_tie(&e->tie, egress, on_lost);
	e->out = (struct backlog){ 0 };
	http_end_write(c, e, backlog_first(&kept), backlog_len(&kept));
	http_kept_take(&kept, backlog_len(&kept));
	return 0;
}

int http_end_take_fd(struct http_conn *c, struct http_end *e, struct tls_link **ret_link)
{
	int fd = e->watch.fd;
	struct tls_codec *tls = e->tls;

	loop_unwatch(c->port->loop, &e->watch);
	socket_untie(&e->tie);
	e->watch.fd = -1;
	e->tls = NULL;
	return tls ? tls_link_start(c->port->loop, tls, fd, ret_link) : fd;
}

void http_end_as(const struct http_end *from, struct http_end *to)
{
	if (to->tls && from->tls && !tls_codec_has_ended(from->tls))
		tls_codec_cut(to->tls);
}

void http_end_in_peace(struct http_end *e, bool brief)
{
	static const int second = 1, second_ms = 1000;

	e->in_peace = true;
	if (brief) {
		setsockopt(e->watch.fd, IPPROTO_TCP, TCP_LINGER2, &second, sizeof(second));
		setsockopt(e->watch.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &second_ms, sizeof(second_ms));
	}
	if (!e->tls)
		fd_reset_on_close(e->watch.fd, false);
}

void http_end_close(struct http_conn *c, struct http_end *e)
{
	size_t kept = backlog_len(&e->out);

	socket_untie(&e->tie);
	if (e->watch.fd >= 0)
		loop_unwatch(c->port->loop, &e->watch);
	if (e->tls && e->in_peace && !e->broken) {
		tls_farewell(c->port->loop, e->tls, e->watch.fd, &e->out);
	} else if (e->watch.fd >= 0) {
		tls_codec_free(e->tls);
		close(e->watch.fd);
	}
	e->tls = NULL;
	e->watch.fd = -1;
	kept_in_all -= kept;
	backlog_fini(&e->out);
}

/* What is to go to the socket as it is. */
static void write_raw(struct http_conn *c, struct http_end *e, const void *data, size_t len);

bool http_end_shut(struct http_conn *c, struct http_end *e)
{
	size_t len;
	const uint8_t *last = e->tls ? tls_codec_seal_end(e->tls, &len) : NULL;

	if (last)
		write_raw(c, e, last, len);
	if (backlog_len(&e->out))
		return false;
	shutdown(e->watch.fd, SHUT_WR);
	return true;
}

void http_end_note(struct http_end *e, uint32_t events)
{
	e->turn = 0;
	if (events & (EPOLLIN | HANG_UP))
		e->readable = !e->ended;
	if (events & HANG_UP)
		e->more = true;
	if (events & EPOLLERR)
		e->broken = true; /* what came before is read first */
}

/* False when others have their turn first. */
static bool may_read(struct http_conn *c, struct http_end *e)
{
	if (!e->readable)
		return false;
	if (e->turn >= HTTP_TURN) {
		if (!e->more && loop_rearm(c->port->loop, &e->watch) == 0) {
			e->readable = false;
			return false;
		}
		e->turn = 0;
	}
	return true;
}

/* One recv(). */
static size_t receive(struct http_end *e, uint8_t *data, size_t room)
{
	ssize_t n = recv(e->watch.fd, data, room, MSG_DONTWAIT);

	if (n < 0 && errno != EAGAIN)
		e->broken = true;
	if (n <= 0) {
		e->readable = false;
		e->ended = n == 0 || e->broken;
		return 0;
	}
	if ((size_t)n < room && !e->more)
		e->readable = false;
	e->turn += (size_t)n;
	return (size_t)n;
}

/* Reads records until there is something in them. @ret has room for what is in @room bytes of them. */
static size_t read_tls(struct http_conn *c, struct http_end *e, uint8_t *ret, size_t ret_room, size_t room)
{
	static uint8_t wire[WIRE];
	ssize_t got = 0;
	size_t n, len;

	while (!got && !tls_codec_has_ended(e->tls) && may_read(c, e) && (n = receive(e, wire, room)) > 0) {
		const uint8_t *answer;

		got = tls_codec_open(e->tls, wire, n, ret, ret_room);
		answer = tls_codec_seal(e->tls, NULL, 0, &len);
		write_raw(c, e, answer, len);
	}
	if (tls_codec_has_failed(e->tls)) {
		e->broken = e->ended = true;
		e->readable = false;
		return got > 0 ? (size_t)got : 0;
	}
	if (tls_codec_has_ended(e->tls)) {
		e->readable = got > 0; /* the end is read next */
		e->ended = !e->readable;
	}
	return (size_t)got;
}

static size_t take_early(struct backlog *early)
{
	size_t n = backlog_len(early);

	memcpy(http_buffer, backlog_first(early), n);
	backlog_fini(early);
	return n;
}

size_t http_end_read(struct http_conn *c, struct http_end *e)
{
	size_t room = kept_in_all > HTTP_KEPT ? HTTP_LEAN : HTTP_BUFFER;

	if (!e->tls)
		return may_read(c, e) ? receive(e, http_buffer, room) : 0;
	if (backlog_len(tls_codec_early(e->tls)))
		return take_early(tls_codec_early(e->tls));
	return read_tls(c, e, http_buffer, HTTP_BUFFER, room < WIRE ? room : WIRE);
}

/* Returns how much of it went out. */
static size_t try_send(struct http_conn *c, struct http_end *e, const void *data, size_t len)
{
	ssize_t n = send(e->watch.fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != ENOBUFS) {
		e->broken = true;
		e->readable = e->more = !e->ended; /* an answer may have come before; no edge tells of it behind this error */
		return len;
	}
	if (n < 0)
		n = 0;
	if ((size_t)n < len && loop_rewatch(c->port->loop, &e->watch, INTEREST | EPOLLOUT) < 0)
		e->broken = true;
	return (size_t)n;
}

static void write_raw(struct http_conn *c, struct http_end *e, const void *data, size_t len)
{
	size_t n = 0;

	if (!len || e->broken)
		return;
	if (e->watch.fd >= 0 && !backlog_len(&e->out))
		n = try_send(c, e, data, len);
	if (n < len && !http_keep(&e->out, (const uint8_t *)data + n, len - n))
		e->broken = true;
}

static void write_tls(struct http_conn *c, struct http_end *e, const uint8_t *data, size_t len)
{
	for (size_t done = 0, piece; done < len && !e->broken; done += piece) {
		const uint8_t *records;
		size_t n;

		piece = len - done < TLS_PIECE ? len - done : TLS_PIECE;
		records = tls_codec_seal(e->tls, data + done, piece, &n);
		if (n)
			write_raw(c, e, records, n);
		else
			e->broken = true;
	}
}

void http_end_write(struct http_conn *c, struct http_end *e, const void *data, size_t len)
{
	if (e->tls)
		write_tls(c, e, data, len);
	else
		write_raw(c, e, data, len);
}

void http_end_flush(struct http_conn *c, struct http_end *e)
{
	if (e->watch.fd < 0 || !backlog_len(&e->out))
		return;
	if (!e->broken)
		http_kept_take(&e->out, try_send(c, e, backlog_first(&e->out), backlog_len(&e->out)));
	if (e->broken)
		http_kept_take(&e->out, backlog_len(&e->out));
}

/* What is in the records that are there is kept until it is read. */
static void read_early(struct http_conn *c, struct http_end *e)
{
	static uint8_t data[WIRE_EARLY + TLS_RECORD];
	size_t n = read_tls(c, e, data, sizeof(data), WIRE_EARLY);

	if (!backlog_add(tls_codec_early(e->tls), data, n))
		e->broken = e->ended = true;
	e->readable |= n > 0;
}

ssize_t http_end_peek(struct http_conn *c, struct http_end *e, uint8_t *data, size_t room)
{
	const struct backlog *early;
	size_t n;

	if (!e->tls)
		return recv(e->watch.fd, data, room, MSG_PEEK | MSG_DONTWAIT);
	early = tls_codec_early(e->tls);
	if (!backlog_len(early))
		read_early(c, e);
	n = backlog_len(early) < room ? backlog_len(early) : room;
	if (!n && !e->ended) {
		errno = EAGAIN;
		return -1;
	}
	memcpy(data, n ? backlog_first(early) : data, n);
	return (ssize_t)n;
}

bool http_end_has_something(struct http_conn *c, struct http_end *e)
{
	uint8_t byte;

	if (e->watch.fd < 0 || !e->readable)
		return e->ended || e->broken;
	if (http_end_peek(c, e, &byte, 1) < 0) {
		e->readable = false;
		if (errno != EAGAIN)
			e->ended = e->broken = true; /* the kernel tells of a reset once */
	}
	return e->readable || e->ended || e->broken;
}
