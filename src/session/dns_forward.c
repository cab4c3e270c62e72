// SPDX-License-Identifier: MIT
/* Asking this machine's name servers.
 *
 * Their list is that of resolv.conf, which is read anew each time. A question goes out under an id of our own, and its answer back under the
 * program's. When nothing comes within FORWARD_TIME the next server is used for the next question; the program's own resolver repeats its own.
 *
 *   by UDP: one port for all ─► the answer, also a truncated one: then the program asks once more, by TCP
 *   by TCP: dns_exchange.c ─► the answer
 *              └─ refused, or ended early: by UDP after all, since some servers know nothing else */
#include "session/dns_forward.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
#include "base/table.h"
#include "net/bytes.h"
#include "session/dns_exchange.h"
#include "session/routing.h"

enum { MAX_FORWARDS = 4096, HEAD = DNS_EXCHANGE_HEAD };
#define FORWARD_TIME (5 * LOOP_SECOND)

/* One question that waits for its answer. */
struct forward {
	struct dns_forwarder *d;
	struct table_node node;
	uint16_t id, original_id;
	struct dns_asker who;
	struct endpoint server;
	struct dns_question question;
	struct timer timer;
	struct deferred reap;
	struct dns_exchange exchange; /* by TCP */
	size_t len;
	uint8_t message[]; /* with its length before it */
};

struct dns_forwarder {
	struct loop *loop;
	struct egress **host;
	void (*on_answer)(void *arg, const struct dns_asker *who, const uint8_t *message, size_t len);
	void *arg;
	struct table forwards;
	struct port *ports[2]; /* IPv4, IPv6 */
	bool broken;	       /* they are to be made anew */
	uint16_t next_id;
	unsigned int server; /* which of them is asked */
};

static bool forward_equal(const struct table_node *node, const void *key)
{
	return container_of(node, const struct forward, node)->id == *(const uint16_t *)key;
}

struct dns_forwarder *dns_forwarder_new(struct loop *loop, struct egress **host,
					void (*on_answer)(void *arg, const struct dns_asker *who, const uint8_t *message, size_t len), void *arg)
{
	struct dns_forwarder *d = calloc(1, sizeof(*d));

	if (!d || table_init(&d->forwards, forward_equal) < 0) {
		free(d);
		return NULL;
	}
	d->loop = loop;
	d->host = host;
	d->on_answer = on_answer;
	d->arg = arg;
	return d;
}

static void reap(struct deferred *r)
{
	free(container_of(r, struct forward, reap));
}

static void forward_end(struct forward *f)
{
	dns_exchange_end(&f->exchange);
	loop_disarm(f->d->loop, &f->timer);
	table_remove(&f->d->forwards, &f->node);
	loop_defer(f->d->loop, &f->reap, reap);
}

static void close_ports(struct dns_forwarder *d)
{
	for (int i = 0; i < 2; i++) {
		if (d->ports[i] && *d->host)
			d->ports[i]->egress->ops->close(d->ports[i]);
		d->ports[i] = NULL;
	}
	d->broken = false;
}

void dns_forwarder_free(struct dns_forwarder *d)
{
	if (!d)
		return;
	for (struct table_node *n; (n = table_first(&d->forwards));)
		forward_end(container_of(n, struct forward, node));
	close_ports(d);
	table_fini(&d->forwards);
	free(d);
}

static bool same_question(const struct dns_message *m, const struct dns_question *q)
{
	struct dns_cursor c = dns_questions(m);
	struct dns_question other;

	return m->questions == 1 && dns_next_question(&c, &other) > 0 && other.type == q->type && other.class == q->class &&
	       dns_name_equal(&other.name, &q->name);
}

/* Whether @data is the answer to @f; then @f is over. */
static bool deliver(struct forward *f, const struct endpoint *from, const uint8_t *data, size_t len)
{
	struct dns_message m;
	uint8_t *copy;

	if (dns_parse(data, len, &m) < 0 || !m.response || m.id != f->id || !endpoint_equal(from, &f->server) ||
	    !same_question(&m, &f->question) || !(copy = malloc(len)))
		return false;
	memcpy(copy, data, len);
	put16(copy, f->original_id);
	forward_end(f);
	f->d->on_answer(f->d->arg, &f->who, copy, len);
	free(copy);
	return true;
}

