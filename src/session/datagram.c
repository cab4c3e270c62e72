// SPDX-License-Identifier: MIT
/* UDP and ICMP echo.
 *
 * A mapping stands for one local (address, port) of the program's, or one echo identifier: a port of the egress that the datagram's destination
 * asks for, one each at most. Everything that the program sends from there leaves by that one socket, so its peers see one address and port, and
 * whoever answers is heard.
 *
 * A mapping ends with the program's socket (reconcile: the twin's sockets are listed from time to time), and where that can't be seen after
 * IDLE_LONE seconds when there was no more than one question and its answer, else after IDLE seconds. At most MAX_MAPPINGS exist; beyond, the
 * one that was quiet the longest gives way. */
#include "session/datagram.h"

#include <errno.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/table.h"
#include "session/dns_local.h"
#include "session/dns_watch.h"
#include "twin/layout.h"

enum { IDLE_LONE = 30, IDLE = 300, MAX_MAPPINGS = 16384 };

struct key {
	struct endpoint local; /* as it stands in the packet; of an echo, the identifier is the port */
	uint16_t kind;	       /* enum port_kind */
};

struct mapping {
	struct datagrams *all;
	struct table_node node;
	struct list by_age; /* in datagrams.quiet: least recently used first */
	struct key key;
	struct port *ports[EXITS];
	bool broken[EXITS], doomed;
	uint64_t born, used;
	unsigned int sent, received;
	struct timer timer;
	struct deferred reap;
};

struct datagrams {
	struct tcp_context c;
	struct table mappings;
	struct list quiet;
};

static bool mapping_equal(const struct table_node *node, const void *key)
{
	return memcmp(&container_of(node, const struct mapping, node)->key, key, sizeof(struct key)) == 0;
}

struct datagrams *datagrams_new(const struct tcp_context *context, struct error *err)
{
	struct datagrams *d = calloc(1, sizeof(*d));

	if (!d || table_init(&d->mappings, mapping_equal) < 0) {
		error_set(err, ENOMEM, "make the table of UDP mappings");
		free(d);
		return NULL;
	}
	d->c = *context;
	list_init(&d->quiet);
	return d;
}

static void mapping_free(struct deferred *r)
{
	free(container_of(r, struct mapping, reap));
}

static void mapping_close(struct mapping *m)
{
	for (int i = 0; i < EXITS; i++) {
		if (m->ports[i])
			m->ports[i]->egress->ops->close(m->ports[i]);
		m->ports[i] = NULL;
	}
	loop_disarm(m->all->c.loop, &m->timer);
	table_remove(&m->all->mappings, &m->node);
	list_remove(&m->by_age);
	loop_defer(m->all->c.loop, &m->reap, mapping_free);
}

void datagrams_close_all(struct datagrams *d)
{
	while (!list_empty(&d->quiet))
		mapping_close(container_of(d->quiet.next, struct mapping, by_age));
}

static uint64_t idle_time(const struct mapping *m)
{
	return (m->sent <= 1 && m->received <= 1 ? IDLE_LONE : IDLE) * LOOP_SECOND;
}

/* The timer is not moved with every datagram: when it fires it looks how long the quiet was. */
static void on_idle(struct timer *t)
{
	struct mapping *m = container_of(t, struct mapping, timer);
	uint64_t due = m->used + idle_time(m);

	if (m->doomed || due <= loop_now(m->all->c.loop))
		mapping_close(m);
	else
		loop_arm(m->all->c.loop, t, due);
}

static void touch(struct mapping *m)
{
	m->used = loop_now(m->all->c.loop);
	list_remove(&m->by_age);
	list_append(&m->all->quiet, &m->by_age);
}

/* The twin's end of an answer from @remote: its address as it may stand in a packet to @local. */
static struct endpoint source_for(const struct endpoint *local, const struct endpoint *remote)
{
	struct endpoint e = *remote;

	if (ip_is_loopback_alias(&local->ip) || ip_is_loopback(&remote->ip))
		e.ip = loopback_to_source_alias(&remote->ip);
	return e;
}

static struct endpoint source_of(const struct mapping *m, const struct endpoint *remote)
{
	return source_for(&m->key.local, remote);
}

