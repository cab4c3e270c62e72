// SPDX-License-Identifier: MIT
/* Asking the target's name servers.
 *
 * A question goes through the forms of its name that resolv.conf's search list and ndots make, in their order. Each form is asked for both
 * families at once:
 *
 *   asked ─► both answered, or one of them in time, with an address  → found
 *      │  └► both answered, without (or NXDOMAIN)                    → the next form; behind the last: there is no such name
 *      └──► a server fails, or says nothing in time                  → the same form of the next server; after TRIES: nobody answers
 *
 * A server that fails for one family only has answered for the other: some know nothing of AAAA. An answer that is cut off (TC) is asked for once
 * more by TCP; where that can't be, what there is of it counts.
 *
 * Answers carry the question's id, its name, and come from the server that was asked; the port is the question's own. */
#include "forward/lookup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/list.h"
#include "config/address_rule.h"
#include "net/bytes.h"
#include "net/dns_build.h"
#include "session/dns_exchange.h"
#include "session/routing.h"
#include "session/search_list.h"

#define PATIENCE (2 * LOOP_SECOND)
enum { TRIES = 4, DNS_PORT = 53, FAMILIES = 2, NDOTS_MAX = 15, QUESTION_MAX = 300 };

struct lookup {
	struct loop *loop;
	struct egress *target;
	struct routing routing; /* name servers and search list alone */
	char *hosts;
	unsigned int ndots;
	struct list questions;
};

/* What is known of one family, of the form and from the server that is asked. */
struct family {
	struct question *q;
	bool answered, failed; /* the server can't, or won't */
	struct ip ips[LOOKUP_ADDRESSES];
	size_t n;
	uint8_t message[DNS_EXCHANGE_HEAD + QUESTION_MAX]; /* the question with its length before it, as for TCP */
	size_t len;
	struct dns_exchange exchange; /* whose answer was cut off */
};

struct question {
	struct list node;
	struct lookup *l;
	lookup_done_fn done;
	void *arg;
	struct dns_name forms[SEARCH_FORMS];
	size_t n_forms, form, server;
	unsigned int tries;
	uint16_t id;
	bool refused; /* a server has said that it won't or can't */
	bool decided; /* with addresses, or with an error: the timer only tells it */
	struct family families[FAMILIES];
	const char *why;
	struct port *port;
	struct timer timer;
};

static const uint16_t types[FAMILIES] = { DNS_A, DNS_AAAA };

static void question_free(struct question *q)
{
	loop_disarm(q->l->loop, &q->timer);
	for (int f = 0; f < FAMILIES; f++)
		dns_exchange_end(&q->families[f].exchange);
	if (q->port)
		q->port->egress->ops->close(q->port);
	list_remove(&q->node);
	free(q);
}

/* Calls @done, from the timer alone: the port may be closed there. */
static void tell(struct question *q)
{
	struct ip all[LOOKUP_ADDRESSES];
	lookup_done_fn done = q->done;
	void *arg = q->arg;
	const char *why = q->why;
	size_t n = 0;

	for (int f = 0; f < FAMILIES; f++)
		for (size_t i = 0; i < q->families[f].n && n < LOOKUP_ADDRESSES; i++)
			all[n++] = q->families[f].ips[i];
	question_free(q);
	done(arg, all, n, why);
}

static void decide(struct question *q, const char *why)
{
	q->decided = true;
	q->why = why;
	loop_arm(q->l->loop, &q->timer, loop_now(q->l->loop));
}

static void add(struct question *q, const struct ip *ip)
{
	struct family *f = &q->families[ip_is_v4(ip) ? 0 : 1];

	if (f->n < LOOKUP_ADDRESSES)
		f->ips[f->n++] = *ip;
}

static bool has_addresses(const struct question *q)
{
	return q->families[0].n || q->families[1].n;
}

static struct endpoint server_of(const struct question *q)
{
	return (struct endpoint){ .ip = q->l->routing.name_servers[q->server], .port = DNS_PORT };
}

