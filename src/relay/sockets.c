// SPDX-License-Identifier: MIT
/* The egress over sockets: how sockets are made, and those who wait for one. */
#include "relay/sockets.h"

#include <assert.h>
#include <errno.h>
#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "relay/pump.h"
#include "relay/port_internal.h"
#include "relay/sockets_internal.h"

#ifndef SOL_RAW
#define SOL_RAW 255
#endif

static const struct {
	int family, type, protocol;
} kinds[] = {
	[SOCKET_TCP4] = { AF_INET, SOCK_STREAM, IPPROTO_TCP },	   [SOCKET_TCP6] = { AF_INET6, SOCK_STREAM, IPPROTO_TCP },
	[SOCKET_UDP4] = { AF_INET, SOCK_DGRAM, IPPROTO_UDP },	   [SOCKET_UDP6] = { AF_INET6, SOCK_DGRAM, IPPROTO_UDP },
	[SOCKET_ECHO4] = { AF_INET, SOCK_DGRAM, IPPROTO_ICMP },	   [SOCKET_ECHO6] = { AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6 },
};
static_assert(sizeof(kinds) / sizeof(kinds[0]) == SOCKET_KINDS, "a row per kind");

struct option {
	int level, name;
};

/* Those that are simply on. IP_BIND_ADDRESS_NO_PORT lets connect() choose the port of a socket that was bound to an address. Many connections of
 * one local port are common, and those before leave it in TIME_WAIT: SO_REUSEADDR. */
static const struct option on_tcp[] = {
	{ IPPROTO_TCP, TCP_NODELAY }, { IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT }, { SOL_SOCKET, SO_REUSEADDR }, { 0, 0 },
};
static const struct option on_datagram4[] = {
	{ IPPROTO_IP, IP_RECVERR }, { IPPROTO_IP, IP_RECVTTL }, { IPPROTO_IP, IP_RECVTOS }, { SOL_SOCKET, SO_BROADCAST }, { 0, 0 },
};
static const struct option on_datagram6[] = {
	{ IPPROTO_IPV6, IPV6_RECVERR }, { IPPROTO_IPV6, IPV6_RECVHOPLIMIT }, { IPPROTO_IPV6, IPV6_RECVTCLASS }, { 0, 0 },
};

static int switch_on(int fd, const struct option *options)
{
	static const int on = 1;

	for (const struct option *o = options; o->name; o++)
		if (setsockopt(fd, o->level, o->name, &on, sizeof(on)) < 0)
			return -1;
	return 0;
}

/* A raw socket hears every ICMP message of its namespace; the kernel leaves only echo replies. */
static int set_raw_filter(int fd, int family)
{
	struct icmp_filter only_replies = { .data = ~(1U << ICMP_ECHOREPLY) };
	struct icmp6_filter only_replies6;

	if (family == AF_INET)
		return setsockopt(fd, SOL_RAW, ICMP_FILTER, &only_replies, sizeof(only_replies));
	ICMP6_FILTER_SETBLOCKALL(&only_replies6);
	ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &only_replies6);
	return setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &only_replies6, sizeof(only_replies6));
}

static int set_options(int fd, enum socket_kind kind, bool raw)
{
	static const struct option v6_only[] = { { IPPROTO_IPV6, IPV6_V6ONLY }, { 0, 0 } };
	int family = kinds[kind].family;

	if (family == AF_INET6 && !raw && switch_on(fd, v6_only) < 0)
		return -1;
	if (kinds[kind].type == SOCK_STREAM)
		return switch_on(fd, on_tcp) < 0 ? -1 : fd_reset_on_close(fd, true);
	if (raw && set_raw_filter(fd, family) < 0)
		return -1;
	return switch_on(fd, family == AF_INET ? on_datagram4 : on_datagram6) < 0 ? -1 : datagram_let_fragment(fd, family, false);
}

