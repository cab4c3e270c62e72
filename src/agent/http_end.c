// SPDX-License-Identifier: MIT
/* A socket of an HTTP connection. Watched by edges, as in the pump: what an edge told is remembered until a read or a write says otherwise. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/http_internal.h"

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

int http_end_open(struct http_conn *c, struct http_end *e, int fd, void (*on_ready)(struct watch *, uint32_t))
{
	int r = loop_watch(c->port->loop, &e->watch, fd, INTEREST, on_ready);

	if (r < 0) {
		close(fd);
		e->watch.fd = -1;
	}
	return r;
}

void http_end_close(struct http_conn *c, struct http_end *e)
{
	if (e->watch.fd >= 0) {
		loop_unwatch(c->port->loop, &e->watch);
		close(e->watch.fd);
		e->watch.fd = -1;
	}
	http_kept_take(&e->out, backlog_len(&e->out));
	backlog_fini(&e->out);
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

size_t http_end_read(struct http_conn *c, struct http_end *e)
{
	size_t room = kept_in_all > HTTP_KEPT ? HTTP_LEAN : HTTP_BUFFER;
	ssize_t n;

	if (!e->readable)
		return 0;
	if (e->turn >= HTTP_TURN) {
		if (!e->more && loop_rearm(c->port->loop, &e->watch) == 0) {
			e->readable = false;
			return 0;
		}
		e->turn = 0;
	}
	n = recv(e->watch.fd, http_buffer, room, MSG_DONTWAIT);
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

/* Returns how much of it went out. */
static size_t try_send(struct http_conn *c, struct http_end *e, const void *data, size_t len)
{
	ssize_t n = send(e->watch.fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != ENOBUFS) {
		e->broken = true;
		return len;
	}
	if (n < 0)
		n = 0;
	if ((size_t)n < len && loop_rewatch(c->port->loop, &e->watch, INTEREST | EPOLLOUT) < 0)
		e->broken = true;
	return (size_t)n;
}

void http_end_write(struct http_conn *c, struct http_end *e, const void *data, size_t len)
{
	size_t n = 0;

	if (!len || e->broken)
		return;
	if (e->watch.fd >= 0 && !backlog_len(&e->out))
		n = try_send(c, e, data, len);
	if (n < len && !http_keep(&e->out, (const uint8_t *)data + n, len - n))
		e->broken = true;
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

bool http_end_has_something(struct http_end *e)
{
	char byte;

	if (e->watch.fd < 0 || !e->readable)
		return e->ended || e->broken;
	if (recv(e->watch.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN)
		e->readable = false;
	return e->readable;
}
