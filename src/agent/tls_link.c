// SPDX-License-Identifier: MIT
/* Moving bytes through OpenSSL.
 *
 *   TLS ── SSL_read ──► down ──► plain        close_notify or FIN ──► half-close
 *   TLS ◄── up ◄── SSL_write ── plain         half-close ──► close_notify, FIN
 *
 * Either direction keeps at most one read, and reads no more before that has gone: a slow side slows the other. When the plain side is closed,
 * what it wrote still goes out; what the peer sends then is read and dropped, so that no reset overtakes the last bytes. */
#include "agent/tls_link.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/backlog.h"

enum { BUFFER = 64 << 10, TURN = 1 << 20, LINGER_MS = 2000 };

struct tls_link {
	struct list node, all;
	struct loop *loop;
	SSL *ssl;
	struct watch tls, plain;
	struct backlog down, up;
	bool tls_ended, plain_ended; /* what comes from there */
	bool tls_shut, plain_shut;   /* … and goes there */
	bool closed;		     /* nobody is behind the plain side any more */
	bool relays, over;
	struct timer linger;
	struct deferred reap;
};

static struct list links = { &links, &links };
static size_t count;
/* Of all links: it holds bytes only between a read and the write behind it. */
static uint8_t buffer[BUFFER];

struct tls_link *tls_link_of(struct list *node)
{
	return container_of(node, struct tls_link, node);
}

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
	loop_disarm(l->loop, &l->linger);
	list_remove(&l->node);
	list_remove(&l->all);
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
	static const struct linger off = { 0 };

	setsockopt(l->tls.fd, SOL_SOCKET, SO_LINGER, &off, sizeof(off));
	end(l);
}

/* What OpenSSL's result says. True: try again when the socket is ready; else the direction, or the connection, is over. */
static bool must_wait(struct tls_link *l, int result)
{
	int error = ossl.SSL_get_error(l->ssl, result);

	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		return true;
	ossl.ERR_clear_error();
	if (error == SSL_ERROR_ZERO_RETURN)
		l->tls_ended = true;
	else
		end(l);
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
	r = ossl.SSL_shutdown(l->ssl);
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
	if (l->relays && (n < 0 || (l->closed && !l->plain_shut)))
		end(l);
	else
		say_end(l);
	return 0;
}

static void on_linger(struct timer *t)
{
	end_gently(container_of(t, struct tls_link, linger));
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
	else if (l->closed && l->tls_shut && !l->linger.index)
		loop_arm(l->loop, &l->linger, loop_now(l->loop) + LINGER_MS * (uint64_t)LOOP_MS);
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

int tls_link_start(struct loop *loop, SSL *ssl, int fd, int plain, struct list *owner)
{
	struct tls_link *l = calloc(1, sizeof(*l));

	if (l) {
		l->loop = loop;
		l->ssl = ssl;
		l->linger.on_due = on_linger;
	}
	if (!l || watch_both(l, fd, plain) < 0) {
		free(l);
		ossl.SSL_free(ssl);
		close(fd);
		close(plain);
		return -1;
	}
	list_append(owner, &l->node);
	list_append(&links, &l->all);
	count++;
	return 0;
}

void tls_link_relays(struct tls_link *l)
{
	l->relays = true;
}

void tls_link_reset_all(void)
{
	while (!list_empty(&links))
		end(container_of(links.next, struct tls_link, all));
}
