// SPDX-License-Identifier: MIT
/* The egress over a tunnel: a stream per dial and per port.
 *
 * A dial holds what the remote says first (a greeting) until the program's connection is there to be joined: at most the stream's credit.
 * When the remote resets in between, the dial is a husk without a stream; joining it resets the program's connection. */
#include "relay/tunnel_egress.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/bridge.h"
#include "relay/unix_bridge.h"

struct tunnel_egress {
	struct egress egress;
	struct loop *loop;
	struct mux *mux;
	struct list dials, bridges, ports;
	struct unix_bridges unix_bridges;
};

struct tunnel_dial {
	struct dial dial;
	struct list node;
	struct stream *stream; /* NULL: reset */
	enum stream_kind kind;
	struct backlog early;
	bool connected, ended;
	dial_done_fn done;
	void *arg;
};

struct tunnel_port {
	struct port port;
	struct list node;
	struct stream *stream; /* NULL: broken */
	const struct port_events *events;
	void *arg;
};

static struct tunnel_egress *egress_of(struct egress *e)
{
	return (struct tunnel_egress *)(void *)e;
}

static struct tunnel_dial *dial_of(struct dial *d)
{
	return (struct tunnel_dial *)(void *)d;
}

static struct tunnel_port *port_of(struct port *p)
{
	return (struct tunnel_port *)(void *)p;
}

static void dial_free(struct tunnel_dial *d)
{
	list_remove(&d->node);
	backlog_fini(&d->early);
	free(d);
}

static void on_opened(void *arg)
{
	struct tunnel_dial *d = arg;

	d->connected = true;
	d->done(d->arg, 0);
}

static void on_early_data(void *arg, const uint8_t *data, size_t len)
{
	struct tunnel_dial *d = arg;

	if (backlog_add(&d->early, data, len))
		return;
	stream_reset(d->stream, ECONNRESET);
	d->stream = NULL;
}

static void on_early_end(void *arg)
{
	struct tunnel_dial *d = arg;

	d->ended = true;
}

static void on_dial_reset(void *arg, int error)
{
	struct tunnel_dial *d = arg;
	dial_done_fn done = d->done;
	void *done_arg = d->arg;

	d->stream = NULL;
	if (d->connected)
		return;
	dial_free(d);
	done(done_arg, error ? error : ECONNRESET);
}

static const struct stream_events dial_events = {
	.on_opened = on_opened,
	.on_data = on_early_data,
	.on_end = on_early_end,
	.on_reset = on_dial_reset,
};

static int ask(struct egress *egress, const struct stream_request *request, dial_done_fn done, void *arg, struct dial **ret_dial)
{
	struct tunnel_egress *e = egress_of(egress);
	struct tunnel_dial *d = calloc(1, sizeof(*d));

	if (!d)
		return ENOMEM;
	*d = (struct tunnel_dial){ .dial.egress = egress, .kind = request->kind, .done = done, .arg = arg };
	d->stream = stream_open(e->mux, request, &dial_events, d);
	if (!d->stream) {
		free(d);
		return errno;
	}
	list_append(&e->dials, &d->node);
	*ret_dial = &d->dial;
	return EINPROGRESS;
}

static int tunnel_dial(struct egress *egress, const struct endpoint *local, const struct endpoint *remote, dial_done_fn done,
		       void *arg, struct dial **ret_dial)
{
	const struct stream_request request = { .kind = STREAM_TCP, .local = *local, .remote = *remote };

	return ask(egress, &request, done, arg, ret_dial);
}

int tunnel_egress_dial_unix(struct egress *e, int type, const struct unix_name *name, dial_done_fn done, void *arg, struct dial **ret_dial)
{
	const struct stream_request request = { .kind = type == SOCK_STREAM ? STREAM_UNIX : STREAM_RECORDS, .local.ip = IP_ANY6, .remote.ip = IP_ANY6,
						.name = *name };

	return ask(e, &request, done, arg, ret_dial);
}

static void tunnel_join(struct dial *dial, int fd)
{
	struct tunnel_dial *d = dial_of(dial);
	struct tunnel_egress *e = egress_of(dial->egress);

	if (d->stream && stream_is_unix(d->kind))
		unix_bridge_start(e->loop, d->stream, d->kind, fd, &d->early, d->ended, &e->unix_bridges);
	else if (d->stream)
		bridge_start(e->loop, d->stream, fd, &d->early, d->ended, &e->bridges);
	else
		close(fd);
	dial_free(d);
}

