// SPDX-License-Identifier: MIT
/* The program's TCP connections, from the SYN to the join.
 *
 * A flow lives from its first SYN until its accepted socket is joined with the egress's connection; from then on nothing here knows it.
 *
 *   DIALING   the egress connects. A repeated SYN is ignored. Ends: connected → OFFERED; an error → the answer goes out, FAILED;
 *             the program's socket is gone (reconcile) → abandoned
 *   OFFERED   the SYN was given back to the relay namespace, whose kernel now shakes hands with the twin's. A repeated SYN is given back
 *             again. Ends: accepted → joined; the program's socket is gone (reconcile, when the offer has waited for OFFER_STALE), or
 *             OFFER_TIMEOUT → abandoned
 *   FAILED    the answer was sent. A socket that was locked by its own connect() at that moment does not take an ICMP error, and sends
 *             its SYN again: then the answer is repeated. Ends: FAILED_TIMEOUT
 *
 * A SYN with another sequence number is another connection: the old flow is abandoned.
 *
 * Data in a SYN (TCP Fast Open without a cookie, RFC 7413) is left out, as a server without Fast Open does: it is sent again.
 *
 * A descriptor for the connection to come is kept from the first SYN on. So where descriptors run out, connect() fails, and nothing is
 * offered that can't be accepted. */
#include "session/tcp.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/table.h"
#include "session/dns_stream.h"
#include "twin/layout.h"

enum { SYN_MAX = 160 };		 /* headers with all their options: 40 + 60, and an extension header or two */
enum { OFFER_TIMEOUT = 5 };	 /* seconds */
enum { OFFER_STALE = 100 };	 /* milliseconds */
enum { FAILED_TIMEOUT = 4 };	 /* seconds: longer than the first repetition takes */
enum { MAX_FLOWS = 65536 };	 /* not joined yet */

enum state { DIALING, OFFERED, FAILED };

struct key {
	struct endpoint program, remote; /* as they stand in the packet */
};

struct flow {
	struct tcp *tcp;
	struct table_node node;
	struct key key;
	enum state state;
	struct dial *dial;
	int place; /* the descriptor that is kept; -1: none */
	int error; /* FAILED */
	struct timer timer;
	struct deferred reap;
	uint32_t seq;
	size_t syn_len;
	uint8_t syn[SYN_MAX];
};

struct tcp {
	struct tcp_context c;
	struct table flows;
	size_t pending;
};

static bool flow_equal(const struct table_node *node, const void *key)
{
	return memcmp(&container_of(node, const struct flow, node)->key, key, sizeof(struct key)) == 0;
}

struct tcp *tcp_new(const struct tcp_context *context, struct error *err)
{
	struct tcp *t = calloc(1, sizeof(*t));

	if (!t || table_init(&t->flows, flow_equal) < 0) {
		error_set(err, ENOMEM, "make the table of connections");
		free(t);
		return NULL;
	}
	t->c = *context;
	return t;
}

static void flow_free(struct deferred *d)
{
	free(container_of(d, struct flow, reap));
}

static bool is_pending(const struct flow *f)
{
	return f->state != FAILED;
}

/* Takes the flow out of everything; a dial that is still its own is abandoned. */
static void flow_end(struct flow *f)
{
	struct tcp *t = f->tcp;

	if (f->dial)
		f->dial->egress->ops->abandon(f->dial);
	f->dial = NULL;
	fd_closep(&f->place);
	t->pending -= is_pending(f);
	loop_disarm(t->c.loop, &f->timer);
	table_remove(&t->flows, &f->node);
	loop_defer(t->c.loop, &f->reap, flow_free);
}

static void answer(struct tcp *t, const struct packet *syn, int error);

void tcp_end_all(struct tcp *t, int error)
{
	for (struct table_node *n = table_first(&t->flows), *next; n; n = next) {
		struct flow *f = container_of(n, struct flow, node);
		struct packet syn;

		next = table_after(&t->flows, n);
		if (error && f->state == DIALING && packet_parse(f->syn, f->syn_len, &syn) == 0)
			answer(t, &syn, error);
		flow_end(f);
	}
}

