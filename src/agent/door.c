// SPDX-License-Identifier: MIT
/* One message with two descriptors comes in; then a guest waits for the end of its connection or of its input, whichever is first. */
#include "agent/door.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "net/acceptor.h"

enum { DOOR_STREAM = 1, DOOR_DROP = 2 };
enum { GUESTS = 32 };

struct guest {
	struct door *door;
	struct list node;
	struct watch watch;
	int fd;
};

struct door {
	struct loop *loop;
	const struct door_events *events;
	void *arg;
	int listener;
	struct acceptor acceptor;
	struct list guests;
	size_t n_guests;
};

static socklen_t address_of(const char *name, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(ret->sun_path + 1, sizeof(ret->sun_path) - 1, "mirrord-agent/%s", name);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(ret->sun_path + 1));
}

static void guest_end(struct guest *g)
{
	loop_unwatch(g->door->loop, &g->watch);
	g->door->n_guests--;
	list_remove(&g->node);
	close(g->fd);
	free(g);
}

static void on_guest(struct watch *w, uint32_t events)
{
	struct guest *g = container_of(w, struct guest, watch);
	struct door *d = g->door;
	uint8_t request = 0;
	int fds[2] = { -1, -1 };
	size_t n = 0;
	ssize_t len = fd_receive(g->fd, &request, sizeof(request), fds, 2, &n, MSG_DONTWAIT);

	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len > 0 && request == DOOR_STREAM && n == 2) {
		d->events->on_stream(d->arg, fds[0], fds[1]);
		return;
	}
	for (size_t i = 0; len >= 0 && i < n; i++)
		close(fds[i]);
	guest_end(g);
	if (len > 0 && request == DOOR_DROP)
		d->events->on_drop(d->arg);
}

static bool is_welcome(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && (peer.uid == 0 || peer.uid == geteuid());
}

static void on_knock(struct acceptor *a, int accepted, const struct endpoint *peer)
{
	struct door *d = container_of(a, struct door, acceptor);
	_cleanup_fd_ int fd = accepted;
	struct guest *g;

	if (!is_welcome(fd) || d->n_guests == GUESTS || !(g = calloc(1, sizeof(*g))))
		return;
	g->door = d;
	g->fd = fd;
	if (loop_watch(d->loop, &g->watch, fd, EPOLLIN, on_guest) < 0) {
		free(g);
		return;
	}
	(void)fd_steal(&fd);
	list_append(&d->guests, &g->node);
	d->n_guests++;
}

struct door *door_open(struct loop *loop, const char *name, const struct door_events *events, void *arg, struct error *err)
{
	struct door *d = calloc(1, sizeof(*d));
	struct sockaddr_un address;
	socklen_t len = address_of(name, &address);
	int r = -ENOMEM;

	if (!d) {
		error_set(err, ENOMEM, "listen for others");
		return NULL;
	}
	*d = (struct door){ .loop = loop, .events = events, .arg = arg,
			    .acceptor = { .loop = loop, .what = "door", .on_connection = on_knock } };
	list_init(&d->guests);
	d->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->listener < 0 || bind(d->listener, (struct sockaddr *)&address, len) < 0 || listen(d->listener, GUESTS) < 0)
		r = -errno;
	else
		r = acceptor_start(&d->acceptor, d->listener);
	if (r == 0)
		return d;
	error_set(err, -r, "listen for others as %s", name);
	door_close(d);
	return NULL;
}

void door_close(struct door *d)
{
	if (!d)
		return;
	while (!list_empty(&d->guests))
		guest_end(container_of(d->guests.next, struct guest, node));
	acceptor_stop(&d->acceptor);
	fd_closep(&d->listener);
	free(d);
}

static int knock(const char *name, bool drop)
{
	static const int stream[] = { STDIN_FILENO, STDOUT_FILENO };
	const uint8_t request = drop ? DOOR_DROP : DOOR_STREAM;
	struct sockaddr_un address;
	socklen_t len = address_of(name, &address);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct pollfd ends[] = { { .fd = fd, .events = POLLIN }, { .fd = drop ? -1 : STDIN_FILENO } };

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, len) < 0 || fd_send(fd, &request, sizeof(request), stream, drop ? 0 : 2) < 0) {
		fprintf(stderr, "mirrord-agent: reach the agent of %s: %s\n", name, strerror(errno));
		return 1;
	}
	while (poll(ends, 2, -1) < 0 && errno == EINTR)
		;
	return 0;
}

int door_knock(int argc, char **argv)
{
	static const struct option options[] = { { "idle", required_argument, NULL, 'i' }, { "drop", no_argument, NULL, 'd' }, { 0 } };
	const char *name = NULL;
	bool drop = false;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'i')
			name = optarg;
		else if (c == 'd')
			drop = true;
		else
			return 2;
	}
	return name && optind == argc ? knock(name, drop) : 2;
}
