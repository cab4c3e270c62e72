// SPDX-License-Identifier: MIT
/* Connections through a tunnel: the session's egress, two bridges, the agent's sockets. */
#include "relay/tunnel_egress.h"

#include <poll.h>
#include <sys/ioctl.h>

#include "flow_tests.h"
#include "isolate.h"
#include "tunnel_pair.h"

/* The buffers of four sockets and of the transport, the tunnel's send queue, and the credit of a stream on either side. */
enum { MOST = 8 * 2 * SMALL + (512 << 10) + MUX_SEND_QUEUE + MUX_WINDOW };

static bool isolated;
static int agent_size; /* of the buffers of the sockets that the agent makes */
static int listener;
static struct sockaddr_in listener_address;

struct attempt {
	struct endpoint remote;
	struct dial *dial;
	int returned, fd;
	volatile int calls, error;
};

static int take(struct socket_source *s, enum socket_kind kind, bool *ret_raw)
{
	int fd = socket_make(kind, ret_raw);

	if (agent_size) {
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &agent_size, sizeof(agent_size));
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &agent_size, sizeof(agent_size));
	}
	return fd;
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

	a->returned = tunnel.egress->ops->dial(tunnel.egress, &any, &a->remote, on_done, a, &a->dial);
}

static void join(void *arg)
{
	struct attempt *a = arg;

	tunnel.egress->ops->join(a->dial, a->fd);
}

static void take_dial(void *arg)
{
	struct attempt *a = arg;

	a->fd = egress_dial_take(a->dial);
}

static void abandon(void *arg)
{
	tunnel.egress->ops->abandon(((struct attempt *)arg)->dial);
}

static struct endpoint endpoint_of(const struct sockaddr_in *sa)
{
	return (struct endpoint){ .ip = ip_from_v4(&sa->sin_addr), .port = ntohs(sa->sin_port) };
}

/* Dials and waits; returns the outcome. */
static int dial_to(struct attempt *a, const struct endpoint *remote)
{
	*a = (struct attempt){ .remote = *remote };
	on_loop(dial, a);
	if (a->returned != EINPROGRESS)
		return a->returned;
	return await(&a->calls, 1) == 1 ? a->error : -1;
}

static struct flow flow(int size)
{
	const struct endpoint remote = endpoint_of(&listener_address);
	struct attempt a;
	struct flow f;
	int pair[2];

