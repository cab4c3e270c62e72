// SPDX-License-Identifier: MIT
/* Datagram ports: one unconnected socket stands for one address and port of the program's.
 *
 *   WAITING ─► OPEN ─► closed by the owner
 *   (no socket   │
 *    at hand)    └─► broken, when no socket is to be had: the owner hears of it and closes
 *
 * What is sent while a port waits is queued, up to QUEUE_MAX datagrams and QUEUE_BYTES; more is dropped, as a full socket would. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/fd.h"
#include "relay/port_internal.h"
#include "relay/train.h"

enum { QUEUE_MAX = 128, QUEUE_BYTES = 256 << 10, ERRORS_PER_TURN = 64 }; /* waiting for a socket: as much as a socket would take */

struct queued {
	struct list node;
	struct endpoint to;
	struct packet_marks marks;
	size_t len;
	uint8_t data[];
};

static struct socket_port *port_of(struct port *p)
{
	return (struct socket_port *)(void *)p;
}

static struct socket_egress *egress_of(struct socket_port *p)
{
	return socket_egress_of(p->port.egress);
}

static void let_fragment(struct socket_port *p, bool may)
{
	if (p->may_fragment != may && datagram_let_fragment(p->fd, ip_family(&p->local.ip), may) == 0)
		p->may_fragment = may;
}

static int send_now(struct socket_port *p, const struct endpoint *to, struct packet_marks marks, const uint8_t *data, size_t len)
{
	struct train *train = egress_of(p)->train;
	uint8_t head[ECHO_HEAD];
	int error;

	if (p->kind == PORT_UDP && train_add(train, p, to, marks, data, len))
		return 0;
	let_fragment(p, !marks.dont_fragment); /* behind the train, which may be of the other kind */
	if (p->kind != PORT_UDP) {
		echo_head(p, data, len, head);
		return datagram_send(p->fd, to, marks, head, sizeof(head), data + 2, len - 2);
	}
	error = datagram_send(p->fd, to, marks, NULL, 0, data, len);
	train_open(train, p, to, marks, error ? 0 : len);
	return error;
}

static void enqueue(struct socket_port *p, const struct endpoint *to, struct packet_marks marks, const void *data, size_t len)
{
	struct queued *q = NULL;

	if (p->n_queued < QUEUE_MAX && p->queued_bytes < QUEUE_BYTES)
		q = malloc(sizeof(*q) + len);
	if (!q)
		return;
	*q = (struct queued){ .to = *to, .marks = marks, .len = len };
	if (len)
		memcpy(q->data, data, len);
	list_append(&p->queue, &q->node);
	p->n_queued++;
	p->queued_bytes += len;
}

int socket_port_send(struct port *port, const struct endpoint *to, struct packet_marks marks, const void *data, size_t len)
{
	struct socket_port *p = port_of(port);

	if (p->kind == PORT_ECHO && len < 4)
		return EINVAL;
	if (p->fd >= 0) {
		int error = send_now(p, to, marks, data, len);

		if (error != EMSGSIZE || !marks.dont_fragment)
			return error;
		port_report(p, to, data, len, error);
		return 0;
	}
	if (list_linked(&p->waiter.node))
		enqueue(p, to, marks, data, len);
	return 0;
}

/* The sender was not told the link's MTU, or it has changed. */
static uint32_t path_mtu(struct socket_port *p, const struct endpoint *to)
{
	int fd = socket_egress_spare(egress_of(p), ip_is_v4(&to->ip) ? SOCKET_UDP4 : SOCKET_UDP6);
	uint32_t mtu = fd < 0 ? 0 : datagram_path_mtu(fd, to);

	fd_closep(&fd);
	return mtu;
}

void port_report(struct socket_port *p, const struct endpoint *to, const uint8_t *data, size_t len, int error)
{
	struct icmp_error e = { .offender = to->ip };

	if (p->kind != PORT_UDP)
		return;
	packet_error_from_errno(error, ip_family(&to->ip), &e.type, &e.code);
	if (error == EMSGSIZE && !(e.info = path_mtu(p, to)))
		return;
	p->events->on_error(p->arg, to, &e, data, len);
}

static void flush(struct socket_port *p)
{
	struct list *node;

	while ((node = list_pop(&p->queue))) {
		struct queued *q = container_of(node, struct queued, node);
		int error = p->fd < 0 ? 0 : send_now(p, &q->to, q->marks, q->data, q->len);

		if (error)
			port_report(p, &q->to, q->data, q->len, error);
		free(q);
	}
}

static bool unwrap(const struct socket_port *p, struct arrival *a, bool (*echo_unwrap)(const struct socket_port *, struct arrival *))
{
	return p->kind == PORT_UDP || echo_unwrap(p, a);
}

