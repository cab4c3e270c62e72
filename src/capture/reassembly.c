// SPDX-License-Identifier: MIT
/* TCP connections out of captured packets.
 *
 *   SYN ─► OPENING ─► SYN and ACK of the server, then anything of the client ─► OPEN ─► both FINs acknowledged, or a RST ─► CLOSED
 *   data of an unknown connection ─► OPEN, "in the middle"
 *
 * Bytes go by acknowledgements (half.c). Who captures sees all that the target's kernel sends, so a packet of the server's is what it says. A
 * RST of the client's counts where Linux would let it (RFC 5961 §3.2: exactly at the next sequence number, or at the end of the furthest
 * segment that was selectively acknowledged), and what came in order before it is given, as the receiver's application still reads it.
 *
 * A SYN on an open connection is answered by a challenge as long as the receiver has the connection (RFC 5961 §4.2). Only the server's SYN
 * and ACK for it show that there is a new one.
 *
 * Data in a SYN (RFC 7413) is kept until the server's answer shows whether it took it. */
#include "capture/reassembly.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"
#include "capture/half.h"

enum state { OPENING, OPEN, CLOSED };
enum { STATES = 3, AHEAD_MAX = 1 << 30 }; /* no window is larger (RFC 7323 §2.3) */

static const size_t room[STATES] = { REASSEMBLY_OPENING, REASSEMBLY_OPEN, REASSEMBLY_CLOSED };

struct connection {
	struct table_node node;
	struct list by_age;
	struct endpoint ends[SIDES]; /* the key */
	struct reassembly *reassembly;
	struct half halves[SIDES];
	void *owner;
	uint64_t seen;
	uint32_t isn, again; /* the client's; that of a SYN on the open connection */
	enum state state;
	bool answered, has_again, begun; /* begun: the whole handshake was seen */
};

struct reassembly {
	const struct reassembly_events *events;
	void *arg;
	bool wanted[SIDES];
	struct table connections;
	struct list by_age[STATES];
	size_t n[STATES];
	size_t bytes;
	uint64_t now;
};

static struct connection *of_node(struct table_node *node)
{
	return container_of(node, struct connection, node);
}

static bool equal(const struct table_node *node, const void *key)
{
	return memcmp(container_of(node, struct connection, node)->ends, key, sizeof(((struct connection *)0)->ends)) == 0;
}

struct reassembly *reassembly_new(const bool wanted[SIDES], const struct reassembly_events *events, void *arg)
{
	struct reassembly *r = calloc(1, sizeof(*r));

	if (!r || table_init(&r->connections, equal) < 0) {
		free(r);
		return NULL;
	}
	r->events = events;
	r->arg = arg;
	memcpy(r->wanted, wanted, sizeof(r->wanted));
	for (int i = 0; i < STATES; i++)
		list_init(&r->by_age[i]);
	return r;
}

static void clear(struct connection *c, enum side s)
{
	c->reassembly->bytes -= c->halves[s].bytes;
	half_clear(&c->halves[s]);
}

static void leave_state(struct connection *c)
{
	list_remove(&c->by_age);
	c->reassembly->n[c->state]--;
}

static void forget(struct connection *c)
{
	for (int s = 0; s < SIDES; s++)
		clear(c, (enum side)s);
	leave_state(c);
	table_remove(&c->reassembly->connections, &c->node);
	free(c);
}

void reassembly_free(struct reassembly *r)
{
	struct table_node *node;

	if (!r)
		return;
	while ((node = table_first(&r->connections)))
		forget(of_node(node));
	table_fini(&r->connections);
	free(r);
}

static void tell_close(struct connection *c, enum reassembly_close why)
{
	c->reassembly->events->on_close(c->reassembly->arg, c->owner, why);
}

/* Makes room first. The one that goes is of the same state, and never @c. */
static void enter_state(struct connection *c, enum state state)
{
	struct reassembly *r = c->reassembly;

	if (r->n[state] == room[state]) {
		struct connection *oldest = container_of(r->by_age[state].next, struct connection, by_age);

		if (state == OPEN)
			tell_close(oldest, CLOSE_FORGOTTEN);
		forget(oldest);
	}
	c->state = state;
	list_append(&r->by_age[state], &c->by_age);
	r->n[state]++;
}

static void change_state(struct connection *c, enum state state)
{
	leave_state(c);
	enter_state(c, state);
}

static void close_connection(struct connection *c, enum reassembly_close why)
{
	for (int s = 0; s < SIDES; s++)
		clear(c, (enum side)s);
	tell_close(c, why);
	change_state(c, CLOSED);
}

static struct connection *find(struct reassembly *r, const struct endpoint *client, const struct endpoint *server)
{
	const struct endpoint key[SIDES] = { *client, *server };
	struct table_node *node = table_find(&r->connections, key, sizeof(key));