	agent_size = size;
	if (size) {
		setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
		setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	}
	if (dial_to(&a, &remote))
		abort();
	f.peers[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	set_patience(f.peers[1]);
	tcp_pair(pair, size);
	f.peers[0] = pair[0];
	a.fd = pair[1];
	on_loop(join, &a);
	if (size) { /* the next flow's are the system's own again */
		close(listener);
		listener = listen_loopback(&listener_address, 0);
	}
	return f;
}

static const struct carrier carrier = { "tunnel", flow, tunnel_streams, MOST, true };

static void test_refused(void)
{
	struct sockaddr_in sa;
	struct endpoint remote, away = { .port = 80 };
	struct attempt a;

	close(listen_loopback(&sa, 0));
	remote = endpoint_of(&sa);
	tap_int(dial_to(&a, &remote), ECONNREFUSED, "refused");
	ip_parse("192.0.2.1", &away.ip);
	if (isolated)
		tap_int(dial_to(&a, &away), ENETUNREACH, "no route");
	ip_parse("2001:db8::1", &away.ip);
	if (isolated)
		tap_int(dial_to(&a, &away), ENETUNREACH, "no route, IPv6");
	tap_int(await_count(&carrier, 0), 0, "nothing is left");
}

/* The remote speaks before the program's connection is there. */
static void test_greeting(bool ends)
{
	const struct endpoint remote = endpoint_of(&listener_address);
	struct attempt a;
	int peer, pair[2];

	tap_int(dial_to(&a, &remote), 0, "connected");
	peer = accept(listener, NULL, NULL);
	set_patience(peer);
	send_pattern(peer, 0, 50000, 1);
	if (ends)
		shutdown(peer, SHUT_WR);
	poll(NULL, 0, 50);
	tcp_pair(pair, 0);
	a.fd = pair[1];
	on_loop(join, &a);
	tap_int(receive_pattern(pair[0], 0, 50000, 1), 50000, "a greeting that came before the join arrives");
	if (ends)
		tap_int(read_outcome(pair[0]), 0, "with the end behind it");
	tap_ok(send_pattern(pair[0], 0, 10, 2) && receive_pattern(peer, 0, 10, 2) == 10, "the other direction goes on");
	close(pair[0]);
	tap_int(read_outcome(peer), 0, "and ends");
	close(peer);
	tap_int(await_count(&carrier, 0), 0, "over");
}

static void test_reset_before_join(void)
{
	const struct endpoint remote = endpoint_of(&listener_address);
	struct attempt a;
	int pair[2];

	tap_int(dial_to(&a, &remote), 0, "connected");
	reset(accept(listener, NULL, NULL));
	tap_int(await_count(&carrier, 0), 0, "the remote resets");
	tap_int(a.calls, 1, "who dialed is not called again");
	tcp_pair(pair, 0);
	a.fd = pair[1];
	on_loop(join, &a);
	tap_int(read_outcome(pair[0]), ECONNRESET, "the join resets the program's connection");
	close(pair[0]);
}

static void test_abandon(void)
{
	const struct endpoint remote = endpoint_of(&listener_address);
	struct sockaddr_in other;
	struct attempt a;
	int peer, listener_of_other = listen_loopback(&other, 0);

	a = (struct attempt){ .remote = endpoint_of(&other) };
	on_loop(dial, &a);
	on_loop(abandon, &a); /* before the answer, as a rule */
	tap_int(await_count(&carrier, 0), 0, "abandoned at once: nothing is left");
	close(listener_of_other);
	tap_int(dial_to(&a, &remote), 0, "connected");
	peer = accept(listener, NULL, NULL);
	on_loop(abandon, &a);
	tap_int(read_outcome(peer), ECONNRESET, "abandoned when connected: the remote gets a reset");
	close(peer);
}

static int hang_ups(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLRDHUP };

	poll(&p, 1, PATIENCE_S * 1000);
	return p.revents & (POLLHUP | POLLRDHUP);
}

/* A dial that became a descriptor: both say what a TCP connection would. */
static void test_take(void)
{
	enum { TAKEN, REMOTE };
	const struct endpoint remote = endpoint_of(&listener_address);
	struct attempt a;
	int ends[2];

	for (int how = 0; how < 4; how++) {
		tap_int(dial_to(&a, &remote), 0, "connected");
		ends[REMOTE] = accept(listener, NULL, NULL);
		set_patience(ends[REMOTE]);
		send_pattern(ends[REMOTE], 0, 1000, 1);
		on_loop(take_dial, &a);
		ends[TAKEN] = a.fd;
		fd_set_nonblocking(a.fd, false);
		set_patience(a.fd);
		tap_int(receive_pattern(a.fd, 0, 1000, 1), 1000, "what came before is there");
		tap_ok(send_pattern(a.fd, 0, 300000, 2) && receive_pattern(ends[REMOTE], 0, 300000, 2) == 300000, "bytes pass");
		if (how == 0) {
			shutdown(ends[TAKEN], SHUT_WR);
			tap_int(read_outcome(ends[REMOTE]), 0, "shut down: an end");
			tap_ok(send_pattern(ends[REMOTE], 1000, 1000, 1) && receive_pattern(a.fd, 1000, 1000, 1) == 1000, "the other way goes on");
			close(ends[REMOTE]);
			tap_int(read_outcome(a.fd), 0, "and ends");
		} else if (how == 1) {
			close(a.fd);
			tap_int(read_outcome(ends[REMOTE]), ECONNRESET, "closed without more: a reset");
			a.fd = -1;
		} else if (how == 2) {
			shutdown(ends[REMOTE], SHUT_WR);
			tap_int(hang_ups(a.fd), POLLRDHUP, "the remote's end is one direction's");
			tap_int(read_outcome(a.fd), 0, "and reads as one");
			close(a.fd);
			tap_int(read_outcome(ends[REMOTE]), 0, "closed behind it: no reset");
			a.fd = -1;
		} else {
			reset(ends[REMOTE]);
			ends[REMOTE] = -1;
			tap_int(hang_ups(a.fd), POLLRDHUP | POLLHUP, "the remote's reset is the end of both");
		}
		fd_closep(&a.fd);
		fd_closep(&ends[REMOTE]);
		tap_int(await_count(&carrier, 0), 0, "over");
	}
}

