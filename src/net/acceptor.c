// SPDX-License-Identifier: MIT
#include "net/acceptor.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

#define AGAIN (50 * (uint64_t)LOOP_MS)
enum { ACCEPTS = 64 }; /* in one go: others want to be served, too */

static void on_again(struct timer *t)
{
	struct acceptor *a = container_of(t, struct acceptor, again);

	loop_rewatch(a->loop, &a->watch, EPOLLIN);
}

/* What waits keeps a listener ready; so it isn't asked. */
static void pause_for_descriptors(struct acceptor *a)
{
	log_limited(LOG_LEVEL_WARN, "%s: take a connection: %m", a->what);
	loop_rewatch(a->loop, &a->watch, 0);
	loop_arm(a->loop, &a->again, loop_now(a->loop) + AGAIN);
}

static void set_options(int fd)
{
	static const int on = 1;

	fd_reset_on_close(fd, true);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void on_ready(struct watch *w, uint32_t events)
{
	struct acceptor *a = container_of(w, struct acceptor, watch);

	for (int i = 0; i < ACCEPTS && w->added; i++) {
		struct sockaddr_storage sa = { 0 };
		socklen_t len = sizeof(sa);
		struct endpoint peer = { 0 };
		int fd = accept4(w->fd, (struct sockaddr *)&sa, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS))
			pause_for_descriptors(a);
		if (fd < 0)
			return;
		if (sa.ss_family != AF_UNIX)
			set_options(fd);
		if (sa.ss_family == AF_UNIX || endpoint_from_sockaddr(&sa, &peer))
			a->on_connection(a, fd, &peer);
		else
			close(fd);
	}
}

int acceptor_start(struct acceptor *a, int fd)
{
	a->again.on_due = on_again;
	return loop_watch(a->loop, &a->watch, fd, EPOLLIN, on_ready);
}

void acceptor_stop(struct acceptor *a)
{
	if (!a->loop)
		return;
	loop_unwatch(a->loop, &a->watch);
	loop_disarm(a->loop, &a->again);
}