static void on_datagram(void *arg, const struct endpoint *from, struct packet_marks marks, const uint8_t *data, size_t len)
{
	struct mapping *m = arg;
	struct gate *gate = *m->all->c.gate;
	struct endpoint src = source_of(m, from);
	struct packet_sum sum = { 0 };
	uint8_t *out = gate_buffer(gate);
	size_t n;

	if (m->key.kind == PORT_UDP) {
		n = packet_build_udp(out, &src, &m->key.local, marks, data, len, &sum);
		if (from->port == 53)
			dns_watch_answer(m->all->c.routing->names, data, len, from, m->used);
	} else {
		if (len < 4)
			return;
		n = packet_build_echo(out, &src.ip, &m->key.local.ip, marks, true, (uint16_t)(data[0] << 8 | data[1]),
				      (uint16_t)(data[2] << 8 | data[3]), data + 4, len - 4);
	}
	gate_send(gate, n, sum);
	m->received++;
	touch(m);
}

/* The error as the program's socket will look at it: about a packet from its own address, loopback ones unaliased. */
static void send_udp_error(struct mapping *m, const struct endpoint *to, const struct icmp_error *error, const uint8_t *data, size_t len)
{
	struct gate *gate = *m->all->c.gate;
	struct endpoint src = { .ip = loopback_from_alias(&m->key.local.ip), .port = m->key.local.port };
	struct endpoint offender = { .ip = error->offender };
	struct icmp_error e = *error;

	e.offender = source_of(m, &offender).ip;
	if (ip_is_v4(&e.offender) != ip_is_v4(&to->ip))
		e.offender = source_of(m, to).ip;
	gate_send(gate, packet_build_icmp_error_udp(gate_buffer(gate), &e, &m->key.local.ip, &src, to, data, len), (struct packet_sum){ 0 });
}

/* @data starts at the ICMP header of the request. */
static void send_echo_error(struct mapping *m, const struct endpoint *to, const struct icmp_error *error, const uint8_t *data, size_t len)
{
	struct gate *gate = *m->all->c.gate;
	struct endpoint dst = source_of(m, to);
	uint8_t *request;
	struct packet original;
	size_t n;

	if (len < 8 || !(request = malloc(PACKET_MAX)))
		return;
	n = packet_build_echo(request, &m->key.local.ip, &dst.ip, (struct packet_marks){ .ttl = 1 }, false, m->key.local.port,
			      (uint16_t)(data[6] << 8 | data[7]), data + 8, len - 8);
	if (n && packet_parse(request, n, &original) == 0)
		gate_send(gate, packet_build_icmp_error(gate_buffer(gate), error, &original, NULL, NULL), (struct packet_sum){ 0 });
	free(request);
}

static void on_error(void *arg, const struct endpoint *to, const struct icmp_error *error, const uint8_t *data, size_t len)
{
	struct mapping *m = arg;

	if (m->key.kind == PORT_UDP)
		send_udp_error(m, to, error, data, len);
	else
		send_echo_error(m, to, error, data, len);
}

static void on_broken(void *arg, int error)
{
	struct mapping *m = arg;

	log_limited(LOG_LEVEL_WARN, "datagram: a port broke: %s", strerror(error));
	for (int i = 0; i < EXITS; i++)
		m->broken[i] = m->ports[i] != NULL;
	m->doomed = true; /* whatever is sent meanwhile: the next one gets a mapping of its own */
	loop_arm(m->all->c.loop, &m->timer, 0);
}

static const struct port_events port_events = { .on_datagram = on_datagram, .on_error = on_error, .on_broken = on_broken };

static struct mapping *mapping_new(struct datagrams *d, const struct key *key)
{
	struct mapping *m;

	if (d->mappings.n >= MAX_MAPPINGS)
		mapping_close(container_of(d->quiet.next, struct mapping, by_age));
	m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	*m = (struct mapping){ .all = d, .key = *key, .born = loop_now(d->c.loop), .timer.on_due = on_idle };
	table_add(&d->mappings, &m->node, key, sizeof(*key));
	touch(m);
	loop_arm(d->c.loop, &m->timer, m->used + IDLE_LONE * LOOP_SECOND);
	return m;
}

static struct mapping *mapping_for(struct datagrams *d, const struct key *key)
{
	struct table_node *n = table_find(&d->mappings, key, sizeof(*key));

	return n ? container_of(n, struct mapping, node) : mapping_new(d, key);
}

/* Opens the port on first use. Returns 0 or an errno. */
static int port_for(struct mapping *m, enum exit exit, struct port **ret)
{
	struct egress *egress = m->all->c.exits[exit];
	struct endpoint local = { .ip = loopback_from_alias(&m->key.local.ip), .port = m->key.local.port };
	int rc = 0;

	if (!egress || m->broken[exit])
		return ENETUNREACH;
	if (!m->ports[exit])
		rc = egress->ops->open(egress, m->key.kind, &local, &port_events, m, &m->ports[exit]);
	*ret = m->ports[exit];
	return rc;
}

