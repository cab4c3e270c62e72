// SPDX-License-Identifier: MIT
/* Borrower and lender over a socket pair; then a borrower whose lender is played by the test. */
#include "relay/lender.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>

#include "loop_thread.h"
#include "peers.h"
#include "relay/lend_internal.h"
#include "tap.h"

enum { TAKES = 300 };

static struct borrower *borrower;
static struct lender *lender;
static struct egress *egress;
static volatile int gone;

/* What is asked of the source, and its answer. */
struct taking {
	enum socket_kind kind;
	int n, fds[TAKES];
	bool raw;
};

/* A dial to wait with. */
struct attempt {
	struct endpoint remote;
	struct dial *dial;
	int returned;
	volatile int calls, error;
};

static void on_gone(void *arg)
{
	gone++;
}

static void start_borrower(void *arg)
{
	struct error err = { 0 };

	gone = 0;
	borrower = borrower_new(loop, *(int *)arg, 64 * LEND_BATCH, on_gone, NULL, &err);
	if (!borrower)
		abort();
	egress = socket_egress_new(loop, borrower_source(borrower));
	borrower_set_egress(borrower, egress);
}

static void start_lender(void *arg)
{
	struct error err = { 0 };

	lender = lender_new(loop, *(int *)arg, LEND_ALL, &err);
	if (!lender)
		abort();
}

static void stop_lender(void *arg)
{
	lender_free(lender);
}

static void stop_borrower(void *arg)
{
	socket_egress_free(egress);
	borrower_free(borrower);
}

static void take(void *arg)
{
	struct taking *t = arg;

	for (int i = 0; i < t->n; i++)
		t->fds[i] = borrower_source(borrower)->take(borrower_source(borrower), t->kind, &t->raw);
}

/* Takes one, waiting for it up to @ms. */
static int take_one(enum socket_kind kind, bool *ret_raw, int ms)
{
	struct taking t = { .kind = kind, .n = 1 };

	do
		on_loop(take, &t);
	while (t.fds[0] == -EAGAIN && ms-- > 0 && poll(NULL, 0, 1) == 0);
	if (ret_raw)
		*ret_raw = t.raw;
	return t.fds[0];
}

static void on_done(void *arg, int error)
{
	struct attempt *a = arg;

	a->error = error;
	a->calls++;
}

static void dial(void *arg)
{
	struct attempt *a = arg;
	struct endpoint any = { .ip = IP_ANY4 };

	a->returned = egress->ops->dial(egress, &any, &a->remote, on_done, a, &a->dial);
}

static void abandon(void *arg)
{
	egress->ops->abandon(((struct attempt *)arg)->dial);
}

static void connect_pair(int pair[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	set_patience(pair[1]);
}

static void test_kinds(void)
{
	static const struct {
		const char *name;
		int family, type, protocol;
	} rows[] = {
		[SOCKET_TCP4] = { "TCP4", AF_INET, SOCK_STREAM, IPPROTO_TCP },   [SOCKET_TCP6] = { "TCP6", AF_INET6, SOCK_STREAM, IPPROTO_TCP },
		[SOCKET_UDP4] = { "UDP4", AF_INET, SOCK_DGRAM, IPPROTO_UDP },    [SOCKET_UDP6] = { "UDP6", AF_INET6, SOCK_DGRAM, IPPROTO_UDP },
		[SOCKET_ECHO4] = { "echo4", AF_INET, SOCK_DGRAM, IPPROTO_ICMP }, [SOCKET_ECHO6] = { "echo6", AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6 },
	};

	for (int kind = 0; kind < SOCKET_KINDS; kind++) {
		int family = 0, type = 0, protocol = 0, made, fd;
		socklen_t len = sizeof(int);
		bool raw = false, made_raw = false;

		made = socket_make(kind, &made_raw);
		fd = take_one(kind, &raw, 5000);
		if (made < 0) {
			tap_int(fd, made, "%s: none to be had here, and that is said", rows[kind].name);
			continue;
		}
		getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len);
		getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
		getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len);
		tap_ok(family == rows[kind].family && type == (raw ? SOCK_RAW : rows[kind].type) && protocol == rows[kind].protocol,
		       "%s: is one", rows[kind].name);
		tap_int(raw, made_raw, "%s: raw or not", rows[kind].name);
		tap_ok(fcntl(fd, F_GETFL) & O_NONBLOCK && fcntl(fd, F_GETFD) & FD_CLOEXEC, "%s: with its flags", rows[kind].name);
		close(made);
		close(fd);
	}
}

