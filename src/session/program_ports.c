// SPDX-License-Identifier: MIT
/* Datagrams to the program.
 *
 * A UDP port stands for one client. Its datagrams become packets to the twin with the client as their source; what the program's socket
 * sends back arrives as a packet among all others from the twin. The pair of client and program's socket tells them apart: only what answers
 * such a pair is taken. Everything else that the program sends to the same client is its own business and leaves from the target.
 * Addresses are those on the wire between twin and relay, loopback aliases included. */
#include "session/program_ports.h"

#include <errno.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/table.h"
#include "net/bytes.h"

enum { MAX_PAIRS = 16 /* of one port */, PORT_TRIES = 8, FIRST_PORT = 32768, PORTS = 28232 };

struct pair_key {
	struct endpoint client, program;
};

struct program_port {
	struct port port;
	struct list node;
	struct table_node by_client;
	struct endpoint client;
	const struct port_events *events;
	void *arg;
	struct list pairs;
	unsigned int n_pairs;
};

struct pair {
	struct table_node node;
	struct list in_port;
	struct program_port *port;
	struct pair_key key;
};

struct program_ports {
	struct egress egress;
	struct gate **gate;
	struct list ports;
	struct table clients, pairs;
	uint32_t next_port;
};

static struct program_ports *egress_of(struct egress *e)
{
	return (struct program_ports *)(void *)e;
}

static struct program_port *port_of(struct port *p)
{
	return (struct program_port *)(void *)p;
}

static bool client_equal(const struct table_node *node, const void *key)
{
	return endpoint_equal(&container_of(node, const struct program_port, by_client)->client, key);
}

static bool pair_equal(const struct table_node *node, const void *key)
{
	return memcmp(&container_of(node, const struct pair, node)->key, key, sizeof(struct pair_key)) == 0;
}

/* Two clients may come by one alias with the same port (theirs differ in the address, which the alias doesn't show). */
static bool choose_port(struct program_ports *e, struct endpoint *client)
{
	for (unsigned int i = 0; table_find(&e->clients, client, sizeof(*client)); i++) {
		if (i == PORT_TRIES)
			return false;
		client->port = (uint16_t)(FIRST_PORT + e->next_port++ % PORTS);
	}
	return true;
}

static int open_port(struct egress *egress, enum port_kind kind, const struct endpoint *local,
		     const struct port_events *events, void *arg, struct port **ret_port)
{
	struct program_ports *e = egress_of(egress);
	struct program_port *p;

	if (kind != PORT_UDP)
		return EPROTONOSUPPORT;
	p = calloc(1, sizeof(*p));
	if (!p)
		return ENOMEM;
	*p = (struct program_port){ .port.egress = egress, .client = *local, .events = events, .arg = arg };
	if (!choose_port(e, &p->client)) {
		free(p);
		return EADDRINUSE;
	}
	list_init(&p->pairs);
	list_append(&e->ports, &p->node);
	table_add(&e->clients, &p->by_client, &p->client, sizeof(p->client));
	*ret_port = &p->port;
	return 0;
}

static void pair_free(struct program_ports *e, struct pair *pair)
{
	table_remove(&e->pairs, &pair->node);
	list_remove(&pair->in_port);
	pair->port->n_pairs--;
	free(pair);
}

static int remember(struct program_ports *e, struct program_port *p, const struct endpoint *program)
{
	const struct pair_key key = { p->client, *program };
	struct pair *pair;

	if (table_find(&e->pairs, &key, sizeof(key)))
		return 0;
	if (p->n_pairs == MAX_PAIRS)
		pair_free(e, container_of(p->pairs.next, struct pair, in_port));
	pair = calloc(1, sizeof(*pair));
	if (!pair)
		return ENOMEM;
	*pair = (struct pair){ .port = p, .key = key };
	table_add(&e->pairs, &pair->node, &key, sizeof(key));
	list_append(&p->pairs, &pair->in_port);
	p->n_pairs++;
	return 0;
}

static int send_datagram(struct port *port, const struct endpoint *to, struct packet_marks marks, const void *data,
			 size_t len)
{
	struct program_port *p = port_of(port);
	struct program_ports *e = egress_of(port->egress);
	struct packet_sum sum = { 0 };
	size_t n;
	int r;

	r = remember(e, p, to);
	if (r)
		return r;
	n = packet_build_udp(gate_buffer(*e->gate), &p->client, to, marks, data, len, &sum);
	if (!n)
		return EMSGSIZE;
	gate_send(*e->gate, n, sum);
	return 0;
}

