// SPDX-License-Identifier: MIT
/* An HTTP connection's life.
 *
 *              ┌────────────────────────────── not HTTP, TLS, the server speaks first ─────────────────────┐
 *   SNIFFS ────┤                                                                                            ▼
 *              └─ HTTP/1 ─► DIVIDES ── upgrade, CONNECT, the last request, a half-close, an unsafe message ─► RELAYS ─► a pump
 *                              └── the program failed ─► LINGERS ─► OVER
 *   SNIFFS ─── HTTP/2 ─► MULTIPLEXES ── it is over, or not HTTP/2 any more ─► LINGERS
 *
 * Requests go to `current`, as many as the client sends. One for another upstream waits until `current` has answered all it has: then
 * answers are in order by themselves, and requests take effect in the order in which they were sent. What was forwarded is forgotten; so
 * nothing can be sent twice.
 *
 * No request is changed, and no answer: the bytes of a read are divided in place, and those for one upstream go out with one write. Bytes
 * are kept only where a socket doesn't take them, where a head isn't complete, and for a filter on bodies.
 *
 * All the ways in which HTTP on a connection ends become RELAYS: what is kept goes out, then a pump gets both sockets. It passes on ends and
 * resets as they come, and the state here is freed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/http_internal.h"
#include "agent/tls_link.h"
#include "base/log.h"
#include "http/sniff.h"
#include "relay/pump.h"

static size_t count;
/* All connections that aren't plain ones yet, and those that are. */
static struct list conns = { &conns, &conns }, all_plain = { &all_plain, &all_plain };

/* One that is a pump's. */
struct plain {
	struct list node, pump; /* pump: a list of it alone */
	struct socket_tie tie;	/* of the server's side */
	struct deferred reap;
	struct loop *loop;
};

size_t http_count(void)
{
	return count;
}

static void on_reap(struct deferred *d)
{
	struct http_conn *c = container_of(d, struct http_conn, reap);

	http_port_unref(c->port);
	free(c);
}

static void undecide(struct http_conn *c)
{
	http_taker_unref(c->wanted);
	c->wanted = NULL;
	c->kept = c->decided = false;
}

/* Everything goes; whatever is open then is reset, since SO_LINGER is 0. */
void http_reset(struct http_conn *c)
{
	if (c->stage == HTTP_OVER)
		return;
	c->stage = HTTP_OVER;
	loop_disarm(c->port->loop, &c->timer);
	while (!list_empty(&c->upstreams))
		http_upstream_free(container_of(c->upstreams.next, struct http_upstream, node));
	c->current = NULL;
	h2_free(c->h2);
	c->h2 = NULL;
	jq_answers_fini(&c->answers);
	undecide(c);
	http_end_close(c, &c->client);
	http_kept_take(&c->held, backlog_len(&c->held));
	backlog_fini(&c->held);
	list_remove(&c->node);
	list_remove(&c->of_all);
	count--;
	if (c->peers.release)
		c->peers.release(c->peers.app);
	loop_defer(c->port->loop, &c->reap, on_reap);
}

void http_end(struct http_conn *c)
{
	http_end_in_peace(&c->client, false);
	http_reset(c);
}

static void on_timer(struct timer *t)
{
	struct http_conn *c = container_of(t, struct http_conn, timer);
	uint64_t next;

	if (c->stage == HTTP_LINGERS) {
		http_end(c);
	} else if (c->h2) {
		next = h2_give_up_bodies(c->h2, loop_now(c->port->loop));
		if (next)
			loop_arm(c->port->loop, &c->timer, next);
		http_run(c);
	} else if (c->wants_body) {
		c->gave_up_body = true;
		http_run(c);
	}
}

static void on_answered(struct deferred *d)
{
	struct http_conn *c = container_of(d, struct http_conn, answered);

	if (c->h2)
		h2_take_answers(c->h2);
	c->asking = c->starved = false;
	http_run(c);
}

/* The next turn: what tells it may be on its way to free the filter. */
void http_on_answers(struct http_conn *c)
{
	loop_defer(c->port->loop, &c->answered, on_answered);
}

static void on_answers(struct jq_answers *a)
{
	http_on_answers(container_of(a, struct http_conn, answers));
}

void http_set_timer(struct http_conn *c, unsigned int ms)
{
	loop_arm(c->port->loop, &c->timer, loop_now(c->port->loop) + ms * (uint64_t)LOOP_MS);
}

/* Relaying */

static void hand_over(struct http_conn *c, struct backlog *from, struct http_end *to)
{
	http_end_write(c, to, backlog_first(from), backlog_len(from));
	http_kept_take(from, backlog_len(from));
}

/* Where all goes that no filter wants. Before the first request that is the connection which was made with the client's, also when it has said
 * something, or has ended: its client is to hear that. */
static struct http_upstream *home_of(struct http_conn *c)
{
	struct http_taker *home = http_home(c);

