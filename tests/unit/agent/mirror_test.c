// SPDX-License-Identifier: MIT
/* Mirroring, whole: a session's tunnel, the agent's client, the mirroring process, in one network namespace of the test's own. The target
 * listens on port 8080 of 10.9.9.1 and fd09::1, clients come from 10.9.9.2 and fd09::2, the session's program listens on 9090. */
#include "agent/mirror.h"

#include <arpa/inet.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>

#include "../relay/isolate.h"
#include "../relay/loop_thread.h"
#include "../relay/peers.h"
#include "agent/client.h"
#include "net/rtnl.h"
#include "relay/sockets.h"
#include "relay/tunnel_server.h"
#include "tap.h"
#include "tunnel/mux.h"

enum { TARGET = 8080, PROGRAM = 9090, SESSIONS = 2, PATIENCE = 60 /* seconds */ };

/* In the libc's place: the process yields to everything else, so on a machine that is busy with others' tests it would get next to no time. */
int sched_setscheduler(pid_t pid, int policy, const struct sched_param *param)
{
	return 0;
}

static struct agent {
	struct client_services services;
	struct egress *egress;
	struct mirror *mirror;
	struct session {
		struct client *client;
		struct mux *mux;
		struct tunnel_server *server;
		volatile int subscribed, refused, notices;
		uint64_t totals[COUNTERS];
		struct deferred ended;
	} sessions[SESSIONS];
} agent;

static void on_open(void *arg, struct stream *s, const struct stream_request *request)
{
	struct session *session = arg;

	tunnel_server_open(session->server, s, request);
}

static void on_info(void *arg, uint16_t topic, const uint8_t *data, size_t len)
{
	struct session *session = arg;
	struct subscribed s;
	struct error err = { 0 };

	if (topic == INFO_SUBSCRIBED && subscribed_decode(data, len, &s, &err) == 0) {
		session->refused = error_is_set(&s.refused);
		session->subscribed++;
	}
	if (topic == INFO_NOTICE)
		session->notices++;
	if (topic == INFO_COUNTERS)
		counters_decode(data, len, session->totals, &err);
}

static void on_gone(void *arg, const struct error *why)
{
}

static void on_client_end(void *arg, struct client *c)
{
}

static const struct mux_events session_events = { .on_open = on_open, .on_info = on_info, .on_gone = on_gone };

static void start_session(struct session *s)
{
	struct error err = { 0 };
	int pair[2];
	struct client_transport transport = { .lend = -1, .root = -1 };

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	transport.in = transport.out = pair[0];
	s->client = client_new(&agent.services, &transport, &err);
	s->mux = mux_new(loop, MUX_SESSION, pair[1], pair[1], &session_events, s, &err);
	s->server = tunnel_server_new(loop, agent.egress);
	if (!s->client || !s->mux || !s->server)
		abort();
}

static void start_agent(void *arg)
{
	agent.services = (struct client_services){ .loop = loop, .on_end = on_client_end };
	agent.services.target = socket_egress_new(loop, NULL);
	agent.services.subscriptions = subscriptions_new(client_lose);
	agent.egress = socket_egress_new(loop, NULL);
	agent.mirror = mirror_new(loop, agent.services.subscriptions);
	for (int i = 0; i < SESSIONS; i++)
		start_session(&agent.sessions[i]);
}

static void stop_session(void *arg)
{
	struct session *s = arg;

	client_free(s->client);
	tunnel_server_free(s->server);
	mux_free(s->mux);
	s->client = NULL;
}

static void stop_agent(void *arg)
{
	for (int i = 0; i < SESSIONS; i++)
		if (agent.sessions[i].client)
			stop_session(&agent.sessions[i]);
	mirror_free(agent.mirror);
	subscriptions_free(agent.services.subscriptions);
	socket_egress_free(agent.services.target);
	socket_egress_free(agent.egress);
}

struct wish {
	struct session *session;
	uint32_t id;
	uint8_t protocol;
	char *http_filter;
};

static void subscribe_now(void *arg)
{
	const struct wish *w = arg;
	struct listener listeners[2] = { { .at = { .ip = IP_ANY4, .port = PROGRAM } }, { .at = { .ip = IP_ANY6, .port = PROGRAM }, .v6only = true } };
	const struct subscription s = { .id = w->id, .protocol = w->protocol, .port = TARGET, .mode = SUBSCRIPTION_MIRROR,
					.on_concurrent = CONCURRENT_ABORT, .listeners = listeners, .n_listeners = 2, .http_filter = w->http_filter };
	size_t len;
	uint8_t *data = subscription_encode(&s, &len);

	if (!data || mux_send_info(w->session->mux, INFO_SUBSCRIBE, data, len) < 0)
		abort();
	free(data);
}