	return node ? of_node(node) : NULL;
}

static struct connection *create(struct reassembly *r, const struct endpoint *client, const struct endpoint *server)
{
	struct connection *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	*c = (struct connection){ .reassembly = r, .ends = { *client, *server }, .seen = r->now };
	for (int s = 0; s < SIDES; s++)
		half_start(&c->halves[s], 0);
	table_add(&r->connections, &c->node, c->ends, sizeof(c->ends));
	enter_state(c, OPENING);
	return c;
}

/* What half.c tells, with the side that it is about. */
struct telling {
	struct connection *c;
	enum side side;
};

static void tell_data(void *arg, const uint8_t *data, size_t len)
{
	const struct telling *t = arg;
	struct reassembly *r = t->c->reassembly;

	r->events->on_data(r->arg, t->c->owner, t->side, data, len);
}

static void tell_gap(void *arg, size_t len)
{
	const struct telling *t = arg;
	struct reassembly *r = t->c->reassembly;

	if (r->wanted[t->side])
		r->events->on_gap(r->arg, t->c->owner, t->side, len);
}

static void tell_end(void *arg)
{
	const struct telling *t = arg;
	struct reassembly *r = t->c->reassembly;

	if (r->wanted[t->side])
		r->events->on_end(r->arg, t->c->owner, t->side);
}

static const struct half_events telling_events = { .on_data = tell_data, .on_gap = tell_gap, .on_end = tell_end };

static void give(struct connection *c, enum side side)
{
	struct telling t = { c, side };

	c->reassembly->bytes -= half_give(&c->halves[side], &telling_events, &t);
}

/* What waits isn't certain, or too much: the stream goes on behind @end. */
static void lose(struct connection *c, enum side side, uint32_t end)
{
	struct half *h = &c->halves[side], was = *h;

	if ((int32_t)(end - half_last(h)) < 0)
		end = half_last(h);
	clear(c, side);
	half_start(h, end);
	h->has_acked = was.has_acked;
	h->acked = was.acked;
	tell_gap(&(struct telling){ c, side }, end - was.next);
}

static void add_data(struct connection *c, enum side from, uint32_t seq, const struct packet *p)
{
	struct reassembly *r = c->reassembly;
	struct half *h = &c->halves[from];
	uint32_t end = seq + (uint32_t)(p->payload_len + p->missing);
	size_t had = h->bytes;
	int rc;

	if (!r->wanted[from] || h->ended || p->payload_len == 0)
		return;
	if ((int32_t)(end - h->next) > AHEAD_MAX || (int32_t)(end - h->next) <= 0)
		return;
	rc = half_add(h, seq, p->payload, p->payload_len);
	r->bytes += h->bytes - had;
	if (rc < 0 || h->bytes > REASSEMBLY_HALF_BYTES || r->bytes > REASSEMBLY_BYTES)
		lose(c, from, end);
}

static void on_syn(struct connection *c, const struct packet *p)
{
	if (c->state == OPEN) {
		c->has_again = p->tcp_seq != c->isn || !c->begun;
		c->again = p->tcp_seq;
		return;
	}
	if (c->state == CLOSED)
		change_state(c, OPENING);
	if (!c->answered || p->tcp_seq != c->isn) {
		c->answered = false;
		c->isn = p->tcp_seq;
		clear(c, SIDE_CLIENT);
		half_start(&c->halves[SIDE_CLIENT], c->isn + 1);
		add_data(c, SIDE_CLIENT, c->isn + 1, p);
	}
}

static void on_answer(struct connection *c, const struct packet *p)
{
	if (c->state == OPEN && c->has_again && p->tcp_ack == c->again + 1) {
		close_connection(c, CLOSE_FORGOTTEN);
		change_state(c, OPENING);
		c->answered = false;
		c->isn = c->again;
		half_start(&c->halves[SIDE_CLIENT], c->isn + 1);
	}
	if (c->state != OPENING || c->answered || p->tcp_ack - c->isn - 1 > half_last(&c->halves[SIDE_CLIENT]) - c->isn - 1)
		return;
	if (p->tcp_ack == c->isn + 1) { /* data of the SYN was not taken: it will come again, and need not be the same */
		clear(c, SIDE_CLIENT);
		half_start(&c->halves[SIDE_CLIENT], c->isn + 1);
	}
	half_ack(&c->halves[SIDE_CLIENT], p->tcp_ack);
	half_start(&c->halves[SIDE_SERVER], p->tcp_seq + 1);
	add_data(c, SIDE_SERVER, p->tcp_seq + 1, p);
	c->answered = true;
}

static void open_connection(struct connection *c, bool middle)
{
	struct reassembly *r = c->reassembly;

	change_state(c, OPEN);
	c->begun = !middle;
	c->has_again = false;
	c->owner = r->events->on_open(r->arg, c->ends, middle);
}

