// SPDX-License-Identifier: MIT
/* The lender: makes sockets where it is, for a borrower elsewhere. It keeps none, and knows nothing of what becomes of them.
 *
 * Of the descriptors that all processes of a user have on their way at a time, there may be no more than one process may have open. Those of
 * other sessions arrive soon: so an answer that doesn't go is tried again for a while, and no other question is read meanwhile. */
#include "relay/lender.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "relay/lend_internal.h"

#define RETRY (2 * (uint64_t)LOOP_MS)
enum { TRIES = 250 };

struct lender {
	struct loop *loop;
	struct timer retry;
	struct lend_request unanswered; /* while @retry is armed */
	int tries;
	struct watch watch;
	enum lend_what what;
	int fd;
	void (*on_offer)(void *arg, int fd, int diag);
	void *arg;
};

static void hang_up(struct lender *l)
{
	loop_disarm(l->loop, &l->retry);
	loop_unwatch(l->loop, &l->watch);
	fd_closep(&l->fd);
}

/* A socket or -errno. */
static int make(enum lend_what what, enum socket_kind kind, bool *ret_raw)
{
	static const int on = 1;
	bool v6 = kind == SOCKET_TCP6;
	int fd;

	if (what == LEND_TRANSPARENT && kind != SOCKET_TCP4 && !v6)
		return -EPROTONOSUPPORT;
	fd = socket_make(kind, ret_raw);
	if (fd < 0 || what != LEND_TRANSPARENT ||
	    setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, &on, sizeof(on)) ==
		0)
		return fd;
	close(fd);
	return -EPERM;
}

/* All sockets of an answer are of one sort: where ping sockets are allowed to some only, the first decides. */
static size_t make_batch(enum lend_what what, const struct lend_request *request, int fds[LEND_BATCH],
			 struct lend_answer *answer)
{
	size_t n = 0;

	*answer = (struct lend_answer){ .kind = request->kind };
	while (n < request->count && n < LEND_BATCH) {
		bool raw = false;
		int fd = make(what, request->kind, &raw);

		if (fd < 0) {
			answer->error = (uint16_t)-fd;
			break;
		}
		fds[n++] = fd;
		answer->raw = raw;
	}
	return n;
}

/* Returns 0, or -1 with errno. */
static int try_later(struct lender *l, const struct lend_request *request)
{
	int r = loop_rewatch(l->loop, &l->watch, 0);

	l->unanswered = *request;
	if (r == 0)
		r = loop_arm(l->loop, &l->retry, loop_now(l->loop) + RETRY);
	errno = -r;
	return r < 0 ? -1 : 0;
}

/* None, and the reason. */
static int refuse(struct lender *l, struct lend_answer *a)
{
	l->tries = 0;
	a->error = EMFILE;
	a->more = false;
	return fd_send(l->fd, a, sizeof(*a), NULL, 0);
}

static void close_all(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

static void answer(struct lender *l, const struct lend_request *request)
{
	int fds[LEND_BATCH] = { 0 };
	struct lend_answer a;
	size_t n = make_batch(l->what, request, fds, &a);
	bool full;
	int r;

	a.more = n > 0;
	r = fd_send(l->fd, &a, sizeof(a), fds, n);
	full = r < 0 && errno == ETOOMANYREFS;
	close_all(fds, n);
	if (full) {
		r = ++l->tries < TRIES ? try_later(l, request) : refuse(l, &a);
	} else {
		l->tries = 0;
		a.more = false;
		if (r == 0 && n)
			r = fd_send(l->fd, &a, sizeof(a), NULL, 0);
	}
	if (r < 0) {
		log_warn("lender: answer the borrower: %m");
		hang_up(l);
	}
}

static void on_retry(struct timer *t)
{
	struct lender *l = container_of(t, struct lender, retry);

	answer(l, &l->unanswered);
	if (l->fd >= 0 && !l->retry.index && loop_rewatch(l->loop, &l->watch, EPOLLIN) < 0)
		hang_up(l);
}

static void on_request(struct watch *w, uint32_t events)
{
	struct lender *l = container_of(w, struct lender, watch);
	struct lend_request request;
	_cleanup_fd_ int fd = -1, diag = -1;
	int fds[2] = { -1, -1 };
	size_t n = 0;
	ssize_t r;

	if (l->retry.index) { /* the borrower has gone meanwhile: nothing else is watched for */
		hang_up(l);
		return;
	}
	r = fd_receive(l->fd, &request, sizeof(request), fds, 2, &n, MSG_DONTWAIT);
	fd = fds[0];
	diag = fds[1];
	if (r < 0 && errno == EAGAIN)
		return;
	if (r == sizeof(request) && request.kind == LEND_OFFER && n) {
		if (l->on_offer)
			l->on_offer(l->arg, fd_steal(&fd), fd_steal(&diag));
	} else if (r != sizeof(request) || request.kind >= SOCKET_KINDS) {
		hang_up(l);
	} else {
		answer(l, &request);
	}
}

void lender_on_offer(struct lender *l, void (*on_offer)(void *arg, int fd, int diag), void *arg)
{
	l->on_offer = on_offer;
	l->arg = arg;
}

struct lender *lender_new(struct loop *loop, int fd, enum lend_what what, struct error *err)
{
	struct lender *l = calloc(1, sizeof(*l));
	int r = -ENOMEM;

	if (l) {
		*l = (struct lender){ .loop = loop, .what = what, .fd = fd, .retry.on_due = on_retry };
		r = fd_set_nonblocking(fd, true) < 0 ? -errno : loop_watch(loop, &l->watch, fd, EPOLLIN, on_request);
	}
	if (r < 0) {
		error_set(err, -r, "lend sockets");
		close(fd);
		free(l);
		return NULL;
	}
	return l;
}

void lender_free(struct lender *l)
{
	if (!l)
		return;
	hang_up(l);
	free(l);
}
