// SPDX-License-Identifier: MIT
/* The borrower: a shelf of sockets per kind, filled ahead of need.
 *
 * A shelf asks for as many as it lacks when less than half is left, one question at a time, so what comes always fits. The first of a kind has
 * to wait for the answer, as has who finds the shelf empty; the egress hears of each answer and lets its waiters try again. TCP and
 * UDP over IPv4 are fetched before anybody asks. What came is held until the lender has closed its copies: it may have been put to sleep before
 * that, and a connection be over sooner.
 *
 * An error of the lender's stands for RETRY: those who come meanwhile get it at once, and the lender is left alone. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "relay/lend_internal.h"
#include "relay/lender.h"

#define RETRY LOOP_SECOND

struct shelf {
	int fds[LEND_BATCH], held[LEND_BATCH]; /* held: the lender still has copies */
	size_t n, n_held;
	bool raw, asked;
	int error, held_error;
	uint64_t error_until;
};

struct borrower {
	struct socket_source source;
	struct loop *loop;
	struct watch watch;
	struct egress *egress;
	void (*on_gone)(void *arg);
	void *arg;
	int fd; /* -1: the lender is gone */
	size_t size; /* of a shelf, at most */
	struct shelf shelves[SOCKET_KINDS];
};

enum { LEAST = 2, PART = 64 /* a shelf is that part of all descriptors */ };

/* Pings are rare. The shelves together take no more than a small part of the descriptors. */
static size_t shelf_size(const struct borrower *b, enum socket_kind kind)
{
	size_t most = kind == SOCKET_ECHO4 || kind == SOCKET_ECHO6 ? 4 : LEND_BATCH;

	return b->size < most ? b->size : most;
}

static bool has_failed(const struct borrower *b, const struct shelf *s)
{
	return s->error && loop_now(b->loop) < s->error_until;
}

/* A question that can't be sent has no answer; the lender's end is then told by the watch. */
static void ask(struct borrower *b, enum socket_kind kind)
{
	struct shelf *s = &b->shelves[kind];
	struct lend_request request = { .kind = (uint8_t)kind, .count = (uint8_t)(shelf_size(b, kind) - s->n) };

	if (s->asked || has_failed(b, s))
		return;
	s->asked = true;
	if (send(b->fd, &request, sizeof(request), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("borrower: ask for sockets: %m");
}

static int take(struct socket_source *source, enum socket_kind kind, bool *ret_raw)
{
	struct borrower *b = container_of(source, struct borrower, source);
	struct shelf *s = &b->shelves[kind];
	int fd;

	if (b->fd < 0)
		return -ENETUNREACH;
	if (!s->n && has_failed(b, s))
		return -s->error;
	fd = s->n ? s->fds[--s->n] : -EAGAIN;
	if (2 * s->n < shelf_size(b, kind))
		ask(b, kind);
	if (fd >= 0 && ret_raw)
		*ret_raw = s->raw;
	return fd;
}

static void close_all(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

static void clear(struct shelf *s)
{
	close_all(s->fds, s->n);
	close_all(s->held, s->n_held);
	s->n = s->n_held = 0;
}

static void hang_up(struct borrower *b)
{
	loop_unwatch(b->loop, &b->watch);
	fd_closep(&b->fd);
	for (int kind = 0; kind < SOCKET_KINDS; kind++)
		clear(&b->shelves[kind]);
}

/* The whole of an answer is there. */
static void put(struct borrower *b, struct shelf *s)
{
	s->asked = false;
	s->error = s->n_held || s->held_error ? s->held_error : EIO;
	s->error_until = loop_now(b->loop) + RETRY;
	for (size_t i = 0; i < s->n_held; i++)
		s->fds[s->n++] = s->held[i];
	s->n_held = 0;
	s->held_error = 0;
}

/* False when the answer is to no question. */
static bool fill(struct borrower *b, const struct lend_answer *answer, const int *fds, size_t n)
{
	struct shelf *s = &b->shelves[answer->kind % SOCKET_KINDS];

	if (answer->kind >= SOCKET_KINDS || !s->asked || n > shelf_size(b, answer->kind) - s->n - s->n_held) {
		close_all(fds, n);
		return false;
	}
	if (n && s->raw != answer->raw)
		clear(s);
	if (n)
		s->raw = answer->raw;
	for (size_t i = 0; i < n; i++)
		s->held[s->n_held++] = fds[i];
	if (answer->error)
		s->held_error = answer->error;
	if (!answer->more)
		put(b, s);
	return true;
}

static void on_answer(struct watch *w, uint32_t events)
{
	struct borrower *b = container_of(w, struct borrower, watch);
	struct lend_answer answer = { 0 };
	int fds[LEND_BATCH];
	size_t n = 0;
	ssize_t r = fd_receive(b->fd, &answer, sizeof(answer), fds, LEND_BATCH, &n, MSG_DONTWAIT);
	bool gone;

	if (r < 0 && errno == EAGAIN)
		return;
	if (r < 0 && errno == EMSGSIZE) { /* there was no room for them among our descriptors */
		answer.error = EMFILE;
		r = sizeof(answer);
	}
	if (r > 0 && r != sizeof(answer))
		close_all(fds, n);
	gone = r != sizeof(answer) || !fill(b, &answer, fds, n);
	if (gone)
		hang_up(b);
	if (b->egress)
		socket_egress_refilled(b->egress);
	if (gone)
		b->on_gone(b->arg);
}

struct borrower *borrower_new(struct loop *loop, int fd, size_t descriptors, void (*on_gone)(void *arg), void *arg, struct error *err)
{
	struct borrower *b = calloc(1, sizeof(*b));
	int r = -ENOMEM;

	if (b) {
		b->source.take = take;
		b->loop = loop;
		b->fd = fd;
		b->on_gone = on_gone;
		b->arg = arg;
		b->size = descriptors / PART < LEAST ? LEAST : descriptors / PART;
		r = loop_watch(loop, &b->watch, fd, EPOLLIN, on_answer);
	}
	if (r < 0) {
		error_set(err, -r, "borrow sockets from the agent");
		close(fd);
		free(b);
		return NULL;
	}
	ask(b, SOCKET_TCP4);
	ask(b, SOCKET_UDP4);
	return b;
}

void borrower_free(struct borrower *b)
{
	if (!b)
		return;
	hang_up(b);
	free(b);
}

struct socket_source *borrower_source(struct borrower *b)
{
	return &b->source;
}

void borrower_set_egress(struct borrower *b, struct egress *e)
{
	b->egress = e;
}

int borrower_offer(struct borrower *b, int fd, int diag)
{
	const int fds[] = { fd, diag };
	const struct lend_request offer = { .kind = LEND_OFFER };

	return b->fd >= 0 && fd_send(b->fd, &offer, sizeof(offer), fds, diag < 0 ? 1 : 2) == 0 ? 0 : -errno;
}