static void on_ready(struct watch *w, uint32_t events)
{
	struct socket_port *p = container_of(w, struct socket_port, watch);
	struct mailbox *mailbox = egress_of(p)->mailbox;
	struct arrival batch[MAILBOX_BATCH];
	struct icmp_error error;
	size_t n;

	for (int i = 0; events & EPOLLERR && i < ERRORS_PER_TURN && datagram_receive_error(mailbox, p->fd, &batch[0], &error); i++)
		if (unwrap(p, &batch[0], echo_unwrap_error))
			p->events->on_error(p->arg, &batch[0].peer, &error, batch[0].data, batch[0].len);
	n = datagram_receive(mailbox, p->fd, batch); /* on EPOLLERR, too: it clears the pending error */
	for (size_t i = 0; i < n; i++)
		if (unwrap(p, &batch[i], echo_unwrap_reply))
			p->events->on_datagram(p->arg, &batch[i].peer, batch[i].marks, batch[i].data, batch[i].len);
}

static int bind_to(int fd, const struct ip *ip, uint16_t port)
{
	const struct endpoint e = { .ip = *ip, .port = port };
	struct sockaddr_storage sa;
	socklen_t len = endpoint_to_sockaddr(&e, &sa);

	return bind(fd, (struct sockaddr *)&sa, len);
}

/* Binds to what was wished for as far as it is to be had: the address is worth more than the port. */
static void bind_wished(struct socket_port *p, int fd)
{
	static const int on = 1;
	bool any = ip_is_any(&p->local.ip);

	if (p->local.port && !p->raw && bind_to(fd, &p->local.ip, p->local.port) == 0) {
		if (p->kind == PORT_UDP)
			(void)!setsockopt(fd, IPPROTO_IP, SOCKET_UDP_MARK, &on, sizeof(on));
		return;
	}
	if (!any && bind_to(fd, &p->local.ip, 0) == 0)
		return;
	if (!any && p->local.port && !p->raw)
		(void)!bind_to(fd, ip_is_v4(&p->local.ip) ? &IP_ANY4 : &IP_ANY6, p->local.port);
}

/* Owns @fd. Returns 0 or an errno. */
static int port_use(struct socket_port *p, int fd, bool raw)
{
	int r;

	p->raw = raw;
	while (raw && !p->wire_id)
		if (getrandom(&p->wire_id, sizeof(p->wire_id), 0) < 0)
			p->wire_id = p->local.port;
	bind_wished(p, fd);
	r = loop_watch(egress_of(p)->loop, &p->watch, fd, EPOLLIN, on_ready);
	if (r < 0) {
		close(fd);
		return -r;
	}
	p->fd = fd;
	return 0;
}

static void on_socket(struct waiter *w, int fd, bool raw)
{
	struct socket_port *p = container_of(w, struct socket_port, waiter);
	int error = fd < 0 ? -fd : port_use(p, fd, raw);

	flush(p);
	if (error)
		p->events->on_broken(p->arg, error);
}

static enum socket_kind socket_kind(enum port_kind kind, const struct endpoint *local)
{
	if (ip_is_v4(&local->ip))
		return kind == PORT_UDP ? SOCKET_UDP4 : SOCKET_ECHO4;
	return kind == PORT_UDP ? SOCKET_UDP6 : SOCKET_ECHO6;
}

int socket_port_open(struct egress *egress, enum port_kind kind, const struct endpoint *local, const struct port_events *events,
		     void *arg, struct port **ret_port)
{
	struct socket_egress *e = socket_egress_of(egress);
	struct socket_port *p;
	bool raw = false;
	int fd, error = 0;

	if (!e->mailbox)
		e->mailbox = mailbox_new();
	if (!e->train)
		e->train = train_new();
	p = e->mailbox && e->train ? calloc(1, sizeof(*p)) : NULL;
	if (!p)
		return ENOMEM;
	*p = (struct socket_port){ .port.egress = egress, .waiter.on_socket = on_socket, .local = *local, .events = events,
				   .arg = arg, .train_max = SIZE_MAX, .fd = -1, .kind = kind };
	list_init(&p->queue);
	list_append(&e->ports, &p->node);
	e->count++;
	fd = socket_egress_take(e, socket_kind(kind, local), &p->waiter, &raw);
	if (fd != -EAGAIN)
		error = fd < 0 ? -fd : port_use(p, fd, raw);
	if (error)
		socket_port_close(&p->port);
	else
		*ret_port = &p->port;
	return error;
}

void socket_port_close(struct port *port)
{
	struct socket_port *p = port_of(port);
	struct socket_egress *e = egress_of(p);

	train_leave(e->train, p);
	if (p->fd >= 0)
		loop_close(e->loop, &p->watch);
	p->fd = -1;
	flush(p);
	list_remove(&p->waiter.node);
	list_remove(&p->node);
	e->count--;
	free(p);
}

void socket_ports_close(struct socket_egress *e)
{
	while (!list_empty(&e->ports))
		socket_port_close(&container_of(e->ports.next, struct socket_port, node)->port);
	mailbox_free(e->mailbox);
	train_free(e->train);
}