/* Tells the program's socket what a send in the target would have returned. EMSGSIZE is "fragmentation needed" and tells nothing new:
 * the datagram is lost, as it would be on the path. */
static void answer_errno(struct datagrams *d, const struct packet *p, int error)
{
	struct gate *gate = *d->c.gate;
	struct icmp_error e = { .offender = p->dst.ip };
	struct ip src = loopback_from_alias(&p->src.ip), dst = loopback_from_alias(&p->dst.ip);

	if (error == EMSGSIZE || error == ENOBUFS || error == EAGAIN)
		return;
	packet_error_from_errno(error, ip_family(&p->dst.ip), &e.type, &e.code);
	gate_send(gate, packet_build_icmp_error(gate_buffer(gate), &e, p, &src, &dst), (struct packet_sum){ 0 });
}

static bool is_echo_request(const struct packet *p)
{
	return (p->protocol == IPPROTO_ICMP && p->icmp_type == ICMP_ECHO) || (p->protocol == IPPROTO_ICMPV6 && p->icmp_type == ICMPV6_ECHO_REQUEST);
}

/* True when this machine answers it. */
static bool on_question(struct datagrams *d, const struct packet *p, const struct endpoint *server)
{
	const struct dns_asker who = { .program = p->src, .server = *server };

	dns_watch_question(p->payload, p->payload_len, server);
	return *d->c.dns && routing_is_name_server(d->c.routing, server) && dns_local_take(*d->c.dns, &who, p->payload, p->payload_len);
}

void datagrams_on_answer(struct datagrams *d, const struct dns_asker *who, const uint8_t *message, size_t len)
{
	struct gate *gate = *d->c.gate;
	struct endpoint src = source_for(&who->program, &who->server);
	struct packet_sum sum = { 0 };
	size_t n = packet_build_udp(gate_buffer(gate), &src, &who->program, (struct packet_marks){ .ttl = 64 }, message, len, &sum);

	dns_watch_answer(d->c.routing->names, message, len, &who->server, loop_now(d->c.loop));
	gate_send(gate, n, sum);
}

void datagrams_on_packet(struct datagrams *d, const struct packet *p)
{
	bool udp = p->protocol == IPPROTO_UDP;
	struct key key = { .local = p->src, .kind = udp ? PORT_UDP : PORT_ECHO };
	struct endpoint remote = { .ip = loopback_from_alias(&p->dst.ip), .port = p->dst.port };
	/* A packet of the twin's lo lost one hop when dup sent it here. */
	struct packet_marks marks = { .ttl = (uint8_t)(p->ttl + (p->ttl < 255 && routing_is_local(d->c.routing, &remote.ip))),
				      .tos = p->tos,
				      .dont_fragment = p->dont_fragment };
	const uint8_t *data = p->payload;
	size_t len = p->payload_len;
	struct mapping *m;
	struct port *port;
	int rc;

	if (!udp && !is_echo_request(p))
		return;
	if (!udp) {
		key.local.port = p->echo_id;
		data = p->transport + 4;
		len = p->len - (size_t)(data - p->ip);
	}
	if (udp && remote.port == 53 && on_question(d, p, &remote))
		return;
	m = mapping_for(d, &key);
	if (!m)
		return;
	rc = port_for(m, routing_pick(d->c.routing, p->protocol, &remote, loop_now(d->c.loop)), &port);
	if (rc == 0)
		rc = port->egress->ops->send(port, &remote, marks, data, len);
	m->sent++;
	touch(m);
	if (rc)
		answer_errno(d, p, rc);
}

void datagrams_reconcile(struct datagrams *d, bool (*alive)(void *arg, const struct endpoint *local), void *arg, uint64_t min_age)
{
	uint64_t now = loop_now(d->c.loop);

	for (struct table_node *n = table_first(&d->mappings), *next; n; n = next) {
		struct mapping *m = container_of(n, struct mapping, node);
		struct endpoint local = { .ip = loopback_from_alias(&m->key.local.ip), .port = m->key.local.port };

		next = table_after(&d->mappings, n);
		if (m->key.kind == PORT_UDP && now - m->born >= min_age && !alive(arg, &local))
			mapping_close(m);
	}
}

size_t datagrams_count(const struct datagrams *d)
{
	return d->mappings.n;
}