struct settling {
	int pair[2];
	bool settled;
};

/* Both ends are served by the loop's thread: when neither has something to read, no question and no answer is on its way. */
static void look(void *arg)
{
	struct settling *s = arg;
	struct pollfd p[] = { { .fd = s->pair[0], .events = POLLIN }, { .fd = s->pair[1], .events = POLLIN } };

	s->settled = poll(p, 2, 0) == 0;
}

static void settle(const int pair[2])
{
	struct settling s = { .pair = { pair[0], pair[1] } };

	for (int i = 0; i < 30000 && !s.settled && poll(NULL, 0, 1) == 0; i++)
		on_loop(look, &s);
}

/* More at once than a shelf holds, and more than the lender gives at a time. */
static void test_many(const int pair[2])
{
	static struct taking t = { .kind = SOCKET_TCP4, .n = TAKES };
	int at_once = 0, all = 0;

	settle(pair);
	on_loop(take, &t);
	for (int i = 0; i < TAKES; i++) {
		at_once += t.fds[i] >= 0;
		if (t.fds[i] == -EAGAIN)
			t.fds[i] = take_one(SOCKET_TCP4, NULL, 5000);
		all += t.fds[i] >= 0;
	}
	tap_int(at_once, LEND_BATCH, "a full shelf is taken at once");
	tap_int(all, TAKES, "%d come in the end", TAKES);
	for (int i = 0; i < TAKES; i++)
		close(t.fds[i]);
}

static void test_dials(void)
{
	static struct attempt a[TAKES];
	struct sockaddr_in sa;
	int listener = listen_loopback(&sa, 0), good = 0;

	for (int i = 0; i < TAKES; i++) {
		a[i] = (struct attempt){ .remote = { .ip = ip_from_v4(&sa.sin_addr), .port = ntohs(sa.sin_port) } };
		on_loop(dial, &a[i]);
		if (a[i].returned == EINPROGRESS)
			await(&a[i].calls, 1);
		good += a[i].returned == 0 || (a[i].returned == EINPROGRESS && a[i].calls == 1 && !a[i].error);
	}
	tap_int(good, TAKES, "dials over borrowed sockets");
	for (int i = 0; i < TAKES; i++)
		on_loop(abandon, &a[i]);
	close(listener);
}

static void test_lender_out_of_descriptors(void)
{
	struct rlimit before, low;

	getrlimit(RLIMIT_NOFILE, &before);
	low = before;
	low.rlim_cur = (rlim_t)dup(0);
	close((int)low.rlim_cur);
	setrlimit(RLIMIT_NOFILE, &low);
	tap_int(take_one(SOCKET_UDP6, NULL, 5000), -EMFILE, "a lender without descriptors says so");
	setrlimit(RLIMIT_NOFILE, &before);
}

static void test_together(void)
{
	int pair[2];

	connect_pair(pair);
	on_loop(start_lender, &pair[1]);
	on_loop(start_borrower, &pair[0]);
	test_many(pair);
	test_dials();
	test_lender_out_of_descriptors();
	on_loop(stop_lender, NULL);
	tap_int(await(&gone, 1), 1, "the lender's end is told");
	tap_int(take_one(SOCKET_TCP4, NULL, 0), -ENETUNREACH, "sockets that were on the shelf are not given out any more");
	on_loop(stop_borrower, NULL);

	connect_pair(pair);
	on_loop(start_lender, &pair[1]);
	on_loop(start_borrower, &pair[0]);
	test_kinds();
	on_loop(stop_borrower, NULL);
	on_loop(stop_lender, NULL);
}

/* The lender is the test from here on. Receives a question; false when none comes. */
static bool question(int fd, struct lend_request *ret)
{
	return recv(fd, ret, sizeof(*ret), 0) == sizeof(*ret);
}

static void answer_in_part(int fd, enum socket_kind kind, int error, int n, bool more)
{
	struct lend_answer a = { .kind = (uint8_t)kind, .more = more, .error = (uint16_t)error };
	int fds[LEND_BATCH] = { 0 };

	for (int i = 0; i < n; i++)
		fds[i] = socket_make(kind, NULL);
	if (fd_send(fd, &a, sizeof(a), fds, (size_t)n) < 0)
		abort();
	for (int i = 0; i < n; i++)
		close(fds[i]);
}