static void test_urgent(void)
{
	struct flow f = flow(0);
	struct pollfd p = { .fd = f.peers[1], .events = POLLPRI };
	char data[16] = "";
	int at_mark = 0;

	send(f.peers[0], "before", 6, 0);
	send(f.peers[0], "!", 1, MSG_OOB);
	send(f.peers[0], "after", 5, 0);
	tap_int(poll(&p, 1, PATIENCE_S * 1000), 1, "urgent data is announced");
	tap_ok(recv(f.peers[1], data, 1, MSG_OOB) == 1 && data[0] == '!', "it is the byte that was sent");
	tap_ok(recv(f.peers[1], data, 6, MSG_WAITALL) == 6 && memcmp(data, "before", 6) == 0, "what came before stands before the mark");
	tap_ok(ioctl(f.peers[1], SIOCATMARK, &at_mark) == 0 && at_mark == 1, "the mark is there");
	tap_ok(recv(f.peers[1], data, 5, MSG_WAITALL) == 5 && memcmp(data, "after", 5) == 0, "and then what came behind");
	close(f.peers[0]);
	close(f.peers[1]);
	tap_int(await_count(&carrier, 0), 0, "over");
}

static void test_cut(void)
{
	const struct endpoint remote = endpoint_of(&listener_address);
	struct flow f[2] = { flow(0), flow(0) };
	struct attempt a, b;

	tap_int(dial_to(&a, &remote), 0, "connected, not joined");
	close(accept(listener, NULL, NULL));
	on_loop(tunnel_cut, NULL);
	for (int i = 0; i < 4; i++) {
		tap_int(read_outcome(f[i / 2].peers[i % 2]), ECONNRESET, "the tunnel is cut: each peer gets a reset");
		close(f[i / 2].peers[i % 2]);
	}
	tap_int(await(&tunnel.gone, 2), 2, "both sides know");
	tap_int(dial_to(&b, &remote), ENETUNREACH, "dials fail at once");
	on_loop(abandon, &a);
}

static void test_stop(void)
{
	const struct endpoint remote = endpoint_of(&listener_address);
	struct flow f = flow(0);
	struct attempt a;
	int peer;

	tap_int(dial_to(&a, &remote), 0, "connected, not joined");
	peer = accept(listener, NULL, NULL);
	on_loop(tunnel_stop, NULL);
	tap_int(read_outcome(f.peers[0]), ECONNRESET, "all is freed: the program gets a reset");
	tap_int(read_outcome(f.peers[1]), ECONNRESET, "so does the remote");
	tap_int(read_outcome(peer), ECONNRESET, "and that of a dial");
	close(f.peers[0]);
	close(f.peers[1]);
	close(peer);
}

int main(void)
{
	static struct socket_source source = { .take = take };
	int before;

	isolated = isolate();
	fd_raise_limit();
	loop_thread_start();
	before = open_descriptors();
	listener = listen_loopback(&listener_address, 0);
	on_loop(tunnel_start, &source);
	test_carrier(&carrier);
	test_refused();
	test_greeting(false);
	test_greeting(true);
	test_reset_before_join();
	test_abandon();
	test_take();
	test_urgent();
	test_stop();
	on_loop(tunnel_start, &source);
	test_cut();
	on_loop(tunnel_stop, NULL);
	close(listener);
	tap_int(open_descriptors(), before, "no descriptor is left");
	loop_thread_stop();
	return tap_done();
}
