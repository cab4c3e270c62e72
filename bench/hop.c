// SPDX-License-Identifier: MIT
/* bench-hop IP FROM TO [FROM TO]… -- what a process between client and server costs at the least: it connects, receives and sends, and does nothing
 * else. No proxy with sockets can do less. It waits for a slow reader, so it is good for requests and messages alone. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 512 << 10, BATCH = 128 };

struct end {
	int fd;
	struct sockaddr_in to; /* of a listener: where its connections go */
	struct end *other;     /* NULL: a listener */
	bool ended;
};

static int loop;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void watch(struct end *e)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = e };

	if (epoll_ctl(loop, EPOLL_CTL_ADD, e->fd, &event) < 0)
		die("epoll_ctl");
}

static void listen_at(struct sockaddr_in at, struct sockaddr_in to)
{
	struct end *e = calloc(1, sizeof(*e));
	const int on = 1;

	e->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	e->to = to;
	setsockopt(e->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(e->fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(e->fd, 4096) < 0)
		die("listen");
	watch(e);
}

static void take(const struct end *listener)
{
	const int on = 1;
	int fd;

	while ((fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct end *pair = calloc(2, sizeof(*pair));

		pair[0] = (struct end){ .fd = fd, .other = &pair[1] };
		pair[1] = (struct end){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .other = &pair[0] };
		if (connect(pair[1].fd, (const struct sockaddr *)&listener->to, sizeof(listener->to)) < 0)
			die("connect");
		for (int i = 0; i < 2; i++) {
			setsockopt(pair[i].fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
			watch(&pair[i]);
		}
	}
}

/* One edge, one read. Ends are passed on; descriptors stay, since there are few. */
static void carry(struct end *e)
{
	static char buffer[BUFFER];
	ssize_t n = recv(e->fd, buffer, sizeof(buffer), MSG_DONTWAIT);

	if (n > 0) {
		send(e->other->fd, buffer, (size_t)n, MSG_NOSIGNAL);
	} else if (n == 0 || errno != EAGAIN) {
		e->ended = e->other->ended = true; /* what is shut down again makes another edge */
		shutdown(e->other->fd, SHUT_RDWR);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = { .sin_family = AF_INET }, to;
	struct epoll_event batch[BATCH];

	if (argc < 4 || argc % 2 || inet_pton(AF_INET, argv[1], &at.sin_addr) != 1) {
		fprintf(stderr, "usage: bench-hop IP FROM TO [FROM TO]…\n");
		return 2;
	}
	loop = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 2; i < argc; i += 2) {
		to = at;
		at.sin_port = htons((uint16_t)atoi(argv[i]));
		to.sin_port = htons((uint16_t)atoi(argv[i + 1]));
		listen_at(at, to);
	}
	for (;;) {
		int n = epoll_wait(loop, batch, BATCH, -1);

		for (int i = 0; i < n; i++) {
			struct end *e = batch[i].data.ptr;

			if (!e->other)
				take(e);
			else if (!e->ended)
				carry(e);
		}
	}
}
