// SPDX-License-Identifier: MIT
/* Moving bytes through OpenSSL, for a pump that knows nothing of it.
 *
 *   TLS ── SSL_read ──► down ──► plain        close_notify or FIN ──► half-close
 *   TLS ◄── up ◄── SSL_write ── plain         half-close ──► close_notify, FIN
 *
 * A FIN alone may be a cut, by which less arrives than was sent (RFC 8446 §6.1); the plain side can't tell it from an end. So the link that the
 * bytes go to is told, and ends by a FIN alone, too.
 *
 * Either direction keeps at most one read, and reads no more before that has gone: a slow side slows the other. A plain side that is closed before
 * it has heard the peer's end is a reset. */
#include "agent/tls_link.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/openssl.h"
#include "base/fd.h"
#include "relay/backlog.h"

enum { BUFFER = 64 << 10, TURN = 1 << 20 };

struct tls_link {
	struct list node;
	struct loop *loop;
	SSL *ssl;
	struct watch tls, plain;
	struct backlog down, up;
	bool tls_ended, plain_ended; /* what comes from there */
	bool tls_shut, plain_shut;   /* … and goes there */
	bool closed;		     /* nobody is behind the plain side any more */
	bool over;
	bool cut;		     /* what goes to TLS isn't known to be whole */
	struct tls_link *other;	     /* where that comes from and what comes from TLS goes to, when it is a link, too */
	struct deferred reap;
};

static struct list links = { &links, &links };
static size_t count;
/* Of all links: it holds bytes only between a read and the write behind it. */
static uint8_t buffer[BUFFER];

size_t tls_link_count(void)
{
	return count;
}

static void on_reap(struct deferred *d)
{
	free(container_of(d, struct tls_link, reap));
}

/* A TLS socket that is closed without more is reset: SO_LINGER is 0. */
static void end(struct tls_link *l)
{
	l->over = true;
	count--;
	if (l->other)
		l->other->other = NULL;
	list_remove(&l->node);
	loop_unwatch(l->loop, &l->tls);
	loop_unwatch(l->loop, &l->plain);
	ossl.SSL_free(l->ssl);
	close(l->tls.fd);
	close(l->plain.fd);
	backlog_fini(&l->down);
	backlog_fini(&l->up);
	loop_defer(l->loop, &l->reap, on_reap);
}

static void end_gently(struct tls_link *l)
{
	fd_reset_on_close(l->tls.fd, false);
	end(l);
}

/* What OpenSSL's result says. True: try again when the socket is ready; else the direction, or the connection, is over. */
static bool must_wait(struct tls_link *l, int result)
{
	int error = ossl.SSL_get_error(l->ssl, result);

	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		return true;
	ossl.ERR_clear_error();
	if (error != SSL_ERROR_ZERO_RETURN) {
		end(l);
		return false;
	}
	l->tls_ended = true;
	/* OpenSSL takes a FIN for an end (SSL_OP_IGNORE_UNEXPECTED_EOF), and has not asked for one behind a real end. */
	if (l->other && ossl.BIO_ctrl(ossl.SSL_get_rbio(l->ssl), BIO_CTRL_EOF, 0, NULL))
		l->other->cut = true;
	return false;
}

/* Returns how much the plain side has taken; all of it when nobody is there. */
static size_t write_plain(struct tls_link *l, const uint8_t *data, size_t len)
{
	ssize_t n = l->closed ? (ssize_t)len : send(l->plain.fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != ENOBUFS) {
		l->closed = true;
		return len;
	}
	return n < 0 ? 0 : (size_t)n;
}

/* Returns how much OpenSSL has taken, record by record. */
static size_t write_tls(struct tls_link *l, const uint8_t *data, size_t len)
{
	size_t sent = 0;

	while (sent < len) {
		int n = ossl.SSL_write(l->ssl, data + sent, (int)(len - sent));

		if (n > 0) {
			sent += (size_t)n;
			continue;
		}
		must_wait(l, n);
		break;
	}
	return sent;
}

/* From TLS to plain. Returns the bytes that moved. */
static size_t move_down(struct tls_link *l)
{
	size_t sent;
	int n;

	if (backlog_len(&l->down))
		backlog_take(&l->down, write_plain(l, backlog_first(&l->down), backlog_len(&l->down)));
	if (backlog_len(&l->down))
		return 0;
	if (!l->tls_ended) {
		n = ossl.SSL_read(l->ssl, buffer, sizeof(buffer));
		if (n > 0) {
			sent = write_plain(l, buffer, (size_t)n);
			if (!backlog_add(&l->down, buffer + sent, (size_t)n - sent))
				end(l);
			return (size_t)n;
		}
		must_wait(l, n);
	}
	if (!l->over && l->tls_ended && !l->plain_shut) {
		shutdown(l->plain.fd, SHUT_WR);
		l->plain_shut = true;
	}
	return 0;
}

