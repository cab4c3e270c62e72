// SPDX-License-Identifier: MIT
/* A stolen connection's way.
 *
 *   accepted ─► HELD, on a port that the kubelet probes: until its first bytes tell whose it is ─► PASSED, or
 *            ─► OFFERED to the first subscriber of the port: a dial to its program ─► connected: joined, and no more ours
 *                  │ refused, or the subscriber went
 *                  ├─► offered to the next one
 *                  └─► no more: PASSED, a dial to the target's program in the client's name ─► connected: joined; failed: reset
 *
 * Meanwhile the client's bytes wait in the kernel, so whoever takes the connection gets all of them. This is also the place where an HTTP
 * filter has its say: on a port that has one it is given the connection right after accept(), and dials itself.
 *
 * Descriptors. A client that was accepted by the kernel and not by us would wait for ever. So the last ones (a RESERVE, at most a quarter of
 * the limit) are for those in the queue; when it is touched, the ports are given up until there is room again, and new connections
 * go to the target's program as if we weren't there. */
#include "agent/steal_tcp.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/client.h"
#include "agent/gateways.h"
#include "agent/layout.h"
#include "agent/passes.h"
#include "agent/probe_hold.h"
#include "agent/steal_http.h"
#include "agent/steal_route.h"
#include "base/fd.h"
#include "base/log.h"

enum { BACKLOG = 65535, ACCEPTS = 64 /* in one turn */, RESERVE = 256 };
/* Of linux/netfilter_ipv4.h and netfilter_ipv6/ip6_tables.h, which don't go with netinet/in.h. */
enum { ORIGINAL_DST4 = 80, ORIGINAL_DST6 = 80 };

struct listener_of {
	struct watch watch;
	struct deferred accepting;
	struct steal_tcp *tcp;
	struct endpoint at;
	int fd; /* -1: none */
};

struct steal_tcp {
	struct loop *loop;
	const struct subscriptions *subscriptions;
	struct steal_http *http;
	struct passes *passes;
	struct steal_tcp_events events;
	struct listener_of listeners[2]; /* by enum steal_family */
	struct list taken;
	size_t n_taken;
	struct gateways gateways;
	int limit, reserve; /* of descriptors */
	bool redirect;
};

/* A connection that waits for an answer. */
struct taken {
	struct list node;
	struct steal_tcp *tcp;
	struct endpoint client, destination;
	struct subscriber *offered; /* whose answer it waits for; NULL: it is passed on */
	struct client *asked;	    /* who is told that it was passed on; the first that it was offered to */
	struct dial *dial;
	struct probe_hold hold;
	int fd;
};

static void offer(struct taken *c, struct subscriber *next);

static void taken_free(struct taken *c)
{
	probe_hold_stop(&c->hold);
	list_remove(&c->node);
	c->tcp->n_taken--;
	free(c);
}

/* SO_LINGER is 0 from the listener on. */
static void reset(struct taken *c)
{
	close(c->fd);
	taken_free(c);
}

static void join(struct taken *c)
{
	c->dial->egress->ops->join(c->dial, c->fd);
	taken_free(c);
}

static void on_passed(void *arg, int error)
{
	struct taken *c = arg;

	if (error)
		reset(c);
	else
		join(c);
}

static void pass(struct taken *c)
{
	int error = passes_dial(c->tcp->passes, &c->client, &c->destination, on_passed, c, &c->dial);

	if (error != EINPROGRESS)
		on_passed(c, error);
}

/* The next one after @s that takes what is left over. */
static struct subscriber *next_taker(const struct steal_tcp *t, struct subscriber *s)
{
	while (s && !subscriber_is_steal_of_all(s))
		s = subscribers_next(t->subscriptions, s);
	return s;
}

static void on_offered(void *arg, int error)
{
	struct taken *c = arg;
	struct subscriber *s = c->offered;

	c->offered = NULL;
	if (error == ECONNRESET || error == ETIMEDOUT) { /* not refused: this is what the client would see of such a program */
		client_count(s->client, COUNTER_STOLEN, 1);
		reset(c);
		return;
	}
	if (error) {
		log_debug("steal: port %u: the program took no connection: %s", c->destination.port, strerror(error));
		offer(c, subscribers_next(c->tcp->subscriptions, s));
		return;
	}
	client_count(s->client, COUNTER_STOLEN, 1);
	join(c);
}

/* To @next or whoever comes after it. */
static void offer(struct taken *c, struct subscriber *next)
{
	struct endpoint local, remote;
	int error;

	for (;; next = subscribers_next(c->tcp->subscriptions, next)) {
		next = next_taker(c->tcp, next);
		if (!next)
			break;
		if (!c->asked)
			c->asked = next->client;
		if (!subscription_deliver(&next->want, &c->client, &c->destination, &local, &remote))
			continue;
		struct egress *program = client_program(next->client);

		c->offered = next;
		error = program->ops->dial(program, &local, &remote, on_offered, c, &c->dial);
		if (error == EINPROGRESS)
			return;
		on_offered(c, error);
		return;
	}
	if (c->asked)
		client_count(c->asked, COUNTER_STOLEN_PASSED, 1);
	pass(c);
}