static void close_port(struct port *port)
{
	struct program_port *p = port_of(port);
	struct program_ports *e = egress_of(port->egress);

	while (!list_empty(&p->pairs))
		pair_free(e, container_of(p->pairs.next, struct pair, in_port));
	table_remove(&e->clients, &p->by_client);
	list_remove(&p->node);
	free(p);
}

static const struct egress_ops ops = {
	.open = open_port,
	.send = send_datagram,
	.close = close_port,
};

static struct pair *find_pair(struct program_ports *e, const struct endpoint *client, const struct endpoint *program)
{
	const struct pair_key key = { *client, *program };
	struct table_node *n = table_find(&e->pairs, &key, sizeof(key));

	return n ? container_of(n, struct pair, node) : NULL;
}

/* The UDP datagram that an ICMP error quotes: false when it is none. @ret_data is what came back of its payload. */
static bool read_quote(const struct packet *p, struct endpoint *ret_src, struct endpoint *ret_dst,
		       const uint8_t **ret_data, size_t *ret_len)
{
	const uint8_t *inner = p->transport + 8, *udp;
	size_t len = p->len - (size_t)(inner - p->ip), header;
	bool v4 = p->protocol == IPPROTO_ICMP;

	if (p->len < (size_t)(inner - p->ip) || len < 1)
		return false;
	header = v4 ? (size_t)(inner[0] & 15) * 4 : 40;
	if (len < header + 8 || header < 20 || inner[v4 ? 9 : 6] != IPPROTO_UDP)
		return false;
	udp = inner + header;
	*ret_src = (struct endpoint){ .ip = v4 ? ip_from_v4(inner + 12) : ip_from_v6(inner + 8), .port = get16(udp) };
	*ret_dst =
	    (struct endpoint){ .ip = v4 ? ip_from_v4(inner + 16) : ip_from_v6(inner + 24), .port = get16(udp + 2) };
	*ret_data = udp + 8;
	*ret_len = len - header - 8;
	return true;
}

static bool is_error(const struct packet *p)
{
	if (p->protocol == IPPROTO_ICMP)
		return p->icmp_type == ICMP_DEST_UNREACH || p->icmp_type == ICMP_TIME_EXCEEDED;
	return p->protocol == IPPROTO_ICMPV6 &&
	       (p->icmp_type == ICMPV6_DEST_UNREACH || p->icmp_type == ICMPV6_TIME_EXCEED);
}

static bool on_error(struct program_ports *e, const struct packet *p)
{
	const struct icmp_error error = { .offender = p->src.ip, .type = p->icmp_type, .code = p->icmp_code };
	struct endpoint client, program;
	const uint8_t *data;
	size_t len;
	struct pair *pair;

	if (!p->transport || !read_quote(p, &client, &program, &data, &len) ||
	    !(pair = find_pair(e, &client, &program)))
		return false;
	pair->port->events->on_error(pair->port->arg, &program, &error, data, len);
	return true;
}

bool program_ports_on_packet(struct egress *egress, const struct packet *p)
{
	struct program_ports *e = egress_of(egress);
	struct pair *pair;

	if (is_error(p))
		return on_error(e, p);
	if (p->protocol != IPPROTO_UDP || !(pair = find_pair(e, &p->dst, &p->src)))
		return false;
	pair->port->events->on_datagram(pair->port->arg, &p->src, (struct packet_marks){ .ttl = p->ttl, .tos = p->tos },
					p->payload, p->payload_len);
	return true;
}

void program_ports_break(struct egress *egress)
{
	struct program_ports *e = egress_of(egress);

	for (struct list *l = e->ports.next, *next; l != &e->ports; l = next) {
		struct program_port *p = container_of(l, struct program_port, node);

		next = l->next;
		p->events->on_broken(p->arg, ECONNREFUSED);
	}
}

struct egress *program_ports_new(struct gate **gate)
{
	struct program_ports *e = calloc(1, sizeof(*e));

	if (!e || table_init(&e->clients, client_equal) < 0) {
		free(e);
		return NULL;
	}
	if (table_init(&e->pairs, pair_equal) < 0) {
		table_fini(&e->clients);
		free(e);
		return NULL;
	}
	e->egress.ops = &ops;
	e->gate = gate;
	list_init(&e->ports);
	return &e->egress;
}

void program_ports_free(struct egress *egress)
{
	struct program_ports *e = egress_of(egress);

	if (!e)
		return;
	while (!list_empty(&e->ports))
		close_port(&container_of(e->ports.next, struct program_port, node)->port);
	table_fini(&e->clients);
	table_fini(&e->pairs);
	free(e);
}