static void say_end(struct tls_link *l)
{
	int r;

	if (l->tls_shut)
		return;
	r = l->cut ? 0 : ossl.SSL_shutdown(l->ssl);
	if (r < 0) {
		int error = ossl.SSL_get_error(l->ssl, r);

		ossl.ERR_clear_error();
		if (error == SSL_ERROR_WANT_WRITE)
			return;
	}
	shutdown(l->tls.fd, SHUT_WR);
	l->tls_shut = true;
}

/* From plain to TLS. */
static size_t move_up(struct tls_link *l)
{
	size_t sent;
	ssize_t n;

	if (backlog_len(&l->up)) {
		sent = write_tls(l, backlog_first(&l->up), backlog_len(&l->up));
		if (l->over)
			return 0;
		backlog_take(&l->up, sent);
	}
	if (backlog_len(&l->up))
		return 0;
	if (l->plain_ended) {
		say_end(l);
		return 0;
	}
	n = recv(l->plain.fd, buffer, sizeof(buffer), MSG_DONTWAIT);
	if (n > 0) {
		sent = write_tls(l, buffer, (size_t)n);
		if (!l->over && !backlog_add(&l->up, buffer + sent, (size_t)n - sent))
			end(l);
		return (size_t)n;
	}
	if (n < 0 && errno == EAGAIN)
		return 0;
	l->plain_ended = true;
	if (n < 0 || (l->closed && !l->plain_shut))
		end(l);
	else
		say_end(l);
	return 0;
}

static void run(struct tls_link *l)
{
	size_t turn = 0, n;

	do {
		n = move_down(l);
		if (!l->over)
			n += move_up(l);
		turn += n;
	} while (n && !l->over && turn < TURN);
	if (l->over)
		return;
	if (n && (loop_rearm(l->loop, &l->plain) < 0 || loop_rearm(l->loop, &l->tls) < 0))
		end(l);
	else if (n)
		return; /* others have their turn */
	else if (l->plain_shut && l->tls_shut)
		end_gently(l);
}

static void on_tls(struct watch *w, uint32_t events)
{
	run(container_of(w, struct tls_link, tls));
}

static void on_plain(struct watch *w, uint32_t events)
{
	struct tls_link *l = container_of(w, struct tls_link, plain);

	l->closed |= (events & EPOLLHUP) != 0;
	run(l);
}

static int watch_both(struct tls_link *l, int fd, int plain)
{
	const uint32_t events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

	if (loop_watch(l->loop, &l->tls, fd, events, on_tls) < 0)
		return -1;
	if (loop_watch(l->loop, &l->plain, plain, events, on_plain) == 0)
		return 0;
	loop_unwatch(l->loop, &l->tls);
	return -1;
}

/* -errno; all is the caller's still. */
static int set_up(struct tls_link *l, int fd, int pair[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	if (ossl.SSL_set_fd(l->ssl, fd) == 1 && watch_both(l, fd, pair[1]) == 0)
		return 0;
	ossl.ERR_clear_error();
	close(pair[0]);
	close(pair[1]);
	return -ENOMEM;
}

int tls_link_start(struct loop *loop, struct tls_codec *codec, int fd, struct tls_link **ret_link)
{
	struct tls_link *l = calloc(1, sizeof(*l));
	int r = -ENOMEM, pair[2];

	if (l) {
		l->loop = loop;
		l->down = *tls_codec_early(codec);
		*tls_codec_early(codec) = (struct backlog){ 0 };
		l->ssl = tls_codec_undo(codec);
		r = set_up(l, fd, pair);
	} else {
		tls_codec_free(codec);
	}
	if (r == 0) {
		list_append(&links, &l->node);
		count++;
		*ret_link = l;
		return pair[0];
	}
	close(fd);
	if (l) {
		ossl.SSL_free(l->ssl);
		backlog_fini(&l->down);
	}
	free(l);
	return r;
}

void tls_link_join(struct tls_link *a, struct tls_link *b)
{
	a->other = b;
	b->other = a;
}

void tls_link_reset_all(void)
{
	while (!list_empty(&links))
		end(container_of(links.next, struct tls_link, node));
}