static void unsubscribe_now(void *arg)
{
	const struct wish *w = arg;
	uint8_t data[UNSUBSCRIBE_LEN];

	unsubscribe_encode(w->id, data);
	if (mux_send_info(w->session->mux, INFO_UNSUBSCRIBE, data, sizeof(data)) < 0)
		abort();
}

static bool subscribe_filtered(int session, uint32_t id, uint8_t protocol, const char *http_filter)
{
	struct session *s = &agent.sessions[session];
	struct wish w = { s, id, protocol, (char *)http_filter };
	int before = s->subscribed;

	on_loop(subscribe_now, &w);
	return await(&s->subscribed, before + 1) == before + 1 && !s->refused;
}

static bool subscribe(int session, uint32_t id, uint8_t protocol)
{
	return subscribe_filtered(session, id, protocol, NULL);
}

static void unsubscribe(int session, uint32_t id)
{
	struct wish w = { &agent.sessions[session], id, 0, NULL };

	on_loop(unsubscribe_now, &w);
}

/* Waits until the total is @want, and says what it is. */
static int total(int session, enum counter what, int want)
{
	const volatile uint64_t *n = &agent.sessions[session].totals[what];

	for (int i = 0; i < PATIENCE * 100 && *n < (uint64_t)want; i++)
		usleep(10000);
	return (int)*n;
}

/* Too slow, or too much for the ring: which of the two comes first is chance. */
static bool is_dropped(int session)
{
	const volatile uint64_t *totals = agent.sessions[session].totals;

	for (int i = 0; i < PATIENCE * 100 && !totals[COUNTER_MIRROR_SLOW] && !totals[COUNTER_MIRROR_HOLE]; i++)
		usleep(10000);
	return totals[COUNTER_MIRROR_SLOW] || totals[COUNTER_MIRROR_HOLE];
}

static _Noreturn void die(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

static void be_patient(int fd)
{
	struct timeval tv = { .tv_sec = PATIENCE };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

static socklen_t address(bool v4, int host, uint16_t port, struct sockaddr_storage *ret)
{
	char text[32];
	struct endpoint e = { .port = port };

	snprintf(text, sizeof(text), v4 ? "10.9.9.%d" : "fd09::%d", host);
	if (!ip_parse(text, &e.ip))
		abort();
	return endpoint_to_sockaddr(&e, ret);
}

static int open_socket(bool v4, int type)
{
	int fd = socket(v4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		abort();
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	be_patient(fd);
	return fd;
}

/* The target's on its address, the program's on any. */
static int serve(bool v4, int type, uint16_t port)
{
	int fd = open_socket(v4, type), on = 1;
	struct sockaddr_storage sa = { .ss_family = AF_INET6 };
	socklen_t len = sizeof(struct sockaddr_in6);

	if (!v4)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (port == TARGET || v4)
		len = address(v4, 1, port, &sa);
	else
		((struct sockaddr_in6 *)&sa)->sin6_port = htons(port);
	if (port != TARGET && v4)
		((struct sockaddr_in *)&sa)->sin_addr.s_addr = 0;
	if (bind(fd, (struct sockaddr *)&sa, len) < 0 || (type == SOCK_STREAM && listen(fd, 64) < 0))
		die("listen");
	return fd;
}

/* A client's connection, at its three ends. -1: it isn't there. */
struct ends {
	int client, target, program;
	char peer[IP_TEXT]; /* the program's */
};

static int target_listener[2], program_listener[2]; /* by v4 */

static struct ends connect_client(bool v4)
{
	struct ends e = { .client = open_socket(v4, SOCK_STREAM), .program = -1 };
	struct sockaddr_storage sa;
	socklen_t len = address(v4, 2, 0, &sa);
	int on = 1;

	/* bind() might choose the port of a connection to the same address that is over and in TIME_WAIT */
	setsockopt(e.client, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(e.client, (struct sockaddr *)&sa, len) < 0)
		die("bind");
	len = address(v4, 1, TARGET, &sa);
	if (connect(e.client, (struct sockaddr *)&sa, len) < 0)
		die("connect");
	e.target = accept4(target_listener[v4], NULL, NULL, SOCK_CLOEXEC);
	be_patient(e.target);
	return e;
}

static bool accept_copy(struct ends *e, bool v4)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct endpoint from;

	e->program = accept4(program_listener[v4], (struct sockaddr *)&sa, &len, SOCK_CLOEXEC);
	if (e->program < 0)
		return false;
	be_patient(e->program);
	if (endpoint_from_sockaddr(&sa, &from))
		ip_format(&from.ip, e->peer);
	return true;
}

static bool is_silent(int listener)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };

	return poll(&p, 1, 300) == 0;
}