static void send_form(struct question *q)
{
	const struct endpoint to = server_of(q);

	for (int i = 0; i < FAMILIES; i++) {
		struct family *f = &q->families[i];
		uint8_t *message = f->message + DNS_EXCHANGE_HEAD;

		dns_exchange_end(&f->exchange);
		f->answered = f->failed = false;
		f->n = 0;
		f->len = dns_build_question((uint16_t)(q->id + i), &q->forms[q->form], types[i], message, QUESTION_MAX);
		put16(f->message, (uint16_t)f->len);
		q->port->egress->ops->send(q->port, &to, (struct packet_marks){ .ttl = 64 }, message, f->len);
	}
	loop_arm(q->l->loop, &q->timer, loop_now(q->l->loop) + PATIENCE);
}

static void ask_next_server(struct question *q)
{
	if (++q->tries >= TRIES) {
		decide(q, q->refused ? "the target's name servers give no answer to it" : "no name server of the target's answers");
		return;
	}
	q->server = (q->server + 1) % q->l->routing.n_name_servers;
	if (ip_family(&q->l->routing.name_servers[q->server]) != ip_family(&q->l->routing.name_servers[0]))
		q->server = 0; /* the port is of one family */
	send_form(q);
}

static void on_timer(struct timer *t)
{
	struct question *q = container_of(t, struct question, timer);

	if (q->decided)
		tell(q);
	else if (has_addresses(q))
		decide(q, NULL);
	else
		ask_next_server(q);
}

static void collect(void *arg, const struct dns_name *name, const struct ip *ip, uint32_t ttl)
{
	struct question *q = arg;

	if (dns_name_equal(name, &q->forms[q->form]))
		add(q, ip);
}

/* One of them has come to an end. */
static void on_family(struct question *q)
{
	const struct family *f = q->families;

	if (!f[0].answered || !f[1].answered)
		return;
	if (has_addresses(q)) {
		decide(q, NULL);
	} else if (f[0].failed || f[1].failed) {
		q->refused = true;
		ask_next_server(q);
	} else if (++q->form == q->n_forms) {
		decide(q, "the target knows no such name");
	} else {
		q->tries = 0;
		send_form(q);
	}
}

/* Takes an answer, if it is the one to @f's question. */
static bool take_answer(struct family *f, const uint8_t *data, size_t len, struct dns_message *ret)
{
	struct question *q = f->q;
	size_t i = (size_t)(f - q->families);
	struct dns_question asked;
	struct dns_cursor c;

	if (dns_parse(data, len, ret) < 0 || !ret->response || ret->id != (uint16_t)(q->id + i))
		return false;
	c = dns_questions(ret);
	if (dns_next_question(&c, &asked) <= 0 || asked.type != types[i] || !dns_name_equal(&asked.name, &q->forms[q->form]))
		return false;
	f->n = 0;
	f->answered = true;
	f->failed = ret->rcode != DNS_NOERROR && ret->rcode != DNS_NXDOMAIN;
	dns_each_address(ret, collect, q);
	return true;
}

/* Without an answer, what there is of the one that was cut off counts. */
static void on_exchanged(struct dns_exchange *x, const uint8_t *answer, size_t len)
{
	struct family *f = container_of(x, struct family, exchange);
	struct dns_message m;

	if (f->q->decided)
		return;
	if (!len || !take_answer(f, answer, len, &m))
		f->failed = !f->n;
	f->answered = true;
	on_family(f->q);
}

static void on_datagram(void *arg, const struct endpoint *from, struct packet_marks marks, const uint8_t *data, size_t len)
{
	struct question *q = arg;
	const struct endpoint server = server_of(q);
	struct family *f = NULL;
	struct dns_message m;

	if (q->decided || !ip_equal(&from->ip, &server.ip))
		return;
	for (int i = 0; i < FAMILIES && !f; i++)
		if (!q->families[i].answered && !q->families[i].exchange.loop && take_answer(&q->families[i], data, len, &m))
			f = &q->families[i];
	if (!f)
		return;
	if (m.truncated && !f->failed) {
		f->answered = false;
		loop_arm(q->l->loop, &q->timer, loop_now(q->l->loop) + PATIENCE);
		dns_exchange_start(&f->exchange, q->l->loop, &q->l->target, &server, f->message, DNS_EXCHANGE_HEAD + f->len);
		return;
	}
	on_family(q);
}

static void on_error(void *arg, const struct endpoint *to, const struct icmp_error *error, const uint8_t *data, size_t len)
{
	struct question *q = arg;

	if (!q->decided)
		loop_arm(q->l->loop, &q->timer, loop_now(q->l->loop)); /* once for both families */
}

static void on_broken(void *arg, int error)
{
	struct question *q = arg;

	if (!q->decided)
		decide(q, strerror(error));
}