static void answer_with(int fd, enum socket_kind kind, int error, int n)
{
	answer_in_part(fd, kind, error, n, false);
}

static bool is_quiet(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 100) == 0;
}

static void test_played(void)
{
	struct attempt a = { .remote = { .ip = IP_ANY4, .port = 1 } }, b = a;
	struct lend_request r = { 0 };
	int pair[2];

	connect_pair(pair);
	on_loop(start_borrower, &pair[0]);
	tap_ok(question(pair[1], &r) && r.kind == SOCKET_TCP4 && r.count == LEND_BATCH, "asked for at start: TCP4");
	tap_ok(question(pair[1], &r) && r.kind == SOCKET_UDP4 && r.count == LEND_BATCH, "and UDP4");
	tap_ok(is_quiet(pair[1]), "and nothing else");
	tap_int(take_one(SOCKET_TCP6, NULL, 0), -EAGAIN, "who takes another kind waits");
	tap_ok(question(pair[1], &r) && r.kind == SOCKET_TCP6, "and it is asked for");
	take_one(SOCKET_TCP6, NULL, 0);
	tap_ok(is_quiet(pair[1]), "once");
	answer_with(pair[1], SOCKET_TCP6, EAFNOSUPPORT, 0);
	tap_int(take_one(SOCKET_TCP6, NULL, 5000), -EAFNOSUPPORT, "an error reaches the taker");
	tap_int(take_one(SOCKET_TCP6, NULL, 0), -EAFNOSUPPORT, "and the next");
	tap_ok(is_quiet(pair[1]), "without a question");
	poll(NULL, 0, 1000);
	tap_int(take_one(SOCKET_TCP6, NULL, 0), -EAGAIN, "a second later it is tried again");
	tap_ok(question(pair[1], &r) && r.kind == SOCKET_TCP6, "and asked for");
	answer_with(pair[1], SOCKET_UDP4, EMFILE, 2);
	for (int i = 0; i < 2; i++)
		close(take_one(SOCKET_UDP4, NULL, 5000));
	tap_int(take_one(SOCKET_UDP4, NULL, 0), -EMFILE, "fewer than asked for: first they, then the reason");

	on_loop(dial, &a);
	tap_int(a.returned, EINPROGRESS, "a dial waits for a socket");
	answer_in_part(pair[1], SOCKET_TCP4, 0, 40, true);
	tap_int(take_one(SOCKET_TCP4, NULL, 100), -EAGAIN, "none is used while the lender has copies");
	tap_int(a.calls, 0, "nor by the dial");
	answer_with(pair[1], SOCKET_TCP4, 0, 0);
	tap_int(await(&a.calls, 1) == 1 ? a.error : -1, ECONNREFUSED, "it goes on with the answer");
	tap_ok(is_quiet(pair[1]), "over half a shelf left: no question");
	for (int i = 0; i < 8; i++)
		close(take_one(SOCKET_TCP4, NULL, 0));
	tap_ok(question(pair[1], &r) && r.kind == SOCKET_TCP4 && r.count == LEND_BATCH - 31, "below half: as many as lack");
	for (int i = 0; i < 31; i++)
		close(take_one(SOCKET_TCP4, NULL, 0));
	on_loop(dial, &b);
	tap_int(b.returned, EINPROGRESS, "a dial waits again");
	close(pair[1]);
	tap_int(await(&b.calls, 1) == 1 ? b.error : -1, ENETUNREACH, "the lender's death ends its waiting");
	tap_int(gone, 1, "and is told");
	on_loop(stop_borrower, NULL);
}

