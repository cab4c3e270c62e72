// SPDX-License-Identifier: MIT
/* Runs in a network namespace of its own when it may make one: then unreachable addresses are certain. */
#include "relay/sockets.h"

#include <stdio.h>

#include "isolate.h"
#include "loop_thread.h"
#include "peers.h"
#include "tap.h"

/* A source that has nothing until it is told to. */
struct slow_source {
	struct socket_source source;
	int given, error;
	bool open;
};

static struct slow_source slow;
static struct egress *direct, *waiting;

/* One call to dial and what came of it. */
struct attempt {
	struct egress *e;
	struct endpoint local, remote;
	struct dial *dial;
	int returned;
	volatile int calls, error, fd;
};

static int slow_take(struct socket_source *s, enum socket_kind kind, bool *ret_raw)
{
	if (slow.error)
		return -slow.error;
	if (!slow.open)
		return -EAGAIN;
	slow.given++;
	return socket_make(kind, ret_raw);
}

static void on_done(void *arg, int error)
{
	struct attempt *a = arg;

	a->error = error;
	a->calls++;
}

static void start(void *arg)
{
	struct attempt *a = arg;

	a->returned = a->e->ops->dial(a->e, &a->local, &a->remote, on_done, a, &a->dial);
}

static void take(void *arg)
{
	struct attempt *a = arg;

	a->fd = egress_dial_take(a->dial);
}

static void abandon(void *arg)
{
	struct attempt *a = arg;

	a->e->ops->abandon(a->dial);
}

static void join(void *arg)
{
	struct attempt *a = arg;

	a->e->ops->join(a->dial, a->fd);
}

static void refill(void *arg)
{
	socket_egress_refilled(waiting);
}

static struct endpoint endpoint(const char *ip, uint16_t port)
{
	struct endpoint e = { .port = port };

	if (!ip_parse(ip, &e.ip))
		abort();
	return e;
}

/* Dials, and waits for the outcome if it isn't there at once. Returns it. */
static int dial(struct attempt *a, const char *local, uint16_t local_port, const char *remote, uint16_t port)
{
	*a = (struct attempt){ .e = direct, .local = endpoint(local, local_port), .remote = endpoint(remote, port), .fd = -1 };
	on_loop(start, a);
	if (a->returned != EINPROGRESS)
		return a->returned;
	return await(&a->calls, 1) == 1 ? a->error : -1;
}

static struct endpoint own_name(int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct endpoint e = { 0 };

	getsockname(fd, (struct sockaddr *)&sa, &len);
	endpoint_from_sockaddr(&sa, &e);
	return e;
}

static int listen_on(int family, struct endpoint *ret)
{
	struct endpoint e = endpoint(family == AF_INET ? "127.0.0.1" : "::1", 0);
	struct sockaddr_storage sa;
	socklen_t len = endpoint_to_sockaddr(&e, &sa);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, 16) < 0)
		abort();
	*ret = own_name(fd);
	return fd;
}

static void test_local_wishes(const char *remote_ip, int family)
{
	static const struct {
		const char *name, *local;
		bool port, want_ip, want_port;
		bool taken;
	} rows[] = {
		{ "nothing wished", "0.0.0.0", false, false, false, false },
		{ "an address", "127.0.0.9", false, true, false, false },
		{ "an address that isn't there", "192.0.2.77", false, false, false, false },
		{ "a port", "0.0.0.0", true, false, true, false },
		{ "an address and a port", "127.0.0.9", true, true, true, false },
		{ "an address that isn't there and a port", "192.0.2.77", true, false, false, false },
		{ "a port that is taken", "127.0.0.9", true, true, false, true },
	};
	struct endpoint remote, spare;
	int listener = listen_on(family, &remote);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[IP_TEXT];
		struct attempt a;
		struct endpoint own, wish;
		int holder = listen_on(family, &spare), peer;

		/* The port of a listener that is gone is free; of one that isn't, it is taken, if on the same address. */
		wish = endpoint(rows[i].local, rows[i].port ? spare.port : 0);
		if (!rows[i].taken) {
			close(holder);
			holder = -1;
		} else {
			wish.ip = spare.ip;
		}
		tap_int(dial(&a, ip_format(&wish.ip, text), wish.port, remote_ip, remote.port), 0, "%s: connected", rows[i].name);
		peer = accept(listener, NULL, NULL);
		on_loop(take, &a);
		own = own_name(a.fd);
		tap_int(ip_equal(&own.ip, &wish.ip), rows[i].want_ip, "%s: the address", rows[i].name);
		tap_int(own.port == wish.port, rows[i].want_port, "%s: the port", rows[i].name);
		close(a.fd);
		tap_int(read_outcome(peer), ECONNRESET, "%s: a close of the socket is a reset", rows[i].name);
		close(peer);
		if (holder >= 0)
			close(holder);
	}
	close(listener);
}