static const struct port_events events = { .on_datagram = on_datagram, .on_error = on_error, .on_broken = on_broken };

/* resolv.conf(5), ndots: a name with that many dots is tried as it is first; one with a dot at the end is nothing else. */
static void make_forms(struct question *q, const struct dns_name *name, const char *text)
{
	unsigned int dots = 0;

	for (const char *p = text; *p; p++)
		dots += *p == '.';
	if (text[strlen(text) - 1] == '.') {
		q->forms[0] = *name;
		q->n_forms = 1;
		return;
	}
	q->n_forms = search_forms(q->l->routing.rules.search, name, q->forms);
	if (dots < q->l->ndots)
		return;
	memmove(q->forms + 1, q->forms, (q->n_forms - 1) * sizeof(q->forms[0]));
	q->forms[0] = *name;
}

/* What needs no server: an address, the hosts file, localhost (RFC 6761 §6.3). */
static bool answer_at_once(struct question *q, const char *name)
{
	struct ip ips[LOOKUP_ADDRESSES];
	size_t n = 0;

	if (ip_parse(name, &ips[0]))
		n = 1;
	else
		n = hosts_find(q->l->hosts, name, ips, LOOKUP_ADDRESSES);
	if (!n && strcasecmp(name, "localhost") == 0)
		n = ip_parse("127.0.0.1", &ips[0]) + ip_parse("::1", &ips[1]);
	for (size_t i = 0; i < n; i++)
		add(q, &ips[i]);
	return n;
}

static void start(struct question *q, const char *name)
{
	const struct routing *r = &q->l->routing;
	struct endpoint any;
	struct dns_name wire;
	int error;

	if (answer_at_once(q, name)) {
		decide(q, NULL);
	} else if (!address_name_to_dns(name, &wire)) {
		decide(q, "this is no name");
	} else if (!r->n_name_servers) {
		decide(q, "the target has no name server");
	} else {
		make_forms(q, &wire, name);
		any = (struct endpoint){ .ip = ip_is_v4(&r->name_servers[0]) ? IP_ANY4 : IP_ANY6 };
		error = q->l->target->ops->open(q->l->target, PORT_UDP, &any, &events, q, &q->port);
		if (error)
			decide(q, strerror(error));
		else
			send_form(q);
	}
}

struct question *lookup_ask(struct lookup *l, const char *name, lookup_done_fn done, void *arg)
{
	struct question *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	*q = (struct question){ .l = l, .done = done, .arg = arg, .timer.on_due = on_timer };
	for (int f = 0; f < FAMILIES; f++) {
		q->families[f].q = q;
		q->families[f].exchange.on_answer = on_exchanged;
	}
	if (getrandom(&q->id, sizeof(q->id), GRND_NONBLOCK) < 0)
		q->id = (uint16_t)loop_now(l->loop);
	list_append(&l->questions, &q->node);
	start(q, name);
	return q;
}

void lookup_cancel(struct question *q)
{
	if (q)
		question_free(q);
}

static unsigned int read_ndots(const char *resolv_conf)
{
	unsigned int n = 1;

	for (const char *line = resolv_conf; line && *line; line = strchr(line, '\n')) {
		const char *option;

		line += *line == '\n';
		option = strncmp(line, "options", 7) == 0 ? strstr(line, "ndots:") : NULL;
		if (option && option < line + strcspn(line, "\n"))
			n = (unsigned int)strtoul(option + 6, NULL, 10);
	}
	return n < NDOTS_MAX ? n : NDOTS_MAX;
}

struct lookup *lookup_new(struct loop *loop, struct egress *target, const struct target_info *info)
{
	struct lookup *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->loop = loop;
	l->target = target;
	l->hosts = info->hosts ? strdup(info->hosts) : NULL;
	l->ndots = read_ndots(info->resolv_conf);
	l->routing.n_name_servers = routing_read_name_servers(info->resolv_conf, l->routing.name_servers);
	route_rules_set_search(&l->routing.rules, info->resolv_conf);
	list_init(&l->questions);
	return l;
}

void lookup_free(struct lookup *l)
{
	if (!l)
		return;
	while (!list_empty(&l->questions))
		question_free(container_of(l->questions.next, struct question, node));
	routing_fini(&l->routing);
	free(l->hosts);
	free(l);
}