void steal_tcp_drop(struct steal_tcp *t, const struct subscriber *s)
{
	for (struct list *n = t->taken.next, *next; n != &t->taken; n = next) {
		struct taken *c = container_of(n, struct taken, node);

		next = n->next;
		if (c->asked == s->client)
			c->asked = NULL; /* it may be going, too */
		if (c->offered != s)
			continue;
		c->offered = NULL;
		c->dial->egress->ops->abandon(c->dial);
		offer(c, subscribers_of(t->subscriptions, IPPROTO_TCP, c->destination.port));
	}
}

/* What the client wanted to reach. False for whoever found the listener itself. */
static bool get_destination(const struct listener_of *l, int fd, struct endpoint *ret)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa);
	bool v4 = l - l->tcp->listeners == STEAL_V4;
	int r;

	if (l->tcp->redirect)
		r = getsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? ORIGINAL_DST4 : ORIGINAL_DST6, &sa, &len);
	else
		r = getsockname(fd, (struct sockaddr *)&sa, &len);
	return r == 0 && endpoint_from_sockaddr(&sa, ret) && ret->port != l->at.port;
}

/* The kubelet's probes of a port that stay the target's: as soon as one session knows of them. */
static unsigned int probes_of(const struct steal_tcp *t, uint16_t port)
{
	unsigned int kinds = 0;

	for (const struct subscriber *s = subscribers_of(t->subscriptions, IPPROTO_TCP, port); s; s = subscribers_next(t->subscriptions, s))
		kinds |= s->want.probes;
	return kinds;
}

static bool is_node(struct steal_tcp *t, const struct endpoint *client, uint16_t port)
{
	for (const struct subscriber *s = subscribers_of(t->subscriptions, IPPROTO_TCP, port); s; s = subscribers_next(t->subscriptions, s))
		for (size_t i = 0; i < s->want.n_nodes; i++)
			if (ip_equal(&s->want.nodes[i], &client->ip))
				return true;
	return gateways_have(&t->gateways, &client->ip, loop_now(t->loop));
}

/* Only HTTP says itself what it is. */
static bool is_suspect(const struct probe_hold *h)
{
	return h->kinds && (h->from_node || h->kinds & PROBE_HTTP);
}

/* To the sessions. @probing: HTTP/2 that is most likely a probe. */
static void go_on(struct taken *c, bool probing)
{
	const struct steal_taken taken = { .fd = c->fd, .client = c->client, .destination = c->destination,
					   .keeps_probes = c->hold.kinds & (PROBE_HTTP | PROBE_GRPC), .probing = probing };

	if (steal_http_take(c->tcp->http, c->tcp->passes, &taken))
		taken_free(c);
	else
		offer(c, subscribers_of(c->tcp->subscriptions, IPPROTO_TCP, c->destination.port));
}

static void on_known(struct probe_hold *h, enum probe is)
{
	struct taken *c = container_of(h, struct taken, hold);
	struct subscriber *s = subscribers_of(c->tcp->subscriptions, IPPROTO_TCP, c->destination.port);

	if (is != PROBE_YES) {
		go_on(c, is == PROBE_STREAMS);
		return;
	}
	for (; s; s = subscribers_next(c->tcp->subscriptions, s))
		client_count(s->client, COUNTER_PROBES, 1);
	pass(c);
}

static void take(struct listener_of *l, int fd, const struct endpoint *client)
{
	struct steal_tcp *t = l->tcp;
	struct endpoint destination;
	bool found = get_destination(l, fd, &destination);
	struct taken *c;

	c = found ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		close(fd);
		return;
	}
	*c = (struct taken){ .tcp = t, .client = *client, .destination = destination, .fd = fd };
	c->hold = (struct probe_hold){ .loop = t->loop, .kinds = probes_of(t, destination.port), .on_known = on_known };
	list_append(&t->taken, &c->node);
	t->n_taken++;
	if (c->hold.kinds)
		c->hold.from_node = is_node(t, client, destination.port);
	if (!is_suspect(&c->hold) || probe_hold_start(&c->hold, fd) < 0)
		go_on(c, false);
}

static void accept_some(struct deferred *d)
{
	struct listener_of *l = container_of(d, struct listener_of, accepting);

	for (int i = 0; i < ACCEPTS; i++) {
		struct sockaddr_storage sa;
		socklen_t len = sizeof(sa);
		struct endpoint client;
		int fd = accept4(l->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS))
			l->tcp->events.on_scarce(l->tcp->events.arg);
		if (fd < 0)
			return;
		if (fd >= l->tcp->limit - l->tcp->reserve)
			l->tcp->events.on_scarce(l->tcp->events.arg);
		if (endpoint_from_sockaddr(&sa, &client))
			take(l, fd, &client);
		else
			close(fd);
	}
}