	if (c->stage == HTTP_SNIFFS && c->current->taker == home && !c->current->failed)
		return c->current;
	return http_upstream_to(c, home);
}

void http_relay(struct http_conn *c, struct http_upstream *u)
{
	if (!u)
		u = home_of(c);
	c->stage = HTTP_RELAYS;
	c->current = u;
	if (!u)
		return;
	for (struct list *n = c->upstreams.next, *next; n != &c->upstreams; n = next) {
		next = n->next;
		if (n != &u->node)
			http_upstream_drop(container_of(n, struct http_upstream, node));
	}
	hand_over(c, &c->held, &u->end);
	hand_over(c, &u->held, &c->client);
}

static void on_plain_reap(struct deferred *d)
{
	free(container_of(d, struct plain, reap));
}

static void on_pump_end(void *arg)
{
	struct plain *p = arg;

	socket_untie(&p->tie);
	list_remove(&p->node);
	loop_defer(p->loop, &p->reap, on_plain_reap);
	count--;
}

static void on_plain_lost(struct socket_tie *t)
{
	pump_reset_all(&container_of(t, struct plain, tie)->pump);
}

/* Owns both descriptors. */
static void start_pump(struct loop *loop, int client, int server, struct egress *egress)
{
	struct plain *p = calloc(1, sizeof(*p));

	if (!p) {
		close(client);
		close(server);
		return;
	}
	p->loop = loop;
	list_init(&p->pump);
	if (pump_start(loop, client, server, &p->pump, on_pump_end, p) < 0) {
		free(p);
		return;
	}
	list_append(&all_plain, &p->node);
	if (egress)
		socket_tie(&p->tie, egress, on_plain_lost);
	count++;
}

/* Hands both sockets to a pump when all that is kept has gone out. */
static void relay(struct http_conn *c)
{
	struct http_upstream *u = c->current;
	struct loop *loop = c->port->loop;
	struct tls_link *link_a = NULL, *link_b = NULL;
	struct egress *egress;
	int a, b;

	if (!u || u->failed || u->end.lost || c->client.broken) {
		http_reset(c);
		return;
	}
	if (u->end.watch.fd < 0 || backlog_len(&c->client.out) || backlog_len(&u->end.out))
		return;
	if (u->end.broken && u->end.ended) {
		http_reset(c);
		return;
	}
	egress = u->end.tie.egress;
	a = http_end_take_fd(c, &c->client, &link_a);
	b = http_end_take_fd(c, &u->end, &link_b);
	http_reset(c);
	if (link_a && link_b)
		tls_link_join(link_a, link_b);
	if (a < 0 || b < 0)
		close(a < 0 ? b : a);
	else
		start_pump(loop, a, b, egress);
}

/* Failure */

static const char answer_502[] = "HTTP/1.1 502 Bad Gateway\r\n"
				 "Content-Type: text/plain; charset=utf-8\r\n"
				 "Content-Length: %zu\r\n"
				 "Connection: close\r\n"
				 "Mirrord-Error: %s\r\n"
				 "\r\n%s";

void http_fail(struct http_conn *c, struct http_upstream *u, const char *what, int error)
{
	char reason[256], body[300], text[sizeof(answer_502) + sizeof(reason) + sizeof(body)];
	bool head = c->n_waiting ? c->waiting[c->first] & 1 : c->request.head;

	snprintf(reason, sizeof(reason), "the local program %s%s%s", what, error > 0 ? ": " : "", error > 0 ? strerror(error) : "");
	if (u->taker && u->taker->ops)
		u->taker->ops->count(u->taker->arg, COUNTER_HTTP_FAILED, 1);
	log_limited(LOG_LEVEL_INFO, "http: %s", reason);
	if (u->begun) {
		http_reset(c);
		return;
	}
	snprintf(body, sizeof(body), "mirrord: %s\n", reason);
	snprintf(text, sizeof(text), answer_502, strlen(body), reason, head ? "" : body);
	http_end_write(c, &c->client, text, strlen(text));
	http_linger(c);
}

void http_linger(struct http_conn *c)
{
	while (!list_empty(&c->upstreams))
		http_upstream_drop(container_of(c->upstreams.next, struct http_upstream, node));
	c->stage = HTTP_LINGERS;
	http_set_timer(c, HTTP_LINGER_MS);
}

/* What the client sends still is read, since a close with bytes unread is a reset, which would overtake the answer. */
static void linger(struct http_conn *c)
{
	if (!backlog_len(&c->client.out) && !c->shut)
		c->shut = http_end_shut(c, &c->client);
	while (http_end_read(c, &c->client))
		;
	if (c->client.broken)
		http_reset(c);
	else if (c->client.ended && c->shut)
		http_end(c);
}

/* Sniffing */

