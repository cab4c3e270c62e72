// SPDX-License-Identifier: MIT
/* The agent's listeners. */
#include "agent/steal_listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"

enum { ACCEPTS = 64 /* in one turn */ };

/* What accepted sockets inherit is set here, once. They stand on the target's port, where its program must be able to bind when it starts
 * again: so they share it in both ways that there are. */
static int set_options(int fd, bool v6, bool both)
{
	const int on = 1, v6only = !both;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0)
		return -1;
	if (v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)) < 0)
		return -1;
	if (setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, &on, sizeof(on)) < 0)
		return -1;
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		return -1;
	return fd_reset_on_close(fd, true);
}

/* An IPv4 address for a socket of IPv6's is ::ffff:a.b.c.d. */
static socklen_t address_of(const struct endpoint *at, bool mapped, struct sockaddr_storage *ret)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(at->port) };

	if (!mapped)
		return endpoint_to_sockaddr(at, ret);
	memcpy(&in6.sin6_addr, at->ip.b, sizeof(in6.sin6_addr));
	memcpy(ret, &in6, sizeof(in6));
	return sizeof(in6);
}

int steal_listener_open(struct steal_listener *l, struct loop *loop, const struct steal_listener_ops *ops, const struct ip *at, bool both,
			struct error *err)
{
	const struct endpoint wish = { .ip = *at, .port = l->at.port };
	bool v6 = both || !ip_is_v4(at);
	struct sockaddr_storage sa;
	socklen_t len = address_of(&wish, both, &sa);
	_cleanup_fd_ int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || set_options(fd, v6, both) < 0 || bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, STEAL_BACKLOG) < 0 ||
	    getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return error_set(err, errno, "listen for stolen connections (IPv%c)", ip_is_v4(at) ? '4' : '6');
	l->loop = loop;
	l->ops = ops;
	endpoint_from_sockaddr(&sa, &l->at);
	l->fd = fd_steal(&fd);
	return 0;
}

static void accept_some(struct deferred *d)
{
	struct steal_listener *l = container_of(d, struct steal_listener, accepting);

	steal_listener_accept(l);
}

void steal_listener_accept(struct steal_listener *l)
{
	int some = l->ops->some ? l->ops->some(l, ACCEPTS) : ACCEPTS;

	while (some-- > 0 && (!l->ops->before || l->ops->before(l))) {
		struct sockaddr_storage sa;
		socklen_t len = sizeof(sa);
		struct endpoint client;
		int fd = accept4(l->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS))
			l->ops->scarce(l);
		if (fd < 0)
			break;
		endpoint_from_sockaddr(&sa, &client);
		l->ops->accepted(l, fd, &client);
	}
	if (l->ops->after)
		l->ops->after(l);
}

/* Behind the batch: a session whose end was seen with the connection gets it no more. */
static void on_connection(struct watch *w, uint32_t events)
{
	struct steal_listener *l = container_of(w, struct steal_listener, watch);

	loop_defer(l->loop, &l->accepting, accept_some);
}

int steal_listener_start(struct steal_listener *l)
{
	return l->fd < 0 ? 0 : loop_watch(l->loop, &l->watch, l->fd, EPOLLIN, on_connection);
}

void steal_listener_close(struct steal_listener *l)
{
	if (l->fd < 0)
		return;
	loop_unwatch(l->loop, &l->watch);
	list_remove(&l->accepting.node);
	fd_closep(&l->fd);
}