/* Answers a SYN so that connect() fails with @error; ETIMEDOUT is answered by saying nothing. */
static void answer(struct tcp *t, const struct packet *syn, int error)
{
	struct gate *gate = *t->c.gate;
	struct icmp_error e = { .offender = syn->dst.ip };
	struct ip src = loopback_from_alias(&syn->src.ip), dst = loopback_from_alias(&syn->dst.ip);

	if (error == ETIMEDOUT)
		return;
	if (error == ECONNREFUSED || error == ECONNRESET || error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM) {
		gate_send(gate, packet_build_reset(gate_buffer(gate), syn), (struct packet_sum){ 0 });
		return;
	}
	packet_error_from_errno(error, ip_family(&syn->dst.ip), &e.type, &e.code);
	gate_send(gate, packet_build_icmp_error(gate_buffer(gate), &e, syn, &src, &dst), (struct packet_sum){ 0 });
}

static void fail(struct flow *f, int error)
{
	char text[ENDPOINT_TEXT];
	struct packet syn;

	log_debug("tcp: connect to %s: %s", endpoint_format(&f->key.remote, text), strerror(error));
	f->state = FAILED;
	f->error = error;
	f->dial = NULL;
	f->tcp->pending--;
	fd_closep(&f->place);
	loop_arm(f->tcp->c.loop, &f->timer, loop_now(f->tcp->c.loop) + FAILED_TIMEOUT * LOOP_SECOND);
	if (packet_parse(f->syn, f->syn_len, &syn) == 0)
		answer(f->tcp, &syn, error);
}

static void offer(struct flow *f)
{
	f->state = OFFERED;
	loop_arm(f->tcp->c.loop, &f->timer, loop_now(f->tcp->c.loop) + OFFER_TIMEOUT * LOOP_SECOND);
	fd_closep(&f->place);
	gate_give_back(*f->tcp->c.gate, f->syn, f->syn_len);
}

static void on_timeout(struct timer *timer)
{
	flow_end(container_of(timer, struct flow, timer));
}

static void take_outcome(struct flow *f, int error)
{
	if (error == 0)
		offer(f);
	else if (error != EINPROGRESS)
		fail(f, error);
}

static void on_dialed(void *arg, int error)
{
	take_outcome(arg, error);
}

/* The program's own source port is asked for, so that the peer sees the one that getsockname() tells. */
static void dial(struct flow *f)
{
	struct tcp *t = f->tcp;
	struct endpoint local = { .ip = loopback_from_alias(&f->key.program.ip), .port = f->key.program.port };
	struct endpoint remote = { .ip = loopback_from_alias(&f->key.remote.ip), .port = f->key.remote.port };
	struct egress *egress = t->c.exits[routing_pick(t->c.routing, IPPROTO_TCP, &remote, loop_now(t->c.loop))];

	f->place = egress ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) : -1;
	if (!egress)
		take_outcome(f, ENETUNREACH);
	else if (f->place < 0)
		take_outcome(f, errno);
	else
		take_outcome(f, egress->ops->dial(egress, &local, &remote, on_dialed, f, &f->dial));
}

static struct flow *flow_new(struct tcp *t, const struct key *key, const struct packet *syn)
{
	size_t len = syn->len - syn->payload_len;
	struct flow *f = len <= SYN_MAX && t->flows.n < MAX_FLOWS ? calloc(1, sizeof(*f)) : NULL;
	struct packet copy;

	if (!f)
		return NULL;
	*f = (struct flow){ .tcp = t, .key = *key, .place = -1, .seq = syn->tcp_seq, .syn_len = len, .timer.on_due = on_timeout };
	memcpy(f->syn, syn->ip, len);
	packet_cut_payload(f->syn, syn);
	if (packet_parse(f->syn, f->syn_len, &copy) == 0)
		packet_complete_sum(f->syn, &copy);
	table_add(&t->flows, &f->node, &f->key, sizeof(f->key));
	t->pending++;
	return f;
}