static void close_ends(struct ends *e)
{
	close(e->client);
	close(e->target);
	fd_closep(&e->program);
}

static bool reads(int fd, const char *want)
{
	char got[256];
	size_t n = 0, len = strlen(want);

	while (n < len) {
		ssize_t r = recv(fd, got + n, len - n, 0);

		if (r <= 0)
			break;
		n += (size_t)r;
	}
	if (n == len && memcmp(got, want, len) == 0)
		return true;
	printf("# got \"%.*s\"\n", (int)n, got);
	return false;
}

static bool writes(int fd, const char *text)
{
	return send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

static void test_copy(bool v4)
{
	const char *name = v4 ? "IPv4" : "IPv6";
	struct ends e = connect_client(v4);

	tap_ok(accept_copy(&e, v4), "%s: the program is connected to before the client says anything", name);
	tap_str(e.peer, v4 ? "10.9.9.2" : "fd09::2", "%s: from the client's address", name);
	tap_ok(writes(e.client, "hello") && reads(e.target, "hello") && reads(e.program, "hello"), "%s: both have the bytes", name);
	tap_ok(writes(e.program, "mine") && writes(e.target, "yours") && reads(e.client, "yours"), "%s: the client hears the target alone", name);
	shutdown(e.client, SHUT_WR);
	tap_int(read_outcome(e.target), 0, "%s: the end, at the target", name);
	tap_int(read_outcome(e.program), 0, "%s: the end, at the program", name);
	close_ends(&e);
}

struct sending {
	int fd;
	uint64_t len;
	bool good;
};

static void *send_all(void *arg)
{
	struct sending *s = arg;

	s->good = send_pattern(s->fd, 0, s->len, 7);
	shutdown(s->fd, SHUT_WR);
	return NULL;
}

static void *receive_all(void *arg)
{
	struct sending *s = arg;

	s->good = receive_pattern(s->fd, 0, s->len, 7) == s->len && read_outcome(s->fd) == 0;
	return NULL;
}

static void test_bulk(void)
{
	struct ends e = connect_client(true);
	struct sending client = { e.client, 6 << 20, false }, target = { e.target, 6 << 20, false };
	pthread_t threads[2];

	accept_copy(&e, true);
	pthread_create(&threads[0], NULL, send_all, &client);
	pthread_create(&threads[1], NULL, receive_all, &target);
	tap_int(receive_pattern(e.program, 0, 6 << 20, 7), 6 << 20, "6 MiB, at the program");
	tap_int(read_outcome(e.program), 0, "and the end");
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	tap_ok(client.good && target.good, "at the target, too");
	close_ends(&e);
}

static void test_reset(void)
{
	struct ends e = connect_client(true);

	accept_copy(&e, true);
	writes(e.client, "last");
	reads(e.target, "last");
	reset(e.client);
	tap_ok(reads(e.program, "last"), "what came before a reset");
	tap_int(read_outcome(e.program), ECONNRESET, "and the reset");
	close(e.target);
	close(e.program);
}

/* A connection's bytes came as a copy, at once or behind those of others. */
static bool is_copied(const char *request, bool v4)
{
	struct pollfd p = { .fd = program_listener[v4], .events = POLLIN };
	char got[64] = "";

	while (poll(&p, 1, 2000) > 0) {
		struct ends copy = { .program = -1 };
		bool same = accept_copy(&copy, v4) && recv(copy.program, got, strlen(request), MSG_WAITALL) == (ssize_t)strlen(request) &&
			    memcmp(got, request, strlen(request)) == 0;

		fd_closep(&copy.program);
		if (same)
			return true;
	}
	return false;
}

/* The process has come to this moment: it is there, and what it was behind with, in a ring that may have been full, is done. */
static bool catch_up(void)
{
	for (int i = 0; i < PATIENCE; i++) {
		struct ends e = connect_client(true);
		char request[64];
		bool copied;

		snprintf(request, sizeof(request), "GET /%05d HTTP/1.1\r\n\r\n", i);
		copied = writes(e.client, request) && is_copied(request, true);
		close_ends(&e);
		if (copied)
			return true;
	}
	return false;
}

static void test_slow(void)
{
	struct ends e = connect_client(true);
	struct sending client = { e.client, 48 << 20, false }, target = { e.target, 48 << 20, false };
	pthread_t threads[2];

	accept_copy(&e, true);
	pthread_create(&threads[0], NULL, send_all, &client);
	pthread_create(&threads[1], NULL, receive_all, &target);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	tap_ok(client.good && target.good, "a program that reads nothing: the target has all 48 MiB");
	tap_ok(is_dropped(0), "the copy is dropped and counted");
	errno = 0;
	tap_ok(receive_pattern(e.program, 0, 48 << 20, 7) < 48 << 20, "the program had a part of it");
	tap_int(errno, ECONNRESET, "and a reset");
	close_ends(&e);
}

static void test_refused(void)
{
	struct ends e;

	tap_ok(catch_up(), "new connections are copied as before");
	close(program_listener[1]);
	e = connect_client(true);
	tap_ok(writes(e.client, "hello") && reads(e.target, "hello"), "no program: the target has the bytes");
	tap_int(total(0, COUNTER_MIRROR_REFUSED, 1), 1, "and a copy was refused");
	program_listener[1] = serve(true, SOCK_STREAM, PROGRAM);
	tap_ok(writes(e.client, "GET / HTTP/1.1\r\n\r\n") && accept_copy(&e, true) && reads(e.program, "GET / HTTP/1.1\r\n\r\n"),
	       "the next request on that connection is mirrored");
	close_ends(&e);
}

/* A request that the process passes on before it hears that the program has closed is lost. */
static bool is_asked_again(int client, const char *request)
{
	struct pollfd p = { .fd = program_listener[1], .events = POLLIN };

	for (int i = 0; i < PATIENCE; i++)
		if (!writes(client, request) || poll(&p, 1, 1000) > 0)
			break;
	return p.revents & POLLIN;
}

static void test_between_requests(void)
{
	struct ends e = connect_client(true);

	accept_copy(&e, true);
	tap_ok(writes(e.client, "GET /1 HTTP/1.1\r\n\r\n") && reads(e.program, "GET /1 HTTP/1.1\r\n\r\n"), "a request");
	close(e.program);
	tap_ok(reads(e.target, "GET /1 HTTP/1.1\r\n\r\n") && is_asked_again(e.client, "GET /2 HTTP/1.1\r\n\r\n") && accept_copy(&e, true) &&
	       reads(e.program, "GET /2 HTTP/1.1\r\n\r\n"), "the program closed: the next request comes by another connection");
	close_ends(&e);
}

static void test_middle(void)
{
	struct ends e = connect_client(true);
	int skipped;

	tap_ok(subscribe(0, 1, IPPROTO_TCP), "subscribed");
	skipped = (int)agent.sessions[0].totals[COUNTER_MIRROR_MIDDLE];
	tap_ok(writes(e.client, "half of a body") && reads(e.target, "half of a body"), "a connection that was there before");
	tap_int(total(0, COUNTER_MIRROR_MIDDLE, skipped + 1), skipped + 1, "is left out and counted");
	tap_ok(is_silent(program_listener[1]), "the program hears nothing of it");
	tap_ok(writes(e.client, "GET /x HTTP/1.1\r\n\r\n") && accept_copy(&e, true) && reads(e.program, "GET /x HTTP/1.1\r\n\r\n"),
	       "until a request begins");
	close_ends(&e);
}

static void test_unsubscribe(void)
{
	struct ends e = connect_client(true), other;

	accept_copy(&e, true);
	unsubscribe(0, 1);
	tap_ok(subscribe(0, 2, IPPROTO_TCP), "another subscription, so the first has ended");
	unsubscribe(0, 2);
	tap_ok(writes(e.client, "more") && reads(e.program, "more"), "the copy that the program has goes on");
	other = connect_client(true);
	tap_ok(writes(other.client, "hello") && reads(other.target, "hello") && is_silent(program_listener[1]), "a new connection has none");
	close_ends(&e);
	close_ends(&other);
}

#define REQUEST(path, user) "GET " path " HTTP/1.1\r\nx-user: " user "\r\n\r\n"

static void test_filters(void)
{
	struct ends e;
	int alice, stolen = (int)agent.sessions[0].totals[COUNTER_HTTP_STOLEN];

	tap_ok(!subscribe_filtered(0, 4, IPPROTO_TCP, "{\"path_filter\": \"(\"}"), "a bad filter is refused");
	tap_ok(subscribe_filtered(0, 5, IPPROTO_TCP, "{\"header_filter\": \"^x-user: alice$\"}"), "a filter");
	e = connect_client(true);
	tap_ok(writes(e.client, REQUEST("/1", "bob")) && reads(e.target, REQUEST("/1", "bob")) && is_silent(program_listener[1]),
	       "the program hears nothing of what doesn't match");
	tap_ok(writes(e.client, REQUEST("/2", "alice") REQUEST("/3", "bob") REQUEST("/4", "alice")) && accept_copy(&e, true) &&
	       reads(e.program, REQUEST("/2", "alice") REQUEST("/4", "alice")), "what does is copied");
	alice = e.program;
	tap_ok(subscribe_filtered(1, 2, IPPROTO_TCP,
				  "{\"any_of\": [{\"header\": \"bob\"}, {\"path\": \"^/7$\"}]}"), "another session's filter");
	tap_ok(writes(e.client, REQUEST("/5", "bob")) && accept_copy(&e, true) && reads(e.program, REQUEST("/5", "bob")),
	       "is for the other requests");
	tap_ok(writes(e.client, REQUEST("/6", "alice")) && reads(alice, REQUEST("/6", "alice")), "the first one's go on by their connection");
	tap_ok(writes(e.client, REQUEST("/7", "alice")) && reads(alice, REQUEST("/7", "alice")) && reads(e.program, REQUEST("/7", "alice")),
	       "one that both want, both get");
	shutdown(e.client, SHUT_WR);
	tap_ok(read_outcome(alice) == 0 && read_outcome(e.program) == 0, "the client's end");
	tap_int(total(0, COUNTER_HTTP_STOLEN, stolen + 4), stolen + 4, "the first session's are counted");
	tap_int(total(1, COUNTER_HTTP_STOLEN, 2), 2, "and the second's");
	close(alice);
	close_ends(&e);
	unsubscribe(0, 5);
	unsubscribe(1, 2);
}

static void test_two_sessions(void)
{
	struct ends e;
	int second;

	tap_ok(subscribe(0, 3, IPPROTO_TCP) && subscribe(1, 1, IPPROTO_TCP), "two sessions mirror one port");
	e = connect_client(true);
	tap_ok(accept_copy(&e, true), "a copy");
	second = e.program;
	tap_ok(accept_copy(&e, true), "and another");
	tap_ok(writes(e.client, "both") && reads(second, "both") && reads(e.program, "both"), "both have the bytes");
	on_loop(stop_session, &agent.sessions[1]);
	tap_ok(writes(e.client, "one") && reads(e.target, "bothone"), "one session ends");
	/* Which of the two is whose is not known. */
	tap_ok(reads(second, "one") + reads(e.program, "one") == 1, "the other's copy goes on");
	close(second);
	close_ends(&e);
}

static void test_datagrams(bool v4)
{
	int target = serve(v4, SOCK_DGRAM, TARGET), program = serve(v4, SOCK_DGRAM, PROGRAM), client = open_socket(v4, SOCK_DGRAM);
	struct sockaddr_storage sa, from;
	socklen_t len = address(v4, 2, 0, &sa), from_len = sizeof(from);
	struct endpoint e;
	char bytes[16], text[IP_TEXT];
	ssize_t n;

	if (bind(client, (struct sockaddr *)&sa, len) < 0)
		die("bind");
	len = address(v4, 1, TARGET, &sa);
	sendto(client, "ping", 4, 0, (struct sockaddr *)&sa, len);
	tap_ok(reads(target, "ping"), "a datagram, at the target");
	n = recvfrom(program, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &from_len);
	tap_ok(n == 4 && memcmp(bytes, "ping", 4) == 0, "at the program");
	tap_str(n == 4 && endpoint_from_sockaddr(&from, &e) ? ip_format(&e.ip, text) : "", v4 ? "10.9.9.2" : "fd09::2", "from the client's address");
	close(target);
	close(program);
	close(client);
}

/* Children of both threads, those that weren't waited for, too. *ret: one of them. */
static int find_children(pid_t *ret)
{
	char path[64];
	int n = 0, pid;

	for (int thread = 0; thread < 2; thread++) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%d/children", thread ? gettid() : getpid());
		f = fopen(path, "re");
		for (; f && fscanf(f, "%d", &pid) == 1; n++)
			*ret = pid;
		if (f)
			fclose(f);
	}
	return n;
}