/* The same port to the same remote: bind() allows it, and connect() finds the connection before still there. */
static void test_port_in_use_to_same_remote(void)
{
	struct endpoint remote, spare;
	int listener = listen_on(AF_INET, &remote);
	struct attempt a[2];

	close(listen_on(AF_INET, &spare));
	for (int i = 0; i < 2; i++) {
		tap_int(dial(&a[i], "127.0.0.1", spare.port, "127.0.0.1", remote.port), 0, "a port to the same remote, time %d: connected", i);
		on_loop(take, &a[i]);
		tap_int(own_name(a[i].fd).port == spare.port, i == 0, "from that port the first time");
	}
	for (int i = 0; i < 2; i++) {
		close(a[i].fd);
		close(accept(listener, NULL, NULL));
	}
	close(listener);
}

/* Closed last, and dialed from the same port again in the same turn, as when RESET and OPEN come together. */
static void close_and_start(void *arg)
{
	struct attempt *a = arg;

	loop_close_last(loop, &(struct watch){ .fd = a[0].fd });
	start(&a[1]);
}

static void test_port_of_one_closed_last(void)
{
	struct endpoint remote, spare;
	int listener = listen_on(AF_INET, &remote), peer;
	struct attempt a[2];

	close(listen_on(AF_INET, &spare));
	tap_int(dial(&a[0], "127.0.0.1", spare.port, "127.0.0.1", remote.port), 0, "connected");
	on_loop(take, &a[0]);
	peer = accept(listener, NULL, NULL);
	a[1] = (struct attempt){ .e = direct, .local = a[0].local, .remote = a[0].remote, .fd = -1 };
	on_loop(close_and_start, a);
	if (a[1].returned == EINPROGRESS && await(&a[1].calls, 1) == 1)
		a[1].returned = a[1].error;
	tap_int(a[1].returned, 0, "and again while the first is to be closed");
	tap_int(read_outcome(peer), ECONNRESET, "the first is reset");
	on_loop(take, &a[1]);
	tap_int(own_name(a[1].fd).port, spare.port, "the second has its port");
	close(a[1].fd);
	close(peer);
	close(listener);
}

/* An egress that takes local endpoints for more than wishes. */
static void test_insists(void)
{
	struct egress *wishing = direct;
	struct endpoint remote, taken, spare;
	int listener = listen_on(AF_INET, &remote), holder = listen_on(AF_INET, &taken);
	struct attempt a[2];

	close(listen_on(AF_INET, &spare));
	direct = socket_egress_new(loop, NULL);
	socket_egress_insist(direct);
	tap_int(dial(&a[0], "127.0.0.1", taken.port, "127.0.0.1", remote.port), EADDRINUSE, "insists: a port that is taken");
	tap_int(dial(&a[0], "192.0.2.77", 0, "127.0.0.1", remote.port), EADDRNOTAVAIL, "insists: an address that isn't there");
	tap_int(dial(&a[0], "127.0.0.1", spare.port, "127.0.0.1", remote.port), 0, "insists: a port that is free");
	tap_int(dial(&a[1], "127.0.0.1", spare.port, "127.0.0.1", remote.port), EADDRNOTAVAIL, "insists: once more to the same remote");
	on_loop(abandon, &a[0]);
	tap_int(socket_egress_count(direct), 0, "insists: nothing is left");
	socket_egress_free(direct);
	direct = wishing;
	close(holder);
	close(listener);
}

static void test_errors(bool isolated)
{
	struct attempt a;
	struct endpoint e;

	close(listen_on(AF_INET, &e));
	tap_int(dial(&a, "0.0.0.0", 0, "127.0.0.1", e.port), ECONNREFUSED, "refused");
	close(listen_on(AF_INET6, &e));
	tap_int(dial(&a, "::", 0, "::1", e.port), ECONNREFUSED, "refused, IPv6");
	if (isolated) {
		tap_int(dial(&a, "0.0.0.0", 0, "192.0.2.1", 80), ENETUNREACH, "no route");
		tap_int(dial(&a, "::", 0, "2001:db8::1", 80), ENETUNREACH, "no route, IPv6");
	}
	tap_int(socket_egress_count(direct), 0, "nothing of them is left");
}

static void test_joined(void)
{
	struct endpoint remote;
	int listener = listen_on(AF_INET, &remote), pair[2], peer;
	struct attempt a;
	char text[8] = "";

	tap_int(dial(&a, "0.0.0.0", 0, "127.0.0.1", remote.port), 0, "connected");
	peer = accept(listener, NULL, NULL);
	set_patience(peer);
	tcp_pair(pair, 0);
	a.fd = pair[1];
	on_loop(join, &a);
	tap_ok(write(pair[0], "ping", 4) == 4 && read(peer, text, 4) == 4 && memcmp(text, "ping", 4) == 0, "joined: there");
	tap_ok(write(peer, "pong", 4) == 4 && read(pair[0], text, 4) == 4 && memcmp(text, "pong", 4) == 0, "joined: and back");
	tap_int(socket_egress_count(direct), 1, "it counts");
	close(peer);
	tap_int(read_outcome(pair[0]), 0, "its end");
	close(pair[0]);
	for (int i = 0; i < PATIENCE_S * 1000 && socket_egress_count(direct); i++)
		poll(NULL, 0, 1);
	tap_int(socket_egress_count(direct), 0, "gone");
	close(listener);
}