static void repeat(struct flow *f, const struct packet *syn)
{
	if (f->state == OFFERED)
		gate_give_back(*f->tcp->c.gate, f->syn, f->syn_len);
	else if (f->state == FAILED)
		answer(f->tcp, syn, f->error);
}

static struct flow *find(struct tcp *t, const struct key *key)
{
	struct table_node *n = table_find(&t->flows, key, sizeof(*key));

	return n ? container_of(n, struct flow, node) : NULL;
}

void tcp_on_syn(struct tcp *t, const struct packet *syn)
{
	const struct key key = { .program = syn->src, .remote = syn->dst };
	struct flow *f = find(t, &key);

	if (f && f->seq == syn->tcp_seq) {
		repeat(f, syn);
		return;
	}
	if (f)
		flow_end(f);
	f = flow_new(t, &key, syn);
	if (f)
		dial(f);
	else
		answer(t, syn, ENOBUFS);
}

/* To a name server: message by message. */
static void join_messages(struct tcp *t, struct dial *d, int fd, const struct endpoint *from, const struct endpoint *to)
{
	int server = egress_dial_take(d);

	if (server < 0)
		close(fd);
	else
		dns_streams_join(*t->c.dns_streams, fd, server, from, to);
}

void tcp_on_connection(struct tcp *t, int fd, const struct endpoint *from)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct key key = { .program = *from };
	struct flow *f = NULL;
	struct endpoint remote;
	struct dial *d;

	if (getsockname(fd, (struct sockaddr *)&sa, &len) == 0 && endpoint_from_sockaddr(&sa, &key.remote))
		f = find(t, &key);
	if (!f || f->state != OFFERED) {
		close(fd); /* with a reset: the flow was abandoned in between */
		return;
	}
	d = f->dial;
	f->dial = NULL;
	flow_end(f);
	remote = (struct endpoint){ .ip = loopback_from_alias(&key.remote.ip), .port = key.remote.port };
	if (*t->c.dns_streams && routing_is_name_server(t->c.routing, &remote))
		join_messages(t, d, fd, from, &remote);
	else
		d->egress->ops->join(d, fd);
}

static bool is_stale_offer(const struct flow *f)
{
	return f->state == OFFERED && loop_now(f->tcp->c.loop) >= f->timer.due - OFFER_TIMEOUT * LOOP_SECOND + OFFER_STALE * (uint64_t)LOOP_MS;
}

static bool is_dialing(const struct flow *f)
{
	return f->state == DIALING;
}

typedef bool (*alive_fn)(void *arg, const struct endpoint *local, const struct endpoint *remote);

static void end_dead(struct tcp *t, bool (*is_of_these)(const struct flow *), alive_fn alive, void *arg)
{
	char text[ENDPOINT_TEXT];

	for (struct table_node *n = table_first(&t->flows), *next; n; n = next) {
		struct flow *f = container_of(n, struct flow, node);
		struct endpoint local = { .ip = loopback_from_alias(&f->key.program.ip), .port = f->key.program.port };
		struct endpoint remote = { .ip = loopback_from_alias(&f->key.remote.ip), .port = f->key.remote.port };

		next = table_after(&t->flows, n);
		if (!is_of_these(f) || alive(arg, &local, &remote))
			continue;
		log_debug("tcp: nobody is there to take the connection to %s", endpoint_format(&remote, text));
		flow_end(f);
	}
}

void tcp_reconcile(struct tcp *t, alive_fn alive, void *arg)
{
	end_dead(t, is_dialing, alive, arg);
}

bool tcp_has_stale_offer(const struct tcp *t)
{
	for (struct table_node *n = table_first(&t->flows); n; n = table_after(&t->flows, n))
		if (is_stale_offer(container_of(n, struct flow, node)))
			return true;
	return false;
}

void tcp_reconcile_offers(struct tcp *t, alive_fn alive, void *arg)
{
	end_dead(t, is_stale_offer, alive, arg);
}

size_t tcp_pending(const struct tcp *t)
{
	return t->pending;
}
