// SPDX-License-Identifier: MIT
/* Connections are taken, wait without keeping anybody busy while there are no descriptors, and are taken then. */
#include "net/acceptor.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "tap.h"

enum { CLIENTS = 100, FILLERS = 4096 }; /* more clients than are taken in one go */

static struct loop *loop;
static int accepts, taken, wanted, fillers[FILLERS], n_fillers;
static struct endpoint last_peer;
static int last_fd = -1;

/* The kernel's own, counted. */
int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	accepts++;
	return (int)syscall(SYS_accept4, fd, addr, len, flags);
}

static void on_connection(struct acceptor *a, int fd, const struct endpoint *peer)
{
	fd_closep(&last_fd);
	last_fd = fd;
	last_peer = *peer;
	if (++taken == wanted)
		loop_stop(loop);
}

static int listen_here(struct endpoint *ret)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 || listen(fd, CLIENTS) < 0 ||
	    getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		exit(99);
	endpoint_from_sockaddr(&sa, ret);
	return fd;
}

static int call(const struct endpoint *to)
{
	struct sockaddr_storage sa;
	socklen_t len = endpoint_to_sockaddr(to, &sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, len) < 0)
		exit(99);
	return fd;
}

static int option(int fd, int level, int name)
{
	int value[2] = { -1, -1 };
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, value, &len) < 0 ? -1 : value[0];
}

static void check_many(struct acceptor *a, int listener, const struct endpoint *at)
{
	int clients[CLIENTS];
	struct endpoint own;
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	for (int i = 0; i < CLIENTS; i++)
		clients[i] = call(at);
	wanted = CLIENTS;
	tap_int(acceptor_start(a, listener), 0, "start");
	loop_run(loop, NULL);
	tap_int(taken, CLIENTS, "those that have waited are taken, all of them");
	getsockname(clients[CLIENTS - 1], (struct sockaddr *)&sa, &len);
	endpoint_from_sockaddr(&sa, &own);
	tap_ok(endpoint_equal(&own, &last_peer), "in order, with their addresses");
	tap_int(option(last_fd, IPPROTO_TCP, TCP_NODELAY), 1, "they send at once");
	tap_int(option(last_fd, SOL_SOCKET, SO_LINGER), 1, "and are reset when they are closed");
	for (int i = 0; i < CLIENTS; i++)
		close(clients[i]);
}

static void fill(void)
{
	const struct rlimit limit = { .rlim_cur = 256, .rlim_max = 256 };

	setrlimit(RLIMIT_NOFILE, &limit);
	while (n_fillers < FILLERS && (fillers[n_fillers] = dup(STDIN_FILENO)) >= 0)
		n_fillers++;
}

static void on_later(struct timer *t)
{
	/* Once when it came, and once at each of the pauses that have gone by since: however late we are, no more than two. */
	tap_ok(accepts >= 1 && accepts <= 3, "the loop sleeps while there are no descriptors");
	tap_int(taken, 0, "nothing is taken");
	close(fillers[--n_fillers]);
}

static void on_end(struct timer *t)
{
	loop_stop(loop);
}

static void check_scarce(struct acceptor *a, const struct endpoint *at)
{
	struct timer later = { .on_due = on_later }, end = { .on_due = on_end };
	int client = call(at), other = call(at);

	fd_closep(&last_fd);
	fill();
	accepts = taken = 0;
	wanted = 1;
	loop_arm(loop, &later, loop_now(loop) + 120 * LOOP_MS);
	loop_run(loop, NULL);
	tap_int(taken, 1, "taken as soon as there is one");
	tap_ok(a->again.index || a->watch.events == EPOLLIN, "the other one waits");
	acceptor_stop(a);
	close(fillers[--n_fillers]);
	loop_arm(loop, &end, loop_now(loop) + 120 * LOOP_MS);
	loop_run(loop, NULL);
	tap_int(taken, 1, "nothing is taken when it has stopped");
	close(client);
	close(other);
}

int main(void)
{
	struct acceptor a = { .what = "test", .on_connection = on_connection };
	struct error err = { 0 };
	struct endpoint at;
	int listener = listen_here(&at);

	loop = a.loop = loop_new(&err);
	acceptor_stop(&a);
	check_many(&a, listener, &at);
	check_scarce(&a, &at);
	loop_free(loop);
	return tap_done();
}