static void test_abandoned(void)
{
	struct endpoint remote;
	int listener = listen_on(AF_INET, &remote), peer;
	struct attempt a;

	tap_int(dial(&a, "0.0.0.0", 0, "127.0.0.1", remote.port), 0, "connected");
	peer = accept(listener, NULL, NULL);
	on_loop(abandon, &a);
	tap_int(read_outcome(peer), ECONNRESET, "abandoned: the remote gets a reset");
	tap_int(socket_egress_count(direct), 0, "and nothing is left");
	close(peer);
	close(listener);
}

static void test_waiting(void)
{
	struct endpoint remote;
	int listener = listen_on(AF_INET, &remote);
	struct attempt a[3];

	for (int i = 0; i < 3; i++) {
		a[i] = (struct attempt){ .e = waiting, .local = endpoint("0.0.0.0", 0), .remote = remote };
		on_loop(start, &a[i]);
		tap_int(a[i].returned, EINPROGRESS, "no socket at hand: dial %d waits", i);
	}
	on_loop(abandon, &a[1]);
	on_loop(refill, NULL);
	tap_int(a[0].calls, 0, "a refill without sockets changes nothing");
	slow.open = true;
	on_loop(refill, NULL);
	tap_int(await(&a[0].calls, 1) == 1 ? a[0].error : -1, 0, "the first goes on");
	tap_int(await(&a[2].calls, 1) == 1 ? a[2].error : -1, 0, "the third goes on");
	tap_int(a[1].calls, 0, "the abandoned one is not heard of");
	tap_int(slow.given, 2, "and took no socket");
	on_loop(abandon, &a[0]);
	on_loop(abandon, &a[2]);
	slow.open = false;
	on_loop(start, &a[0]);
	slow.error = EMFILE;
	on_loop(refill, NULL);
	tap_ok(a[0].calls == 2 && a[0].error == EMFILE, "the source's error reaches who waits");
	on_loop(start, &a[1]);
	tap_int(a[1].returned, EMFILE, "and who comes then, at once");
	tap_int(socket_egress_count(waiting), 0, "nothing is left");
	slow.error = 0;
	slow.open = false;
	on_loop(start, &a[0]); /* stays, for the egress to close */
	close(listener);
}

static void on_slow(void *arg)
{
	++*(volatile int *)arg;
}

static volatile int n_slow;

static void hear_of_slow(void *arg)
{
	socket_egress_on_slow(direct, on_slow, (void *)&n_slow);
}

static void forget_slow(void *arg)
{
	socket_egress_on_slow(direct, NULL, NULL);
}

/* What is answered isn't slow, nor what is refused; what comes to a full queue is, and that is said once. */
static void test_slow(void)
{
	struct endpoint good, full;
	int listener = listen_on(AF_INET, &good), busy = listen_on(AF_INET, &full);
	struct attempt a, filling, waits = { .e = direct, .fd = -1 };

	on_loop(hear_of_slow, NULL);
	tap_int(dial(&a, "0.0.0.0", 0, "127.0.0.1", good.port), 0, "slow: one that is answered");
	if (listen(busy, 0) < 0)
		abort();
	tap_int(dial(&filling, "0.0.0.0", 0, "127.0.0.1", full.port), 0, "slow: one that fills the queue");
	tap_int(n_slow, 0, "slow: none is");
	waits.local = endpoint("0.0.0.0", 0);
	waits.remote = full;
	on_loop(start, &waits);
	tap_int(waits.returned, EINPROGRESS, "slow: one that waits");
	tap_int(await(&n_slow, 1), 1, "slow: is told of");
	on_loop(abandon, &waits);
	on_loop(abandon, &filling);
	on_loop(abandon, &a);
	tap_int(n_slow, 1, "slow: once");
	on_loop(forget_slow, NULL);
	close(listener);
	close(busy);
}

static void free_all(void *arg)
{
	socket_egress_free(direct);
	socket_egress_free(waiting);
}

int main(void)
{
	bool isolated = isolate();

	slow.source.take = slow_take;
	loop_thread_start();
	direct = socket_egress_new(loop, NULL);
	waiting = socket_egress_new(loop, &slow.source);
	test_local_wishes("127.0.0.1", AF_INET);
	test_port_in_use_to_same_remote();
	test_port_of_one_closed_last();
	test_insists();
	test_errors(isolated);
	test_joined();
	test_abandoned();
	test_waiting();
	test_slow();
	on_loop(free_all, NULL);
	loop_thread_stop();
	return tap_done();
}