static int count_open(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_bad_answers(void)
{
	static const struct {
		const char *name;
		uint8_t kind;
		int n;
		size_t len;
	} rows[] = {
		{ "a kind that isn't", SOCKET_KINDS, 1, sizeof(struct lend_answer) },
		{ "an answer to no question", SOCKET_UDP6, 1, sizeof(struct lend_answer) },
		{ "a cut answer", SOCKET_TCP4, 1, 1 },
		{ "more than a shelf holds", SOCKET_TCP4, LEND_BATCH + 1, sizeof(struct lend_answer) },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lend_answer a = { .kind = rows[i].kind };
		int pair[2], fds[LEND_BATCH + 1], before, open_before = count_open();

		connect_pair(pair);
		on_loop(start_borrower, &pair[0]);
		for (int k = 0; k < rows[i].n; k++)
			fds[k] = dup(0);
		before = dup(0);
		fd_send(pair[1], &a, rows[i].len, fds, (size_t)rows[i].n);
		if (rows[i].n <= LEND_BATCH)
			tap_int(await(&gone, 1), 1, "%s: the lender is given up", rows[i].name);
		else
			tap_int(take_one(SOCKET_TCP4, NULL, 5000), -EMFILE, "%s: none is taken", rows[i].name);
		on_loop(stop_borrower, NULL);
		close(before);
		for (int k = 0; k < rows[i].n; k++)
			close(fds[k]);
		close(pair[1]);
		tap_int(count_open(), open_before, "%s: no descriptor is left", rows[i].name);
	}
}

static volatile int offered = -1, offered_diag = -1;

static void on_offer(void *arg, int fd, int diag)
{
	offered = fd;
	offered_diag = diag;
}

static void listen_for_offers(void *arg)
{
	lender_on_offer(lender, on_offer, NULL);
}

static void offer(void *arg)
{
	int *things = arg;

	things[0] = borrower_offer(borrower, things[0], things[1]);
}

/* The borrower's end of something else, handed over among requests; a lender that expects none lets go of it. */
static void test_offer(void)
{
	for (int listening = 0; listening < 2; listening++) {
		int pair[2], thing[2], diag[2], arg, things[2];
		char byte = 0;

		connect_pair(pair);
		if (pipe2(thing, O_CLOEXEC) < 0 || pipe2(diag, O_CLOEXEC) < 0)
			abort();
		on_loop(start_lender, &pair[1]);
		if (listening)
			on_loop(listen_for_offers, NULL);
		on_loop(start_borrower, &pair[0]);
		things[0] = thing[1];
		things[1] = diag[1];
		on_loop(offer, things);
		tap_int(things[0], 0, "something is offered");
		close(thing[1]);
		close(diag[1]);
		arg = take_one(SOCKET_TCP6, NULL, 5000);
		tap_ok(arg >= 0, "the lender still lends");
		close(arg);
		if (listening)
			tap_ok(write(offered, "x", 1) == 1 && close(offered) == 0, "it has the thing");
		if (listening)
			tap_ok(write(offered_diag, "x", 1) == 1 && close(offered_diag) == 0, "and what came with it");
		tap_int(read(thing[0], &byte, 1), listening, listening ? "which is the one that was offered" : "and nobody else has it");
		tap_int(read(diag[0], &byte, 1), listening, listening ? "which is that" : "nor what came with it");
		close(thing[0]);
		close(diag[0]);
		on_loop(stop_borrower, NULL);
		on_loop(stop_lender, NULL);
	}
}

static void make_transparent(void *arg)
{
	struct error err = { 0 };

	lender = lender_new(loop, *(int *)arg, LEND_TRANSPARENT, &err);
	if (!lender)
		abort();
}

/* Who may lend them is root of the network namespace, which we may not be: then there is an error and no socket. */
static void test_transparent(void)
{
	int pair[2], fd, on = 0;
	socklen_t len = sizeof(on);

	connect_pair(pair);
	on_loop(make_transparent, &pair[1]);
	on_loop(start_borrower, &pair[0]);
	tap_int(take_one(SOCKET_UDP4, NULL, 5000), -EPROTONOSUPPORT, "UDP sockets are not lent with any address");
	fd = take_one(SOCKET_TCP4, NULL, 5000);
	tap_ok(fd == -EPERM || (fd >= 0 && getsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, &len) == 0 && on == 1), "TCP sockets are");
	if (fd >= 0)
		close(fd);
	on_loop(stop_borrower, NULL);
	on_loop(stop_lender, NULL);
}

int main(void)
{
	int before = dup(0), after;

	close(before);
	loop_thread_start();
	test_together();
	test_played();
	test_bad_answers();
	test_offer();
	test_transparent();
	loop_thread_stop();
	after = dup(0);
	tap_int(after, before, "no descriptor is left");
	return tap_done();
}
