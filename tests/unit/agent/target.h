// SPDX-License-Identifier: MIT
/* A target, a client outside of it and a session's twin, each a network namespace, with agent and session on one loop between them. */
#pragma once

#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>

#include "agent/client.h"
#include "agent/steal.h"
#include "net/rtnl.h"
#include "relay/isolate.h"
#include "relay/loop_thread.h"
#include "relay/peers.h"
#include "relay/sockets.h"
#include "relay/tunnel_server.h"
#include "tap.h"
#include "tunnel/mux.h"

enum place { TARGET, OUTSIDE, TWIN, PLACES };
enum { V4, V6 };
static int places[PLACES];

static const char *const pod[] = { "10.9.0.2", "fd09::2" }, *const outside[] = { "10.9.0.1", "fd09::1" };

/* The calling thread's sockets are made there from now on. */
static inline void go_to(enum place p)
{
	if (setns(places[p], CLONE_NEWNET) < 0)
		abort();
}

static inline int this_namespace(void)
{
	return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

static inline void give_addresses(struct rtnl *nl, const char *link, const char *const addresses[2])
{
	struct link_change up = { .up = true };
	struct error err = { 0 };
	struct ip ip;

	if (rtnl_change_link(nl, link, &up, &err) < 0)
		abort();
	for (int v = 0; v < 2; v++) {
		struct route route = { .prefix_len = v ? 64 : 24, .type = 1 /* RTN_UNICAST */, .link = link };

		ip_parse(addresses[v], &ip);
		ip_parse(v ? "fd09::" : "10.9.0.0", &route.prefix);
		if (rtnl_add_address(nl, link, &ip, v ? 128 : 32, &err) < 0 || rtnl_add_route(nl, &route, &err) < 0)
			abort();
	}
}

static inline void await_outside(void)
{
	struct error err = { 0 };
	struct rtnl *nl;

	go_to(OUTSIDE);
	nl = rtnl_open(&err);
	if (rtnl_await_ready(nl, "c0", &err) < 0)
		abort();
	rtnl_close(nl);
}

/* False where no namespaces are to be had. The target checks reverse paths strictly. */
static inline bool build_places(void)
{
	static const char *const aliases[] = { "244.0.0.1", "fd00:6d::1" }; /* of loopback destinations towards a twin, net/loopback.h */
	struct error err = { 0 };
	uid_t uid = geteuid();
	struct rtnl *nl;

	for (int p = 0; p < PLACES; p++) {
		if (!isolate())
			return false;
		become_its_root(uid);
		places[p] = this_namespace();
		nl = rtnl_open(&err);
		if (p == OUTSIDE) {
			const struct veth_end here = { "c0", { { 2, 0, 0, 0, 0, 1 } }, -1 };
			const struct veth_end there = { "eth0", { { 2, 0, 0, 0, 0, 2 } }, places[TARGET] };

			if (rtnl_add_veth(nl, &here, &there, 1500, &err) < 0)
				abort();
			give_addresses(nl, "c0", outside);
		}
		if (p == TWIN) {
			give_addresses(nl, "lo", pod);
			give_addresses(nl, "lo", aliases);
		}
		rtnl_close(nl);
	}
	go_to(TARGET);
	write_sysctl("/proc/sys/net/ipv4/conf/all/rp_filter", "1");
	nl = rtnl_open(&err);
	give_addresses(nl, "eth0", pod);
	rtnl_close(nl);
	await_outside();
	go_to(TARGET);
	return true;
}

/* A session: its side of the tunnel with the program's sockets behind it, and the agent's client. */
struct session {
	struct mux *mux;
	struct tunnel_server *server;
	struct egress *program;
	struct client *client;
	volatile int answers;
	struct subscribed last;
	uint64_t totals[COUNTERS];
	struct subscription want; /* for subscribe() */
};

static struct client_services services;
static struct steal *steal;

static int take_in_twin(struct socket_source *s, enum socket_kind kind, bool *ret_raw)
{
	int fd;

	go_to(TWIN);
	fd = socket_make(kind, ret_raw);
	go_to(TARGET);
	return fd;
}

static struct socket_source in_twin = { .take = take_in_twin };

static void on_session_open(void *arg, struct stream *s, const struct stream_request *request)
{
	tunnel_server_open(((struct session *)arg)->server, s, request);
}

static void on_session_info(void *arg, uint16_t topic, const uint8_t *data, size_t len)
{
	struct session *s = arg;
	struct error err = { 0 };

	if (topic == INFO_COUNTERS) {
		counters_decode(data, len, s->totals, &err);
	} else if (topic == INFO_SUBSCRIBED) {
		if (subscribed_decode(data, len, &s->last, &err) < 0)
			abort();
		s->answers++;
	}
}

static void on_session_gone(void *arg, const struct error *why)
{
}

static const struct mux_events session_events = { .on_open = on_session_open, .on_info = on_session_info, .on_gone = on_session_gone };

static void agent_start(void *arg)
{
	services = (struct client_services){ .loop = loop };
	services.target = socket_egress_new(loop, NULL);
	services.subscriptions = subscriptions_new(client_lose);
	steal = steal_new(loop, services.subscriptions, false, -1, NULL);
}

static void agent_stop(void *arg)
{
	steal_free(steal);
	subscriptions_free(services.subscriptions);
	socket_egress_free(services.target);
}

static void session_start(void *arg)
{
	struct session *s = arg;
	struct error err = { 0 };
	int pair[2];

	*s = (struct session){ 0 };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	s->mux = mux_new(loop, MUX_SESSION, pair[0], pair[0], &session_events, s, &err);
	s->program = socket_egress_new(loop, &in_twin);
	s->server = tunnel_server_new(loop, s->program);
	s->client = client_new(&services, &(struct client_transport){ pair[1], pair[1], -1, -1 }, &err);
	if (!s->mux || !s->client)
		abort();
}

static void session_stop(void *arg)
{
	struct session *s = arg;

	client_free(s->client);
	tunnel_server_free(s->server);
	mux_free(s->mux);
	socket_egress_free(s->program);
}

static void send_subscribe(void *arg)
{
	struct session *s = arg;
	size_t len;
	uint8_t *data = subscription_encode(&s->want, &len);

	mux_send_info(s->mux, INFO_SUBSCRIBE, data, len);
	free(data);
}

static void send_unsubscribe(void *arg)
{
	struct session *s = arg;
	uint8_t data[UNSUBSCRIBE_LEN];

	mux_send_info(s->mux, INFO_UNSUBSCRIBE, data, unsubscribe_encode(s->want.id, data));
}

/* A steal of the TCP port, for a program that listens on the wildcard addresses. Waits for the answer; true when it is subscribed. */
static inline bool subscribe(struct session *s, uint16_t port, enum concurrent_steal on_concurrent, bool flush)
{
	struct listener listeners[2] = { { .at = { IP_ANY4, port } }, { .at = { IP_ANY6, port }, .v6only = true } };
	int answers = s->answers;

	s->want = (struct subscription){ .id = port, .protocol = IPPROTO_TCP, .port = port, .mode = SUBSCRIPTION_STEAL, .flush = flush,
					 .on_concurrent = on_concurrent, .listeners = listeners, .n_listeners = 2 };
	on_loop(send_subscribe, s);
	await(&s->answers, answers + 1);
	return s->answers == answers + 1 && s->last.id == port && !error_is_set(&s->last.refused);
}

static inline struct sockaddr_storage address(const char *ip, uint16_t port, socklen_t *ret_len)
{
	struct endpoint e = { .port = port };
	struct sockaddr_storage sa;

	if (!ip_parse(ip, &e.ip))
		abort();
	*ret_len = endpoint_to_sockaddr(&e, &sa);
	return sa;
}

/* A listener there; gives up at some time. */
static inline int listen_in(enum place p, const char *ip, uint16_t port, int backlog)
{
	socklen_t len;
	struct sockaddr_storage sa = address(ip, port, &len);
	int fd, on = 1;

	go_to(p);
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	go_to(TARGET);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (sa.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, backlog) < 0)
		abort();
	set_patience(fd);
	return fd;
}

/* A connection from there, or -errno. @from: the port to leave from, or 0. */
static inline int connect_from(enum place p, const char *ip, uint16_t port, uint16_t from)
{
	socklen_t len;
	struct sockaddr_storage sa = address(ip, port, &len), own = address(sa.ss_family == AF_INET6 ? "::" : "0.0.0.0", from, &len);
	int fd, saved;

	go_to(p);
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	go_to(TARGET);
	set_patience(fd);
	if ((!from || bind(fd, (struct sockaddr *)&own, len) == 0) && connect(fd, (struct sockaddr *)&sa, len) == 0)
		return fd;
	saved = errno;
	printf("# connect to %s: %s\n", ip, strerror(saved));
	close(fd);
	return -saved;
}

static inline struct endpoint name_of(int fd, int (*get)(int, struct sockaddr *, socklen_t *))
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct endpoint e = { 0 };

	if (get(fd, (struct sockaddr *)&sa, &len) == 0)
		endpoint_from_sockaddr(&sa, &e);
	return e;
}

/* accept() that reports a lack of connections at once, or -1 when patience is over. */
static inline int accept_one(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0)
		set_patience(fd);
	return fd;
}

static inline bool nothing_came(int listener)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };

	return poll(&p, 1, 0) == 0;
}
