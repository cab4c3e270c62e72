// SPDX-License-Identifier: MIT
/* The agent's side of a tunnel egress.
 *
 *   OPEN (TCP) ─► dial ─► connected: accepted, and a bridge takes over ─► …
 *                   └──► failed: reset with the kernel's errno
 *   OPEN (UDP, echo) ─► port ─► accepted; datagrams and errors pass until either side is over
 *
 * A request that waits or a port is a `served`. What a send returns at once has no answer of its own in the tunnel, and goes back as the
 * ICMP error that makes the same errno. */
#include "relay/tunnel_server.h"

#include <errno.h>
#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <stdlib.h>
#include <string.h>

#include "relay/bridge.h"
#include "relay/sockets.h"

struct tunnel_server {
	struct loop *loop;
	struct egress *egress;
	struct list served, bridges;
	uint8_t quote[PACKET_MAX]; /* an echo request that could not be sent */
};

struct served {
	struct tunnel_server *server;
	struct list node;
	struct stream *stream; /* NULL: over */
	struct dial *dial;
	struct port *port;
	struct deferred broken;
	uint8_t kind; /* enum stream_kind */
};

/* The stream is done with already. */
static void served_end(struct served *v)
{
	const struct egress_ops *ops = v->server->egress->ops;

	if (v->dial)
		ops->abandon(v->dial);
	if (v->port)
		ops->close(v->port);
	list_remove(&v->node);
	list_remove(&v->broken.node);
	free(v);
}

static void on_stream_reset(void *arg, int error)
{
	served_end(arg);
}

static void hand_over(struct served *v)
{
	struct tunnel_server *t = v->server;
	struct stream *s = v->stream;
	int fd = egress_dial_take(v->dial);

	v->dial = NULL;
	served_end(v);
	if (fd < 0)
		stream_reset(s, -fd);
	else
		bridge_start(t->loop, s, fd, NULL, false, &t->bridges);
}

static const struct stream_events dial_events = { .on_reset = on_stream_reset };

static void on_dialed(void *arg, int error)
{
	struct served *v = arg;

	if (error) {
		v->dial = NULL;
		stream_reset(v->stream, error);
		served_end(v);
		return;
	}
	stream_accept(v->stream, &dial_events, v);
	hand_over(v);
}

static void serve_dial(struct served *v, const struct stream_request *request)
{
	struct egress *e = v->server->egress;
	int error;

	stream_attach(v->stream, &dial_events, v);
	error = e->ops->dial(e, &request->local, &request->remote, on_dialed, v, &v->dial);
	if (error != EINPROGRESS)
		on_dialed(v, error);
}

/* An echo's error quotes it from the ICMP header on. */
static const uint8_t *quote(struct served *v, const struct endpoint *peer, const uint8_t *data, size_t *len)
{
	uint8_t *q = v->server->quote;

	if (v->kind == STREAM_UDP)
		return data;
	memset(q, 0, 4);
	q[0] = ip_is_v4(&peer->ip) ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
	memcpy(q + 4, data, *len);
	*len += 4;
	return q;
}

static void on_stream_datagram(void *arg, const struct endpoint *peer, struct packet_marks marks, const uint8_t *data, size_t len)
{
	struct served *v = arg;
	int error = v->server->egress->ops->send(v->port, peer, marks, data, len);
	struct icmp_error e = { .offender = peer->ip };

	if (!error || error == EMSGSIZE)
		return;
	packet_error_from_errno(error, ip_family(&peer->ip), &e.type, &e.code);
	data = quote(v, peer, data, &len);
	stream_send_error(v->stream, peer, &e, data, len);
}

static const struct stream_events port_stream_events = { .on_datagram = on_stream_datagram, .on_reset = on_stream_reset };

static void on_port_datagram(void *arg, const struct endpoint *from, struct packet_marks marks, const uint8_t *data, size_t len)
{
	struct served *v = arg;

	if (v->stream)
		stream_send_datagram(v->stream, from, marks, data, len);
}

static void on_port_error(void *arg, const struct endpoint *to, const struct icmp_error *error, const uint8_t *data, size_t len)
{
	struct served *v = arg;

	if (v->stream)
		stream_send_error(v->stream, to, error, data, len);
}

static void on_broken(struct deferred *d)
{
	served_end(container_of(d, struct served, broken));
}

/* The port may not be closed from in here. */
static void on_port_broken(void *arg, int error)
{
	struct served *v = arg;

	if (v->stream)
		stream_reset(v->stream, error);
	v->stream = NULL;
	loop_defer(v->server->loop, &v->broken, on_broken);
}

static const struct port_events port_events = {
	.on_datagram = on_port_datagram,
	.on_error = on_port_error,
	.on_broken = on_port_broken,
};

static void serve_port(struct served *v, const struct stream_request *request)
{
	enum port_kind kind = request->kind == STREAM_UDP ? PORT_UDP : PORT_ECHO;
	struct egress *e = v->server->egress;
	int error = e->ops->open(e, kind, &request->local, &port_events, v, &v->port);

	if (error) {
		stream_reset(v->stream, error);
		served_end(v);
	} else {
		stream_accept(v->stream, &port_stream_events, v);
	}
}

void tunnel_server_open(struct tunnel_server *t, struct stream *s, const struct stream_request *request)
{
	bool known = request->kind == STREAM_TCP || request->kind == STREAM_UDP || request->kind == STREAM_ECHO;
	struct served *v = known ? calloc(1, sizeof(*v)) : NULL;

	if (!v) {
		stream_reset(s, known ? ENOMEM : EOPNOTSUPP);
		return;
	}
	*v = (struct served){ .server = t, .stream = s, .kind = request->kind };
	list_append(&t->served, &v->node);
	if (request->kind == STREAM_TCP)
		serve_dial(v, request);
	else
		serve_port(v, request);
}

struct tunnel_server *tunnel_server_new(struct loop *loop, struct egress *egress)
{
	struct tunnel_server *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->loop = loop;
	t->egress = egress;
	list_init(&t->served);
	list_init(&t->bridges);
	return t;
}

void tunnel_server_free(struct tunnel_server *t)
{
	if (!t)
		return;
	while (!list_empty(&t->served)) {
		struct served *v = container_of(t->served.next, struct served, node);

		if (v->stream)
			stream_close(v->stream);
		served_end(v);
	}
	bridge_reset_all(&t->bridges);
	free(t);
}
