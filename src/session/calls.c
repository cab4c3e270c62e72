// SPDX-License-Identifier: MIT
/* The channel to the keeper. While it is there the keeper has the anchor's calls; without it somebody must answer them, or they fail. */
#include "session/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "twin/keeper.h"

struct calls {
	struct loop *loop;
	struct calls_events events;
	struct watch channel, passing;
	int channel_fd, passing_fd; /* -1: closed */
	int anchor;
	bool draining;
};

void calls_answer(struct calls *c, const struct notify_verdict *v)
{
	if (c->channel_fd >= 0)
		send(c->channel_fd, v, sizeof(*v), MSG_NOSIGNAL);
	else
		notify_answer(c->anchor, v);
}

static void on_channel(struct watch *w, uint32_t events)
{
	struct calls *c = container_of(w, struct calls, channel);
	struct notify_event e;
	int fd = -1;
	size_t n = 0;
	ssize_t r = fd_receive(c->channel_fd, &e, sizeof(e), &fd, 1, &n, MSG_DONTWAIT);

	if (r == (ssize_t)sizeof(e))
		c->events.on_event(c->events.arg, &e, n ? fd : -1);
	else if (r == 0 || (r < 0 && errno != EAGAIN && errno != EINTR))
		calls_without_keeper(c);
}

static void stop_passing(struct calls *c)
{
	loop_unwatch(c->loop, &c->passing);
	fd_closep(&c->passing_fd);
}

static void on_passing(struct watch *w, uint32_t events)
{
	struct calls *c = container_of(w, struct calls, passing);

	if (events & EPOLLIN)
		notify_pass_next(c->anchor);
	if (events & EPOLLHUP)
		stop_passing(c);
}

void calls_without_keeper(struct calls *c)
{
	loop_unwatch(c->loop, &c->channel);
	fd_closep(&c->channel_fd);
	c->events.on_keeper_gone(c->events.arg);
	if (c->draining || c->passing_fd >= 0)
		return;
	c->passing_fd = fcntl(c->anchor, F_DUPFD_CLOEXEC, 0); /* the anchor itself is watched already */
	if (c->passing_fd >= 0)
		loop_watch(c->loop, &c->passing, c->passing_fd, EPOLLIN, on_passing);
}

void calls_end(struct calls *c)
{
	loop_unwatch(c->loop, &c->channel);
	fd_closep(&c->channel_fd);
}

void calls_drain(struct calls *c)
{
	c->draining = true;
	stop_passing(c);
	loop_unwatch(c->loop, &c->channel);
}

static uint64_t net_cookie(int sock)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	return getsockopt(sock, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) == 0 ? cookie : 0;
}

struct calls *calls_new(struct loop *loop, int keeper, int anchor, int diag, const struct calls_events *events, struct error *err)
{
	struct calls *c = calloc(1, sizeof(*c));
	int pair[2], r;

	if (!c || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		error_set(err, errno, "make a socket pair for the keeper");
		free(c);
		return NULL;
	}
	*c = (struct calls){ .loop = loop, .events = *events, .channel_fd = pair[0], .passing_fd = -1, .anchor = anchor };
	r = keeper_notify(keeper, anchor, pair[1], net_cookie(diag), err);
	close(pair[1]);
	if (r == 0 && (r = loop_watch(loop, &c->channel, pair[0], EPOLLIN, on_channel)) < 0)
		error_set(err, -r, "watch the keeper");
	if (r == 0)
		return c;
	calls_free(c);
	return NULL;
}

void calls_free(struct calls *c)
{
	if (!c)
		return;
	calls_end(c);
	stop_passing(c);
	free(c);
}