struct children {
	int n;
	pid_t one;
};

static void find_children_now(void *arg)
{
	struct children *c = arg;

	c->n = find_children(&c->one);
}

static int count_children(int want)
{
	struct children c = { 0 };

	for (int i = 0; i < PATIENCE * 100; i++) {
		on_loop(find_children_now, &c);
		if (c.n == want)
			break;
		usleep(10000);
	}
	return c.n;
}

/* The last port goes and another one comes: often before the process of the former is gone. */
static void test_restarts(void)
{
	struct ends e;

	for (uint32_t i = 0; i < 40; i++) {
		unsubscribe(0, 100 + i);
		usleep(i * 50);
		if (!subscribe(0, 101 + i, IPPROTO_TCP))
			die("subscribe");
	}
	tap_int(count_children(1), 1, "one process is left of those that came and went");
	tap_ok(catch_up(), "it is there");
	e = connect_client(true);
	tap_ok(accept_copy(&e, true) && writes(e.client, "hello") && reads(e.program, "hello"), "and does its work");
	close_ends(&e);
	unsubscribe(0, 140);
	tap_int(count_children(0), 0, "none without a subscription");
	tap_ok(subscribe(0, 3, IPPROTO_TCP), "subscribed again");
}

static void test_death(void)
{
	struct ends e = connect_client(true);
	int notices = agent.sessions[0].notices;
	struct children child = { 0 };

	accept_copy(&e, true);
	on_loop(find_children_now, &child);
	tap_ok(child.n == 1 && kill(child.one, SIGKILL) == 0, "the mirroring process is killed");
	tap_int(await(&agent.sessions[0].notices, notices + 1), notices + 1, "the session is told");
	tap_ok(writes(e.client, "on") && reads(e.target, "on"), "the target's connection goes on");
	tap_int(read_outcome(e.program), ECONNRESET, "the copy is reset");
	close_ends(&e);
	tap_ok(catch_up(), "another one takes its place");
	e = connect_client(true);
	tap_ok(accept_copy(&e, true) && writes(e.client, "again") && reads(e.program, "again"), "and does its work");
	close_ends(&e);
}

