// SPDX-License-Identifier: MIT
/* The lender: makes sockets where it is, for a borrower elsewhere. It keeps none, and knows nothing of what becomes of them. */
#include "relay/lender.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "relay/lend_internal.h"

struct lender {
	struct loop *loop;
	struct watch watch;
	int fd;
};

static void hang_up(struct lender *l)
{
	loop_unwatch(l->loop, &l->watch);
	fd_closep(&l->fd);
}

/* All sockets of an answer are of one sort: where ping sockets are allowed to some only, the first decides. */
static size_t make_batch(const struct lend_request *request, int fds[LEND_BATCH], struct lend_answer *answer)
{
	size_t n = 0;

	*answer = (struct lend_answer){ .kind = request->kind };
	while (n < request->count && n < LEND_BATCH) {
		bool raw = false;
		int fd = socket_make(request->kind, &raw);

		if (fd < 0) {
			answer->error = (uint16_t)-fd;
			break;
		}
		fds[n++] = fd;
		answer->raw = raw;
	}
	return n;
}

static void answer(struct lender *l, const struct lend_request *request)
{
	int fds[LEND_BATCH] = { 0 };
	struct lend_answer a;
	size_t n = make_batch(request, fds, &a);
	int r = fd_send(l->fd, &a, sizeof(a), fds, n);

	/* So many are on their way already that the kernel takes no more: none then, and the reason. */
	if (r < 0 && errno == ETOOMANYREFS) {
		a.error = EMFILE;
		r = fd_send(l->fd, &a, sizeof(a), NULL, 0);
	}
	if (r < 0) {
		log_warn("lender: answer the session: %m");
		hang_up(l);
	}
	while (n)
		close(fds[--n]);
}

static void on_request(struct watch *w, uint32_t events)
{
	struct lender *l = container_of(w, struct lender, watch);
	struct lend_request request;
	ssize_t r = recv(l->fd, &request, sizeof(request), MSG_DONTWAIT);

	if (r < 0 && errno == EAGAIN)
		return;
	if (r != sizeof(request) || request.kind >= SOCKET_KINDS)
		hang_up(l);
	else
		answer(l, &request);
}

struct lender *lender_new(struct loop *loop, int fd, struct error *err)
{
	struct lender *l = calloc(1, sizeof(*l));
	int r = -ENOMEM;

	if (l) {
		*l = (struct lender){ .loop = loop, .fd = fd };
		r = fd_set_nonblocking(fd, true) < 0 ? -errno : loop_watch(loop, &l->watch, fd, EPOLLIN, on_request);
	}
	if (r < 0) {
		error_set(err, -r, "lend sockets to the session");
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
