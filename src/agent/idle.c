// SPDX-License-Identifier: MIT
/* Waiting for agents. The socket's name is in the abstract namespace of unix sockets, which belongs to the network namespace: an image needs no
 * directory that may be written. */
#include "agent/idle.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { AGENTS_MAX = 256, DEFAULT_WAIT_S = 60, LINGER_MS = 2000 };
enum { HOLD_ATTEMPTS = 500, HOLD_PAUSE_MS = 10 }; /* exec may be quicker than the container's own process */

static socklen_t address_of(const char *name, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(ret->sun_path + 1, sizeof(ret->sun_path) - 1, "mirrord-idle/%s", name);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(ret->sun_path + 1));
}

int agent_idle_hold(const char *name)
{
	struct sockaddr_un address;
	socklen_t len = address_of(name, &address);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r = -1;

	for (int i = 0; fd >= 0 && r < 0 && i < HOLD_ATTEMPTS; i++) {
		const struct timespec pause = { .tv_nsec = HOLD_PAUSE_MS * 1000000L };

		r = connect(fd, (struct sockaddr *)&address, len);
		if (r < 0)
			nanosleep(&pause, NULL);
	}
	if (fd < 0 || r == 0)
		return fd;
	close(fd);
	return -1;
}

static int listen_as(const char *name)
{
	struct sockaddr_un address;
	socklen_t len = address_of(name, &address);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) < 0 || listen(fd, AGENTS_MAX) < 0) {
		fprintf(stderr, "mirrord-agent: wait as %s: %s\n", name, strerror(errno));
		return -1;
	}
	return fd;
}

/* Agents send nothing: what happens on their connections is the end. */
static size_t drop_ended(struct pollfd *p, size_t n)
{
	size_t kept = 1;

	for (size_t i = 1; i < n; i++) {
		if (p[i].revents)
			close(p[i].fd);
		else
			p[kept++] = p[i];
	}
	return kept;
}

static volatile sig_atomic_t told;

static void on_term(int number)
{
	told = 1;
}

/* As poll(2). Where there is no room for one more, those who come aren't looked at: they wait. */
static int wait_for_agents(struct pollfd *p, size_t n, const struct timespec *timeout, const sigset_t *unblocked)
{
	p[0].events = n <= AGENTS_MAX ? POLLIN : 0;
	return ppoll(p, n, timeout, unblocked);
}

/* Those that have come since the last time; each is told that it is to end, @when that is so. */
static size_t take_agents(struct pollfd *p, size_t n, bool when)
{
	int fd;

	while (n <= AGENTS_MAX && (fd = accept4(p[0].fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		p[n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
		if (when)
			send(fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	return n;
}

/* The agents let what is in flight finish, each in its time; who runs the container has the last word. One that was started at the same time may
 * not have been seen yet. */
static int end_agents(struct pollfd *p, size_t n)
{
	for (size_t i = 1; i < n; i++)
		send(p[i].fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	n = take_agents(p, n, true);
	while (n > 1) {
		if (wait_for_agents(p, n, NULL, NULL) < 0 && errno != EINTR)
			return 1;
		n = take_agents(p, drop_ended(p, n), true);
	}
	return 0;
}

/* @unblocked: while it waits, and only then, it can be told to end. */
static int serve(int listener, int wait_ms, const sigset_t *unblocked)
{
	struct pollfd p[1 + AGENTS_MAX] = { { .fd = listener, .events = POLLIN } };
	size_t n = 1;
	int linger = wait_ms;

	while (!told) {
		const struct timespec wait = { linger / 1000, linger % 1000 * 1000000L };
		int r = wait_for_agents(p, n, n > 1 ? NULL : &wait, unblocked);

		if (r == 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return 1;
		if (r < 0)
			continue;
		n = drop_ended(p, n);
		if (p[0].revents) {
			n = take_agents(p, n, false);
			linger = LINGER_MS;
		}
	}
	return end_agents(p, n);
}

/* A container's first process gets no signal that it doesn't handle. */
static void block_signals(sigset_t *ret_before)
{
	const struct sigaction action = { .sa_handler = on_term };
	sigset_t ends;

	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigprocmask(SIG_BLOCK, &ends, ret_before);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
}

int agent_idle(int argc, char **argv)
{
	static const struct option options[] = { { "name", required_argument, NULL, 'n' }, { "wait", required_argument, NULL, 'w' }, { 0 } };
	const char *name = "mirrord-agent";
	int wait = DEFAULT_WAIT_S, c, listener;
	sigset_t unblocked;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'n')
			name = optarg;
		else if (c == 'w' && atoi(optarg) > 0)
			wait = atoi(optarg);
		else
			return 2;
	}
	block_signals(&unblocked);
	signal(SIGCHLD, SIG_IGN); /* orphans of agents come to it */
	listener = listen_as(name);
	return listener < 0 ? 1 : serve(listener, wait * 1000, &unblocked);
}