static void add_addresses(void)
{
	struct error err = { 0 };
	struct rtnl *nl = rtnl_open(&err);
	struct ip ip;
	char text[32];

	for (int i = 0; i < 4; i++) {
		snprintf(text, sizeof(text), i < 2 ? "10.9.9.%d" : "fd09::%d", i % 2 + 1);
		if (!ip_parse(text, &ip) || rtnl_add_address(nl, "lo", &ip, i < 2 ? 32 : 128, &err) < 0)
			abort();
	}
	rtnl_close(nl);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	if (!isolate()) {
		printf("1..0 # SKIP neither root nor user namespaces\n");
		return 0;
	}
	add_addresses();
	loop_thread_start();
	on_loop(start_agent, NULL);
	for (int v4 = 0; v4 < 2; v4++) {
		target_listener[v4] = serve(v4, SOCK_STREAM, TARGET);
		program_listener[v4] = serve(v4, SOCK_STREAM, PROGRAM);
	}
	test_middle();
	for (int v4 = 0; v4 < 2; v4++)
		test_copy(v4);
	test_bulk();
	test_reset();
	test_between_requests();
	test_slow();
	test_refused();
	test_unsubscribe();
	test_filters();
	test_two_sessions();
	unsubscribe(0, 3);
	test_restarts();
	tap_ok(subscribe(0, 9, IPPROTO_UDP), "subscribed to UDP");
	for (int v4 = 0; v4 < 2; v4++)
		test_datagrams(v4);
	test_death();
	tap_ok(total(0, COUNTER_MIRRORED, 8) >= 8, "mirrored connections are counted");
	on_loop(stop_agent, NULL);
	loop_thread_stop();
	return tap_done();
}
