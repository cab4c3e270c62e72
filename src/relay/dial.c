// SPDX-License-Identifier: MIT
/* TCP connects.
 *
 *   WAITING ─► CONNECTING ─► CONNECTED ─► joined with the other socket (a pump), or taken
 *   (no socket     │
 *    at hand)      └─► failed: `done` has the kernel's errno, the dial is gone
 *
 * connect() holds the socket's lock, so it says EINPROGRESS even when the answer is there by the time it returns, as it is on one
 * machine. A second connect() asks for the outcome and mostly saves the wake-up; it also is how the outcome is asked for after one.
 *
 * What the program had as its own address and port is a wish. An address that the namespace doesn't have and a port that is taken
 * are left out rather than reported: the program's own bind() has succeeded long before. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#include "relay/pump.h"
#include "relay/sockets_internal.h"

#define SLOW (5 * (uint64_t)LOOP_MS)

struct socket_dial {
	struct dial dial;
	struct list node; /* in the egress's dials */
	struct waiter waiter;
	struct watch watch;
	struct endpoint local, remote;
	int fd; /* -1 while waiting */
	bool connecting;
	dial_done_fn done;
	void *arg;
};

static int dial_try(struct socket_dial *d);

static struct socket_dial *dial_of(struct dial *d)
{
	return (struct socket_dial *)(void *)d;
}

static struct socket_egress *egress_of(struct socket_dial *d)
{
	return socket_egress_of(d->dial.egress);
}

/* Lets go of the socket, and frees the dial. Returns the socket. */
static int dial_release(struct socket_dial *d)
{
	int fd = d->fd;

	loop_unwatch(egress_of(d)->loop, &d->watch);
	list_remove(&d->waiter.node);
	list_remove(&d->node);
	egress_of(d)->count--;
	free(d);
	return fd;
}

static void dial_close(struct socket_dial *d)
{
	int fd = dial_release(d);

	if (fd >= 0)
		close(fd);
}

/* What connect() chooses by itself needs no bind. */
static bool chosen_anyway(const struct endpoint *local, const struct endpoint *remote)
{
	if (local->port)
		return false;
	return ip_is_any(&local->ip) || ip_equal(&local->ip, &remote->ip) ||
	       ip_family(&local->ip) != ip_family(&remote->ip);
}

static int bind_to(int fd, const struct ip *ip, uint16_t port)
{
	const struct endpoint e = { .ip = *ip, .port = port };
	struct sockaddr_storage sa;
	socklen_t len = endpoint_to_sockaddr(&e, &sa);

	return bind(fd, (struct sockaddr *)&sa, len) < 0 ? errno : 0;
}

static bool is_unavailable(int error)
{
	return error == EADDRINUSE || error == EADDRNOTAVAIL || error == EACCES;
}

/* Binds to what was wished for as far as it is to be had; forgets a port that isn't. Returns 0 or an errno. */
static int bind_wished(struct socket_dial *d, int fd)
{
	int error;

	if (chosen_anyway(&d->local, &d->remote))
		return 0;
	if (d->local.port) {
		error = bind_to(fd, &d->local.ip, d->local.port);
		if (!is_unavailable(error) || egress_of(d)->insists)
			return error;
		d->local.port = 0;
		if (chosen_anyway(&d->local, &d->remote))
			return 0;
	}
	error = bind_to(fd, &d->local.ip, 0);
	return is_unavailable(error) && !egress_of(d)->insists ? 0 : error;
}

/* Starts to connect, or asks how it went. Returns 0, EINPROGRESS or the errno of the failure. */
static int connect_to(int fd, const struct endpoint *remote)
{
	struct sockaddr_storage sa;
	socklen_t len = endpoint_to_sockaddr(remote, &sa);

	if (connect(fd, (struct sockaddr *)&sa, len) == 0 || errno == EISCONN)
		return 0;
	return errno == EALREADY ? EINPROGRESS : errno;
}

/* The owner hears of it last: it may join or abandon the dial from inside the call. */
static void dial_tell(struct socket_dial *d, int error)
{
	dial_done_fn done = d->done;
	void *arg = d->arg;

	if (error == EINPROGRESS)
		return;
	loop_unwatch(egress_of(d)->loop, &d->watch);
	d->connecting = false;
	if (error)
		dial_close(d);
	done(arg, error);
}