static void on_datagram(void *arg, const struct endpoint *from, struct packet_marks marks, const uint8_t *data, size_t len)
{
	struct dns_forwarder *d = arg;
	uint16_t id = len >= sizeof(id) ? get16(data) : 0;
	struct table_node *n = table_find(&d->forwards, &id, sizeof(id));

	if (n)
		deliver(container_of(n, struct forward, node), from, data, len);
}

static void on_error(void *arg, const struct endpoint *to, const struct icmp_error *error, const uint8_t *data, size_t len)
{
	((struct dns_forwarder *)arg)->server++;
}

/* It can't be closed from in here: the next question does. */
static void on_broken(void *arg, int error)
{
	((struct dns_forwarder *)arg)->broken = true;
	log_limited(LOG_LEVEL_WARN, "dns: ask this machine's name servers: %s", strerror(error));
}

static const struct port_events events = { .on_datagram = on_datagram, .on_error = on_error, .on_broken = on_broken };

static void on_timeout(struct timer *t)
{
	struct forward *f = container_of(t, struct forward, timer);

	f->d->server++;
	forward_end(f);
	f->d->on_answer(f->d->arg, &f->who, NULL, 0);
}

/* The one of this machine's name servers whose turn it is. */
static void pick_server(const struct dns_forwarder *d, struct endpoint *ret)
{
	char *text = routing_host_resolv_conf();
	struct ip servers[MAX_NAME_SERVERS];
	size_t n = routing_read_name_servers(text, servers);

	free(text);
	*ret = (struct endpoint){ .ip = ip_from_v4((const uint8_t[]){ 127, 0, 0, 1 }), .port = 53 };
	if (n)
		ret->ip = servers[d->server % n];
}

static struct port *port_for(struct dns_forwarder *d, const struct ip *server)
{
	struct endpoint any = { .ip = ip_is_v4(server) ? IP_ANY4 : IP_ANY6 };
	struct port **port = &d->ports[!ip_is_v4(server)];

	if (d->broken)
		close_ports(d);
	if (!*d->host)
		return NULL;
	if (!*port && (*d->host)->ops->open(*d->host, PORT_UDP, &any, &events, d, port) != 0)
		*port = NULL;
	return *port;
}

static void ask_by_udp(struct forward *f)
{
	struct port *port = port_for(f->d, &f->server.ip);

	if (port)
		port->egress->ops->send(port, &f->server, (struct packet_marks){ .ttl = 64 }, f->message + HEAD, f->len - HEAD);
}

static void on_exchanged(struct dns_exchange *x, const uint8_t *answer, size_t len)
{
	struct forward *f = container_of(x, struct forward, exchange);

	if (len && deliver(f, &f->server, answer, len))
		return;
	dns_exchange_end(x);
	ask_by_udp(f);
}

void dns_forwarder_ask(struct dns_forwarder *d, const struct dns_asker *who, const struct dns_question *question, const uint8_t *message, size_t len)
{
	struct forward *f = d->forwards.n < MAX_FORWARDS && len <= UINT16_MAX ? malloc(sizeof(*f) + HEAD + len) : NULL;

	if (!f) {
		d->on_answer(d->arg, who, message, 0);
		return;
	}
	do
		d->next_id = (uint16_t)(d->next_id * 25173u + 13849u); /* not guessable is the source port; the id only tells them apart */
	while (table_find(&d->forwards, &d->next_id, sizeof(d->next_id)));
	*f = (struct forward){ .d = d, .id = d->next_id, .original_id = get16(message), .who = *who, .question = *question,
			       .timer.on_due = on_timeout,
			       .exchange.on_answer = on_exchanged, .len = HEAD + len };
	put16(f->message, (uint16_t)len);
	memcpy(f->message + HEAD, message, len);
	put16(f->message + HEAD, f->id);
	pick_server(d, &f->server);
	table_add(&d->forwards, &f->node, &f->id, sizeof(f->id));
	loop_arm(d->loop, &f->timer, loop_now(d->loop) + FORWARD_TIME);
	if (who->connection)
		dns_exchange_start(&f->exchange, d->loop, d->host, &f->server, f->message, f->len);
	else
		ask_by_udp(f);
}
