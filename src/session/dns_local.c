// SPDX-License-Identifier: MIT
/* Answering the program's questions from this machine.
 *
 * A question for addresses goes to the resolver process. Its answer has a TTL of LOCAL_TTL, since getaddrinfo() tells none, and the next
 * question shall see a changed answer. When the question is a short name with a suffix of the search list, the short one is asked for first. Both
 * families are asked for at once: a name that has addresses of the other family only exists, and
 * gets an empty answer, no NXDOMAIN.
 *
 * Any other question is sent to the name servers in this machine's resolv.conf, which is read anew each time, under an id of our own; the
 * answer goes back under the program's. When nothing comes within FORWARD_TIME the next server is used for the next question; the program's
 * own resolver repeats its question. A question that a search list made of a shorter name (dns_rules.h) is answered with NXDOMAIN: the program's
 * resolver then asks for the name itself. */
#include "session/dns_local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/list.h"
#include "base/log.h"
#include "base/table.h"
#include "net/bytes.h"
#include "net/dns_build.h"
#include "session/routing.h"

enum { LOCAL_TTL = 1, MAX_FORWARDS = 4096, FILE_MAX = 1 << 20, ANSWER_MAX = 4096 };
#define FORWARD_TIME (5 * LOOP_SECOND)

/* One question that waits for the resolver process. */
struct lookup {
	struct dns_local *d;
	struct dns_asker who;
	struct list node;
	bool shortened; /* it was asked for by a shorter name than the question's */
	size_t len;
	uint8_t message[];
};

/* One question that was sent to a name server. */
struct forward {
	struct dns_local *d;
	struct table_node node;
	uint16_t id, original_id;
	struct dns_asker who;
	struct endpoint server;
	struct dns_question question;
	struct timer timer;
	struct deferred reap;
};

struct dns_local {
	struct dns_local_context c;
	struct list lookups;
	struct table forwards;
	struct port *ports[2]; /* IPv4, IPv6 */
	uint16_t next_id;
	unsigned int server; /* which of them is asked */
};

static bool forward_equal(const struct table_node *node, const void *key)
{
	return container_of(node, const struct forward, node)->id == *(const uint16_t *)key;
}

struct dns_local *dns_local_new(const struct dns_local_context *context)
{
	struct dns_local *d = calloc(1, sizeof(*d));

	if (!d || table_init(&d->forwards, forward_equal) < 0) {
		free(d);
		return NULL;
	}
	d->c = *context;
	list_init(&d->lookups);
	return d;
}

static void reap(struct deferred *r)
{
	free(container_of(r, struct forward, reap));
}

static void forward_end(struct forward *f)
{
	loop_disarm(f->d->c.loop, &f->timer);
	table_remove(&f->d->forwards, &f->node);
	loop_defer(f->d->c.loop, &f->reap, reap);
}

void dns_local_free(struct dns_local *d)
{
	struct list *node;

	if (!d)
		return;
	while ((node = list_pop(&d->lookups)))
		free(container_of(node, struct lookup, node));
	for (struct table_node *n; (n = table_first(&d->forwards));)
		forward_end(container_of(n, struct forward, node));
	for (int i = 0; i < 2; i++)
		if (d->ports[i] && *d->c.host)
			d->ports[i]->egress->ops->close(d->ports[i]);
	table_fini(&d->forwards);
	free(d);
}

static void answer(struct dns_local *d, const struct dns_asker *who, const struct dns_message *query, uint16_t rcode, const struct ip *ips, size_t n)
{
	uint8_t out[ANSWER_MAX];
	size_t max = who->connection ? sizeof(out) : dns_answer_limit(query);
	size_t len = dns_build_answer(query, rcode, ips, n, LOCAL_TTL, out, max < sizeof(out) ? max : sizeof(out));

	d->c.on_answer(d->c.arg, who, out, len);
}

static void on_looked_up(void *arg, enum resolver_status status, const struct ip *ips, size_t n);