/* Behind the batch: a session whose end was seen with the connection gets it no more. */
static void on_connection(struct watch *w, uint32_t events)
{
	struct listener_of *l = container_of(w, struct listener_of, watch);

	loop_defer(l->tcp->loop, &l->accepting, accept_some);
}

/* What accepted sockets inherit is set here, once. They stand on the target's port, where its program must be able to bind when it starts
 * again: so they share it in both ways that there are. */
static int set_options(int fd, bool v4)
{
	static const int on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0)
		return -1;
	if (!v4 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		return -1;
	if (setsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TRANSPARENT : IPV6_TRANSPARENT, &on, sizeof(on)) < 0)
		return -1;
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		return -1;
	return fd_reset_on_close(fd, true);
}

/* 0 also when there is no IPv6. */
static int listen_on(struct listener_of *l, enum steal_family family, bool redirect, struct error *err)
{
	bool v4 = family == STEAL_V4;
	struct sockaddr_storage sa;
	socklen_t len;
	_cleanup_fd_ int fd = -1;

	if (!v4 && !steal_route_has_ipv6())
		return 0;
	fd = socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (redirect)
		l->at.ip = v4 ? IP_ANY4 : IP_ANY6;
	else
		ip_parse(v4 ? AGENT_ADDRESS4 : AGENT_ADDRESS6, &l->at.ip);
	len = endpoint_to_sockaddr(&l->at, &sa);
	if (fd < 0 || set_options(fd, v4) < 0 || bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, BACKLOG) < 0 ||
	    getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return error_set(err, errno, "listen for stolen connections (IPv%c)", v4 ? '4' : '6');
	endpoint_from_sockaddr(&sa, &l->at);
	l->fd = fd_steal(&fd);
	return 0;
}

static void read_limit(struct steal_tcp *t)
{
	enum { ENDLESS = 1 << 30 };
	struct rlimit limit;

	t->limit = getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > ENDLESS ? ENDLESS : (int)limit.rlim_cur;
	t->reserve = t->limit / 4 < RESERVE ? t->limit / 4 : RESERVE;
}

struct steal_tcp *steal_tcp_new(struct loop *loop, const struct subscriptions *subscriptions, struct steal_http *http,
				const struct steal_tcp_events *events, bool redirect, struct error *err)
{
	struct steal_tcp *t = calloc(1, sizeof(*t));
	int rc = t ? 0 : error_set(err, ENOMEM, "steal");

	if (!t)
		return NULL;
	*t = (struct steal_tcp){ .loop = loop, .subscriptions = subscriptions, .http = http, .events = *events, .redirect = redirect };
	list_init(&t->taken);
	read_limit(t);
	for (int v = 0; v < 2; v++)
		t->listeners[v] = (struct listener_of){ .tcp = t, .fd = -1 };
	for (int v = 0; v < 2 && rc == 0; v++)
		rc = listen_on(&t->listeners[v], v, redirect, err);
	if (rc == 0)
		return t;
	steal_tcp_free(t);
	return NULL;
}

void steal_tcp_free(struct steal_tcp *t)
{
	if (!t)
		return;
	for (int v = 0; v < 2; v++) {
		loop_unwatch(t->loop, &t->listeners[v].watch);
		list_remove(&t->listeners[v].accepting.node);
		fd_closep(&t->listeners[v].fd);
	}
	while (!list_empty(&t->taken)) {
		struct taken *c = container_of(t->taken.next, struct taken, node);

		if (c->dial)
			c->dial->egress->ops->abandon(c->dial);
		reset(c);
	}
	free(t);
}

uint16_t steal_tcp_port(const struct steal_tcp *t, enum steal_family family)
{
	return t->listeners[family].fd < 0 ? 0 : t->listeners[family].at.port;
}

int steal_tcp_listener(const struct steal_tcp *t, enum steal_family family)
{
	return t->listeners[family].fd;
}

int steal_tcp_start(struct steal_tcp *t, struct passes *passes, struct error *err)
{
	t->passes = passes;
	for (int v = 0; v < 2; v++) {
		struct listener_of *l = &t->listeners[v];
		int r = l->fd < 0 ? 0 : loop_watch(t->loop, &l->watch, l->fd, EPOLLIN, on_connection);

		if (r < 0)
			return error_set(err, -r, "watch for stolen connections");
	}
	return 0;
}

size_t steal_tcp_accept_waiting(struct steal_tcp *t)
{
	for (int v = 0; v < 2; v++)
		if (t->listeners[v].fd >= 0)
			accept_some(&t->listeners[v].accepting);
	return t->n_taken;
}

/* The lowest descriptors are given first: as many as a reserve must be below the last one. */
bool steal_tcp_can_take(struct steal_tcp *t)
{
	int fds[RESERVE], n = 0;
	bool room = true;

	read_limit(t);
	while (room && n < t->reserve) {
		int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);

		room = fd >= 0 && fd < t->limit - t->reserve;
		if (fd >= 0)
			fds[n++] = fd;
	}
	while (n)
		close(fds[--n]);
	return room;
}