int socket_make(enum socket_kind kind, bool *ret_raw)
{
	int family = kinds[kind].family, protocol = kinds[kind].protocol;
	bool raw = false;
	_cleanup_fd_ int fd = socket(family, kinds[kind].type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

	if (fd < 0 && errno == EACCES && kind >= SOCKET_ECHO4) {
		raw = true;
		fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
	}
	if (fd < 0 || set_options(fd, kind, raw) < 0)
		return -errno;
	if (ret_raw)
		*ret_raw = raw;
	return fd_steal(&fd);
}

static int take(struct socket_egress *e, enum socket_kind kind, bool *ret_raw)
{
	return e->source ? e->source->take(e->source, kind, ret_raw) : socket_make(kind, ret_raw);
}

int socket_egress_take(struct socket_egress *e, enum socket_kind kind, struct waiter *w, bool *ret_raw)
{
	int fd = list_empty(&e->waiting[kind]) ? take(e, kind, ret_raw) : -EAGAIN;

	if (fd == -EAGAIN)
		list_append(&e->waiting[kind], &w->node);
	return fd;
}

int socket_egress_spare(struct socket_egress *e, enum socket_kind kind)
{
	return list_empty(&e->waiting[kind]) ? take(e, kind, NULL) : -EAGAIN;
}

void socket_egress_refilled(struct egress *egress)
{
	struct socket_egress *e = socket_egress_of(egress);

	for (int kind = 0; kind < SOCKET_KINDS; kind++) {
		while (!list_empty(&e->waiting[kind])) {
			bool raw = false;
			int fd = take(e, kind, &raw);
			struct list *node;

			if (fd == -EAGAIN)
				break;
			node = list_pop(&e->waiting[kind]);
			container_of(node, struct waiter, node)->on_socket(container_of(node, struct waiter, node), fd, raw);
		}
	}
}

static const struct egress_ops ops = {
	.dial = socket_dial,
	.join = socket_join,
	.take = socket_take,
	.abandon = socket_abandon,
	.open = socket_port_open,
	.send = socket_port_send,
	.close = socket_port_close,
};

struct egress *socket_egress_new(struct loop *loop, struct socket_source *source)
{
	struct socket_egress *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->egress.ops = &ops;
	e->loop = loop;
	e->source = source;
	e->slow.on_due = socket_dials_on_slow;
	list_init(&e->dials);
	list_init(&e->pumps);
	list_init(&e->ports);
	list_init(&e->ties);
	for (int kind = 0; kind < SOCKET_KINDS; kind++)
		list_init(&e->waiting[kind]);
	return &e->egress;
}

void socket_tie(struct socket_tie *t, struct egress *egress, void (*on_lost)(struct socket_tie *t))
{
	struct socket_egress *e = socket_egress_of(egress);

	if (egress->ops != &ops)
		return;
	t->egress = egress;
	t->on_lost = on_lost;
	list_append(&e->ties, &t->node);
	e->count++;
}

void socket_untie(struct socket_tie *t)
{
	if (!t->egress)
		return;
	list_remove(&t->node);
	socket_egress_of(t->egress)->count--;
	t->egress = NULL;
}

static void cut_ties(struct socket_egress *e)
{
	while (!list_empty(&e->ties)) {
		struct socket_tie *t = container_of(e->ties.next, struct socket_tie, node);

		socket_untie(t);
		t->on_lost(t);
	}
}

void socket_egress_free(struct egress *egress)
{
	struct socket_egress *e = socket_egress_of(egress);

	if (!e)
		return;
	loop_disarm(e->loop, &e->slow);
	socket_dials_close(e);
	socket_ports_close(e);
	pump_reset_all(&e->pumps);
	cut_ties(e);
	free(e);
}

void socket_egress_insist(struct egress *egress)
{
	socket_egress_of(egress)->insists = true;
}

void socket_egress_on_slow(struct egress *egress, void (*on_slow)(void *arg), void *arg)
{
	struct socket_egress *e = socket_egress_of(egress);

	e->on_slow = on_slow;
	e->slow_arg = arg;
}

size_t socket_egress_count(const struct egress *egress)
{
	return ((const struct socket_egress *)(const void *)egress)->count;
}