/* The client's counts where the receiver's next byte is, or where the furthest segment ends that it has. */
static void on_reset(struct connection *c, enum side from, const struct packet *p)
{
	struct half *client = &c->halves[SIDE_CLIENT];

	if (c->state == OPENING) {
		if (c->answered ? from == SIDE_SERVER || p->tcp_seq == half_end(client) : from == SIDE_SERVER)
			forget(c);
		return;
	}
	if (from == SIDE_CLIENT && c->reassembly->wanted[SIDE_CLIENT] && p->tcp_seq != half_end(client) && p->tcp_seq != half_last(client) &&
	    !(client->has_fin && p->tcp_seq == client->fin + 1))
		return;
	for (int s = 0; s < SIDES; s++) {
		half_ack(&c->halves[s], half_end(&c->halves[s]));
		give(c, (enum side)s);
	}
	close_connection(c, CLOSE_RESET);
}

/* A segment of an open connection, with ACK. */
static void on_segment(struct connection *c, enum side from, const struct packet *p)
{
	enum side to = from == SIDE_CLIENT ? SIDE_SERVER : SIDE_CLIENT;
	struct half *sent = &c->halves[from], *other = &c->halves[to];

	if ((int32_t)(p->tcp_ack - other->next) < AHEAD_MAX)
		half_ack(other, p->tcp_ack);
	add_data(c, from, p->tcp_seq, p);
	if (p->tcp_flags & TCP_FIN)
		half_add_fin(sent, p->tcp_seq + (uint32_t)(p->payload_len + p->missing));
	give(c, to);
	give(c, from);
	if (sent->ended && other->ended)
		close_connection(c, CLOSE_ENDED);
}

static void on_unknown(struct reassembly *r, enum side from, const struct packet *p)
{
	const struct endpoint *client = from == SIDE_CLIENT ? &p->src : &p->dst, *server = from == SIDE_CLIENT ? &p->dst : &p->src;
	struct connection *c;

	if ((p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN && from == SIDE_CLIENT) {
		c = create(r, client, server);
		if (c)
			on_syn(c, p);
		return;
	}
	if ((p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_ACK || !p->payload_len || !r->wanted[from])
		return;
	c = create(r, client, server);
	if (!c)
		return;
	half_start(&c->halves[from], p->tcp_seq);
	half_start(&c->halves[from == SIDE_CLIENT ? SIDE_SERVER : SIDE_CLIENT], p->tcp_ack);
	open_connection(c, true);
	on_segment(c, from, p);
}

static void on_known(struct connection *c, enum side from, const struct packet *p)
{
	uint8_t kind = p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST);

	if (kind == TCP_SYN && from == SIDE_CLIENT)
		on_syn(c, p);
	else if (kind == (TCP_SYN | TCP_ACK) && from == SIDE_SERVER)
		on_answer(c, p);
	else if (kind & TCP_SYN || c->state == CLOSED)
		return;
	else if (kind & TCP_RST)
		on_reset(c, from, p);
	else if (kind & TCP_ACK && (c->state == OPEN || c->answered)) {
		if (c->state == OPENING)
			open_connection(c, false);
		on_segment(c, from, p);
	}
}

static void touch(struct connection *c)
{
	c->seen = c->reassembly->now;
	list_remove(&c->by_age);
	list_append(&c->reassembly->by_age[c->state], &c->by_age);
}

void reassembly_packet(struct reassembly *r, const struct packet *p, enum side from, uint64_t now)
{
	struct connection *c;

	if (p->protocol != IPPROTO_TCP || !p->transport || packet_is_fragment(p))
		return;
	if ((c = find(r, &p->src, &p->dst)))
		from = SIDE_CLIENT;
	else if ((c = find(r, &p->dst, &p->src)))
		from = SIDE_SERVER;
	r->now = now;
	if (c) {
		touch(c);
		on_known(c, from, p);
	} else {
		on_unknown(r, from, p);
	}
}

void reassembly_expire(struct reassembly *r, uint64_t before, uint64_t now, size_t max,
		       bool (*is_gone)(void *arg, const struct endpoint ends[SIDES]))
{
	r->now = now;
	for (; max && r->n[OPEN]; max--) {
		struct connection *c = container_of(r->by_age[OPEN].next, struct connection, by_age);

		if (c->seen >= before)
			return;
		if (is_gone(r->arg, c->ends))
			close_connection(c, CLOSE_FORGOTTEN);
		else
			touch(c);
	}
}

size_t reassembly_count(const struct reassembly *r)
{
	return r->n[OPEN];
}

size_t reassembly_bytes(const struct reassembly *r)
{
	return r->bytes;
}