/* A TLS connection that a filter wants for its server name or its client goes to the program as it is. */
static struct http_upstream *tls_upstream(struct http_conn *c, const struct tls_hello *hello)
{
	struct http_request r = { .client = c->peers.client.ip, .sni = hello->sni, .alpn = hello->alpn, .body_state = HTTP_BODY_UNKNOWN };
	struct http_taker *t;

	return http_choose(c, &r, &t) == HTTP_TAKEN ? http_upstream_to(c, t) : NULL;
}

static void sniff_tls(struct http_conn *c)
{
	static struct tls_hello hello;
	int n = -1;

	if (http_port_sees_connections(c->port))
		n = sniff_tls_hello(backlog_first(&c->held), backlog_len(&c->held), &hello);
	if (n)
		http_relay(c, n > 0 ? tls_upstream(c, &hello) : NULL);
}

/* A server that speaks first, or has ended, isn't kept waiting, unless its words can be HTTP/2's: then the client's will follow. */
static bool server_is_first(struct http_conn *c, struct http_end *e)
{
	uint8_t data[SNIFF_SETTINGS];
	ssize_t n;

	if (!http_end_has_something(c, e))
		return false;
	n = http_end_peek(c, e, data, sizeof(data));
	return n <= 0 || !sniff_server_is_http2(data, (size_t)n);
}

/* What the client has said so far, is it known what that is? */
static void recognize(struct http_conn *c)
{
	switch (sniff_client(backlog_first(&c->held), backlog_len(&c->held))) {
	case SNIFF_HTTP1:
		c->stage = HTTP_DIVIDES;
		break;
	case SNIFF_TLS:
		sniff_tls(c);
		break;
	case SNIFF_HTTP2:
		if (!http_multiplex_begin(c))
			http_reset(c);
		break;
	case SNIFF_NEITHER:
		http_relay(c, NULL);
		break;
	case SNIFF_MORE:
		break;
	}
}

/* True when it is known. An end may have come together with the bytes before it. */
static bool sniff(struct http_conn *c)
{
	size_t n;

	do {
		n = http_end_read(c, &c->client);
		if (n && !http_keep(&c->held, http_buffer, n))
			http_reset(c);
		else if (!n && server_is_first(c, &c->current->end))
			http_relay(c, NULL);
		else
			recognize(c);
	} while (n && c->stage == HTTP_SNIFFS);
	if (c->stage == HTTP_SNIFFS && (c->client.ended || c->leaving))
		http_relay(c, NULL);
	return c->stage != HTTP_SNIFFS;
}

bool http_is_idle(const struct http_conn *c)
{
	return !c->n_waiting && !c->in_body && !backlog_len(&c->held) && !backlog_len(&c->client.out);
}

/* One side's readiness, or an answer, may be what the other waited for: both are tried until nothing moves. */
static void divide(struct http_conn *c)
{
	bool moved;

	do {
		moved = http_take_requests(c);
		if (c->stage == HTTP_DIVIDES)
			moved |= http_take_answers(c);
	} while (moved && c->stage == HTTP_DIVIDES);
	if (c->stage != HTTP_DIVIDES)
		return;
	if (c->client.broken)
		http_reset(c);
	else if (c->leaving == HTTP_GOES && http_is_idle(c))
		http_end(c); /* as a server ends an idle connection */
}

void http_run(struct http_conn *c)
{
	if (c->stage == HTTP_SNIFFS && !sniff(c))
		return;
	if (c->stage == HTTP_DIVIDES)
		divide(c);
	if (c->stage == HTTP_MULTIPLEXES)
		http_multiplex(c);
	if (c->stage == HTTP_RELAYS)
		relay(c);
	if (c->stage == HTTP_LINGERS)
		linger(c);
}

static void on_client(struct watch *w, uint32_t events)
{
	struct http_conn *c = container_of(container_of(w, struct http_end, watch), struct http_conn, client);

	http_end_note(&c->client, events);
	if (events & (EPOLLOUT | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		http_end_flush(c, &c->client);
	http_run(c);
}

void http_serve(struct http_port *p, int fd, struct tls_codec *tls, const struct http_peers *peers)
{
	struct http_conn *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		tls_codec_free(tls);
		if (peers->release)
			peers->release(peers->app);
		return;
	}
	c->port = p;
	p->refs++;
	c->peers = *peers;
	c->timer.on_due = on_timer;
	c->answers.on_answers = on_answers;
	c->client.watch.fd = -1;
	list_init(&c->upstreams);
	list_append(&p->conns, &c->node);
	list_append(&conns, &c->of_all);
	count++;
	if (http_end_open(c, &c->client, fd, tls, on_client) == 0)
		c->current = http_upstream_to(c, peers->probing ? NULL : http_home(c));
	if (c->current)
		http_run(c);
	else
		http_reset(c);
}

void http_reset_all(void)
{
	while (!list_empty(&conns))
		http_reset(container_of(conns.next, struct http_conn, of_all));
	while (!list_empty(&all_plain))
		pump_reset_all(&container_of(all_plain.next, struct plain, node)->pump);
}