/* The short name isn't known here; the whole one may be. */
static bool ask_whole(struct lookup *l)
{
	struct dns_message query;
	struct dns_cursor c;
	struct dns_question q;
	char text[DNS_NAME_TEXT];

	l->shortened = false;
	if (dns_parse(l->message, l->len, &query) < 0)
		return false;
	c = dns_questions(&query);
	if (dns_next_question(&c, &q) <= 0)
		return false;
	resolver_ask(l->d->c.resolver, dns_name_format(&q.name, text), on_looked_up, l);
	return true;
}

static void on_looked_up(void *arg, enum resolver_status status, const struct ip *ips, size_t n)
{
	static const uint16_t rcodes[] = { [RESOLVER_FOUND] = DNS_NOERROR, [RESOLVER_NO_NAME] = DNS_NXDOMAIN, [RESOLVER_AGAIN] = DNS_SERVFAIL };
	struct lookup *l = arg;
	struct dns_message query;

	if (l->shortened && status == RESOLVER_NO_NAME && ask_whole(l))
		return;
	list_remove(&l->node);
	if (dns_parse(l->message, l->len, &query) == 0)
		answer(l->d, &l->who, &query, rcodes[status], ips, n);
	free(l);
}

static void look_up(struct dns_local *d, const struct dns_asker *who, const uint8_t *message, size_t len, const struct dns_name *name, bool shortened)
{
	char text[DNS_NAME_TEXT];
	struct lookup *l = malloc(sizeof(*l) + len);

	if (!l) {
		d->c.on_answer(d->c.arg, who, message, 0);
		return;
	}
	*l = (struct lookup){ .d = d, .who = *who, .shortened = shortened, .len = len };
	memcpy(l->message, message, len);
	list_append(&d->lookups, &l->node);
	resolver_ask(d->c.resolver, dns_name_format(name, text), on_looked_up, l);
}

static bool same_question(const struct dns_message *m, const struct dns_question *q)
{
	struct dns_cursor c = dns_questions(m);
	struct dns_question other;

	return m->questions == 1 && dns_next_question(&c, &other) > 0 && other.type == q->type && other.class == q->class &&
	       dns_name_equal(&other.name, &q->name);
}

static void on_datagram(void *arg, const struct endpoint *from, struct packet_marks marks, const uint8_t *data, size_t len)
{
	struct dns_local *d = arg;
	struct dns_message m;
	struct table_node *n;
	struct forward *f;
	uint8_t *copy;

	if (dns_parse(data, len, &m) < 0 || !m.response || !(n = table_find(&d->forwards, &m.id, sizeof(m.id))))
		return;
	f = container_of(n, struct forward, node);
	if (!endpoint_equal(from, &f->server) || !same_question(&m, &f->question) || !(copy = malloc(len)))
		return;
	memcpy(copy, data, len);
	put16(copy, f->original_id);
	forward_end(f);
	d->c.on_answer(d->c.arg, &f->who, copy, len);
	free(copy);
}

static void on_error(void *arg, const struct endpoint *to, const struct icmp_error *error, const uint8_t *data, size_t len)
{
	((struct dns_local *)arg)->server++;
}

/* It can't be closed from in here: the next question fails, and so does every one behind it. */
static void on_broken(void *arg, int error)
{
	log_limited(LOG_LEVEL_WARN, "dns: this machine's name servers can't be asked any more: %s", strerror(error));
}

static const struct port_events events = { .on_datagram = on_datagram, .on_error = on_error, .on_broken = on_broken };

static void on_timeout(struct timer *t)
{
	struct forward *f = container_of(t, struct forward, timer);

	f->d->server++;
	forward_end(f);
	f->d->c.on_answer(f->d->c.arg, &f->who, NULL, 0);
}