static void on_outcome(struct watch *w, uint32_t events)
{
	struct socket_dial *d = container_of(w, struct socket_dial, watch);

	dial_tell(d, connect_to(d->fd, &d->remote));
}

/* An ICMP error that came while connect() still held the socket's lock (from a router on this machine it does) is a "soft" one, on which the
 * kernel acts at the next retransmission; SO_ERROR tells it now. Returns EINPROGRESS or the error. */
static int error_so_far(int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error ? error : EINPROGRESS;
}

static void expect_answer(struct socket_dial *d)
{
	struct socket_egress *e = egress_of(d);

	d->connecting = true;
	if (e->on_slow && !e->slow.index)
		loop_arm(e->loop, &e->slow, loop_now(e->loop) + SLOW);
}

void socket_dials_on_slow(struct timer *t)
{
	struct socket_egress *e = container_of(t, struct socket_egress, slow);

	for (struct list *n = e->dials.next; n != &e->dials; n = n->next) {
		if (container_of(n, struct socket_dial, node)->connecting) {
			e->on_slow(e->slow_arg);
			return;
		}
	}
}

/* Owns @fd; a socket that failed is not used again. Returns 0, EINPROGRESS or the errno of the failure. */
static int dial_connect(struct socket_dial *d, int fd)
{
	int error = bind_wished(d, fd);

	if (!error)
		error = connect_to(fd, &d->remote);
	if (error == EINPROGRESS)
		error = connect_to(fd, &d->remote);
	if (error == EINPROGRESS)
		error = error_so_far(fd);
	if (error == EINPROGRESS) {
		int r = loop_watch(egress_of(d)->loop, &d->watch, fd, EPOLLOUT, on_outcome);

		error = r < 0 ? -r : EINPROGRESS;
	}
	if (!error || error == EINPROGRESS) {
		d->fd = fd;
		if (error)
			expect_answer(d);
		return error;
	}
	close(fd);
	if (error == EADDRNOTAVAIL && loop_close_waiting(egress_of(d)->loop)) /* the last connection of this port was reset a moment ago */
		return dial_try(d);
	if (error == EADDRNOTAVAIL && d->local.port && !egress_of(d)->insists) { /* the last connection of this port to the same remote lingers */
		d->local.port = 0;
		return dial_try(d);
	}
	return error;
}

static int dial_try(struct socket_dial *d)
{
	enum socket_kind kind = ip_is_v4(&d->remote.ip) ? SOCKET_TCP4 : SOCKET_TCP6;
	int fd = socket_egress_take(egress_of(d), kind, &d->waiter, NULL);

	if (fd == -EAGAIN)
		return EINPROGRESS;
	return fd < 0 ? -fd : dial_connect(d, fd);
}

static void on_socket(struct waiter *w, int fd, bool raw)
{
	struct socket_dial *d = container_of(w, struct socket_dial, waiter);

	dial_tell(d, fd < 0 ? -fd : dial_connect(d, fd));
}

int socket_dial(struct egress *egress, const struct endpoint *local, const struct endpoint *remote, dial_done_fn done,
		void *arg, struct dial **ret_dial)
{
	struct socket_egress *e = socket_egress_of(egress);
	struct socket_dial *d = calloc(1, sizeof(*d));
	int error;

	if (!d)
		return ENOMEM;
	d->dial.egress = egress;
	d->waiter.on_socket = on_socket;
	d->local = *local;
	d->remote = *remote;
	d->fd = -1;
	d->done = done;
	d->arg = arg;
	list_append(&e->dials, &d->node);
	e->count++;
	error = dial_try(d);
	if (!error || error == EINPROGRESS)
		*ret_dial = &d->dial;
	else
		dial_close(d);
	return error;
}

static void on_pump_end(void *arg)
{
	struct socket_egress *e = arg;

	e->count--;
}

void socket_join(struct dial *dial, int fd)
{
	struct socket_dial *d = dial_of(dial);
	struct socket_egress *e = egress_of(d);
	int connected = dial_release(d);

	if (pump_start(e->loop, fd, connected, &e->pumps, on_pump_end, e) == 0)
		e->count++;
}

void socket_abandon(struct dial *d)
{
	dial_close(dial_of(d));
}

int socket_take(struct dial *d)
{
	return dial_release(dial_of(d));
}

void socket_dials_close(struct socket_egress *e)
{
	while (!list_empty(&e->dials))
		dial_close(container_of(e->dials.next, struct socket_dial, node));
}