static int tunnel_take(struct dial *dial)
{
	struct tunnel_dial *d = dial_of(dial);
	int pair[2], error;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0) {
		tunnel_join(dial, pair[1]);
		return pair[0];
	}
	error = errno;
	if (d->stream)
		stream_reset(d->stream, ECONNRESET);
	dial_free(d);
	return -error;
}

static void tunnel_abandon(struct dial *dial)
{
	struct tunnel_dial *d = dial_of(dial);

	if (d->stream)
		stream_reset(d->stream, ECONNRESET);
	dial_free(d);
}

static void on_datagram(void *arg, const struct endpoint *peer, struct packet_marks marks, const uint8_t *data, size_t len)
{
	struct tunnel_port *p = arg;

	p->events->on_datagram(p->arg, peer, marks, data, len);
}

static void on_error(void *arg, const struct endpoint *peer, const struct icmp_error *error, const uint8_t *data, size_t len)
{
	struct tunnel_port *p = arg;

	p->events->on_error(p->arg, peer, error, data, len);
}

static void on_port_reset(void *arg, int error)
{
	struct tunnel_port *p = arg;

	p->stream = NULL;
	p->events->on_broken(p->arg, error);
}

static const struct stream_events port_events = { .on_datagram = on_datagram, .on_error = on_error, .on_reset = on_port_reset };

static int tunnel_open(struct egress *egress, enum port_kind kind, const struct endpoint *local, const struct port_events *events,
		       void *arg, struct port **ret_port)
{
	struct tunnel_egress *e = egress_of(egress);
	const struct stream_request request = { .kind = kind == PORT_UDP ? STREAM_UDP : STREAM_ECHO, .local = *local };
	struct tunnel_port *p = calloc(1, sizeof(*p));

	if (!p)
		return ENOMEM;
	*p = (struct tunnel_port){ .port.egress = egress, .events = events, .arg = arg };
	p->stream = stream_open(e->mux, &request, &port_events, p);
	if (!p->stream) {
		free(p);
		return errno;
	}
	list_append(&e->ports, &p->node);
	*ret_port = &p->port;
	return 0;
}

static int tunnel_send(struct port *port, const struct endpoint *to, struct packet_marks marks, const void *data, size_t len)
{
	struct tunnel_port *p = port_of(port);

	if (p->stream)
		stream_send_datagram(p->stream, to, marks, data, len);
	return 0;
}

static void tunnel_close(struct port *port)
{
	struct tunnel_port *p = port_of(port);

	if (p->stream)
		stream_close(p->stream);
	list_remove(&p->node);
	free(p);
}

static const struct egress_ops ops = {
	.dial = tunnel_dial,
	.join = tunnel_join,
	.take = tunnel_take,
	.abandon = tunnel_abandon,
	.open = tunnel_open,
	.send = tunnel_send,
	.close = tunnel_close,
};

struct egress *tunnel_egress_new(struct loop *loop, struct mux *m)
{
	struct tunnel_egress *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	*e = (struct tunnel_egress){ .egress.ops = &ops, .loop = loop, .mux = m };
	list_init(&e->dials);
	list_init(&e->bridges);
	list_init(&e->ports);
	unix_bridges_init(&e->unix_bridges);
	return &e->egress;
}

void tunnel_egress_free(struct egress *egress)
{
	struct tunnel_egress *e = egress_of(egress);

	if (!e)
		return;
	while (!list_empty(&e->dials))
		tunnel_abandon(&container_of(e->dials.next, struct tunnel_dial, node)->dial);
	while (!list_empty(&e->ports))
		tunnel_close(&container_of(e->ports.next, struct tunnel_port, node)->port);
	bridge_reset_all(&e->bridges);
	unix_bridges_reset(&e->unix_bridges);
	free(e);
}

static size_t length(const struct list *l)
{
	size_t n = 0;

	for (const struct list *node = l->next; node != l; node = node->next)
		n++;
	return n;
}

size_t tunnel_egress_count(const struct egress *egress)
{
	const struct tunnel_egress *e = (const struct tunnel_egress *)(const void *)egress;

	return length(&e->dials) + length(&e->bridges);
}