/* The one of this machine's name servers whose turn it is. */
static void pick_server(const struct dns_local *d, struct endpoint *ret)
{
	_cleanup_fd_ int fd = open("/etc/resolv.conf", O_RDONLY | O_CLOEXEC);
	char *text = fd < 0 ? NULL : fd_read_all(fd, FILE_MAX, NULL);
	struct routing servers = { 0 };

	routing_read_name_servers(&servers, text);
	free(text);
	*ret = (struct endpoint){ .ip = ip_from_v4((const uint8_t[]){ 127, 0, 0, 1 }), .port = 53 };
	if (servers.n_name_servers)
		ret->ip = servers.name_servers[d->server % servers.n_name_servers];
}

static struct port *port_for(struct dns_local *d, const struct ip *server)
{
	struct endpoint any = { .ip = ip_is_v4(server) ? IP_ANY4 : IP_ANY6 };
	struct port **port = &d->ports[!ip_is_v4(server)];

	if (!*d->c.host)
		return NULL;
	if (!*port && (*d->c.host)->ops->open(*d->c.host, PORT_UDP, &any, &events, d, port) != 0)
		*port = NULL;
	return *port;
}

static void forward(struct dns_local *d, const struct dns_asker *who, const struct dns_question *q, const uint8_t *message, size_t len)
{
	struct forward *f = d->forwards.n < MAX_FORWARDS ? calloc(1, sizeof(*f)) : NULL;
	uint8_t *copy = f ? malloc(len) : NULL;
	struct port *port;

	if (!copy) {
		free(f);
		d->c.on_answer(d->c.arg, who, message, 0);
		return;
	}
	do
		d->next_id = (uint16_t)(d->next_id * 25173u + 13849u); /* not guessable is the source port; the id only tells them apart */
	while (table_find(&d->forwards, &d->next_id, sizeof(d->next_id)));
	*f = (struct forward){ .d = d, .id = d->next_id, .original_id = get16(message), .who = *who, .question = *q, .timer.on_due = on_timeout };
	pick_server(d, &f->server);
	table_add(&d->forwards, &f->node, &f->id, sizeof(f->id));
	loop_arm(d->c.loop, &f->timer, loop_now(d->c.loop) + FORWARD_TIME);
	memcpy(copy, message, len);
	put16(copy, f->id);
	port = port_for(d, &f->server.ip);
	if (port)
		port->egress->ops->send(port, &f->server, (struct packet_marks){ .ttl = 64 }, copy, len);
	free(copy);
}

static void tell(const struct dns_rules *rules, const struct dns_question *q, const struct dns_name *ask, int rule)
{
	char name[DNS_NAME_TEXT], as[DNS_NAME_TEXT], type[DNS_WORD_TEXT];
	bool other = !dns_name_equal(&q->name, ask);

	log_debug("dns: %s %s%s%s is answered by this machine: %s%s%s", dns_name_format(&q->name, name), dns_type_format(q->type, type),
		  other ? " as " : "", other ? dns_name_format(ask, as) : "", rule < 0 ? "no rule is for it" : "\"",
		  rule < 0 ? "" : address_filter_text(rules->filter, (size_t)rule), rule < 0 ? "" : "\"");
}

bool dns_local_take(struct dns_local *d, const struct dns_asker *who, const uint8_t *message, size_t len)
{
	struct dns_message m;
	struct dns_cursor c;
	struct dns_question q;
	struct dns_name ask;
	int rule;

	if (d->c.rules->side == FILTER_NONE || dns_parse(message, len, &m) < 0 || m.response || m.opcode || m.questions != 1)
		return false;
	c = dns_questions(&m);
	if (dns_next_question(&c, &q) <= 0 || !dns_rules_local(d->c.rules, &q, &ask, &rule))
		return false;
	tell(d->c.rules, &q, &ask, rule);
	if (q.class == DNS_CLASS_IN && (q.type == DNS_A || q.type == DNS_AAAA))
		look_up(d, who, message, len, &ask, !dns_name_equal(&q.name, &ask));
	else if (dns_name_equal(&q.name, &ask))
		forward(d, who, &q, message, len);
	else
		answer(d, who, &m, DNS_NXDOMAIN, NULL, 0);
	return true;
}
