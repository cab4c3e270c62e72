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
#include "agent/steal_listener.h"
#include "agent/steal_route.h"
#include "base/fd.h"
#include "base/log.h"

enum { RESERVE = 256 };
/* Of linux/netfilter_ipv4.h and netfilter_ipv6/ip6_tables.h, which don't go with netinet/in.h. */
enum { ORIGINAL_DST4 = 80, ORIGINAL_DST6 = 80 };

struct steal_tcp {
	struct loop *loop;
	const struct subscriptions *subscriptions;
	struct steal_http *http;
	struct passes *passes;
	struct steal_tcp_events events;
	struct steal_listener listeners[2]; /* by enum steal_family; of the ports that have no queue of their own */
	struct steal_queues *queues;
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
	struct steal_queue *queue; /* that it came by, and whose program's queue it isn't in yet; or NULL */
	int fd;
};

static void offer(struct taken *c, struct subscriber *next);

/* What it was handed over to has it, or has refused it. */
static void leave_queue(struct taken *c)
{
	if (c->queue)
		steal_queue_arrived(c->queue);
	c->queue = NULL;
}

static void taken_free(struct taken *c)
{
	leave_queue(c);
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
	leave_queue(c);
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
static bool get_destination(const struct steal_tcp *t, int fd, const struct endpoint *listener, struct endpoint *ret)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa);
	bool v4 = ip_is_v4(&listener->ip);
	int r;

	if (t->redirect)
		r = getsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? ORIGINAL_DST4 : ORIGINAL_DST6, &sa, &len);
	else
		r = getsockname(fd, (struct sockaddr *)&sa, &len);
	return r == 0 && endpoint_from_sockaddr(&sa, ret) && (t->redirect ? ret->port != listener->port : !endpoint_equal(ret, listener));
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

static void read_limit(struct steal_tcp *t)
{
	enum { ENDLESS = 1 << 30 };
	struct rlimit limit;

	t->limit = getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > ENDLESS ? ENDLESS : (int)limit.rlim_cur;
	t->reserve = t->limit / 4 < RESERVE ? t->limit / 4 : RESERVE;
}

/* @listener: by which it came. */
static void take(struct steal_tcp *t, int fd, const struct endpoint *client, const struct endpoint *listener, struct steal_queue *queue)
{
	struct endpoint destination;
	bool found = get_destination(t, fd, listener, &destination);
	struct taken *c;

	read_limit(t); /* somebody may have lowered it */
	if (fd >= t->limit - t->reserve)
		t->events.on_scarce(t->events.arg);
	c = found ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		if (queue)
			steal_queue_arrived(queue);
		close(fd);
		return;
	}
	*c = (struct taken){ .tcp = t, .client = *client, .destination = destination, .queue = queue, .fd = fd };
	c->hold = (struct probe_hold){ .loop = t->loop, .kinds = probes_of(t, destination.port), .on_known = on_known };
	list_append(&t->taken, &c->node);
	t->n_taken++;
	if (c->hold.kinds)
		c->hold.from_node = is_node(t, client, destination.port);
	if (!is_suspect(&c->hold) || probe_hold_start(&c->hold, fd) < 0)
		go_on(c, false);
}

static void on_queued(void *arg, struct steal_queue *q, int fd, const struct endpoint *client)
{
	take(arg, fd, client, steal_queue_at(q), q);
}

static void on_queue_scarce(void *arg)
{
	struct steal_tcp *t = arg;

	t->events.on_scarce(t->events.arg);
}

static void on_queue_closed(void *arg, struct steal_queue *q)
{
	struct steal_tcp *t = arg;

	for (struct list *n = t->taken.next; n != &t->taken; n = n->next) {
		struct taken *c = container_of(n, struct taken, node);

		if (c->queue == q)
			c->queue = NULL;
	}
}

/* Of one of the two that all share. */
static struct steal_tcp *tcp_of(struct steal_listener *l)
{
	struct steal_tcp *t = ip_is_v4(&l->at.ip) ? container_of(l, struct steal_tcp, listeners[STEAL_V4])
						  : container_of(l, struct steal_tcp, listeners[STEAL_V6]);

	return t;
}

static void on_accepted(struct steal_listener *l, int fd, const struct endpoint *client)
{
	take(tcp_of(l), fd, client, &l->at, NULL);
}

static void on_scarce(struct steal_listener *l)
{
	on_queue_scarce(tcp_of(l));
}

/* 0 also when there is no IPv6. */
static int listen_on(struct steal_tcp *t, enum steal_family family, struct error *err)
{
	static const struct steal_listener_ops ops = { .accepted = on_accepted, .scarce = on_scarce };
	bool v4 = family == STEAL_V4;
	struct ip at = v4 ? IP_ANY4 : IP_ANY6;

	if (!v4 && !steal_route_has_ipv6())
		return 0;
	if (!t->redirect)
		ip_parse(v4 ? AGENT_ADDRESS4 : AGENT_ADDRESS6, &at);
	return steal_listener_open(&t->listeners[family], t->loop, &ops, &at, false, err);
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
		t->listeners[v].fd = -1;
	for (int v = 0; v < 2 && rc == 0; v++)
		rc = listen_on(t, v, err);
	if (rc == 0) {
		const struct steal_queues_events own = {
			.on_accepted = on_queued, .on_scarce = on_queue_scarce, .on_closed = on_queue_closed, .arg = t
		};

		t->queues = steal_queues_new(loop, t->listeners[STEAL_V6].fd >= 0, &own);
		if (t->queues)
			return t;
		error_set(err, ENOMEM, "steal");
	}
	steal_tcp_free(t);
	return NULL;
}

void steal_tcp_free(struct steal_tcp *t)
{
	if (!t)
		return;
	for (int v = 0; v < 2; v++)
		steal_listener_close(&t->listeners[v]);
	while (!list_empty(&t->taken)) {
		struct taken *c = container_of(t->taken.next, struct taken, node);

		if (c->dial)
			c->dial->egress->ops->abandon(c->dial);
		reset(c);
	}
	steal_queues_free(t->queues);
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
		int r = steal_listener_start(&t->listeners[v]);

		if (r < 0)
			return error_set(err, -r, "watch for stolen connections");
	}
	return 0;
}

void steal_tcp_queue(struct steal_tcp *t, uint16_t port, const struct steal_aim aims[2], uint16_t ret_ports[2])
{
	static const struct steal_aim none[2];

	steal_queues_set(t->queues, port, t->redirect ? none : aims, ret_ports);
}

size_t steal_tcp_accept_waiting(struct steal_tcp *t)
{
	for (int v = 0; v < 2; v++)
		if (t->listeners[v].fd >= 0)
			steal_listener_accept(&t->listeners[v]);
	steal_queues_accept(t->queues);
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
