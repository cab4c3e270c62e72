// SPDX-License-Identifier: MIT
/* Asking the target's name servers.
 *
 * A question goes through the forms of its name that resolv.conf's search list and ndots make, in their order. Each form is asked for both
 * families at once:
 *
 *   asked ─► both answered, with an address          → found
 *      │  └► both answered, without (or NXDOMAIN)    → the next form; behind the last: there is no such name
 *      └──► a server fails, or says nothing in time  → the same form of the next server; after TRIES: nobody answers
 *
 * Answers carry the question's id, its name, and come from the server that was asked; the port is the question's own. */
#include "forward/lookup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/list.h"
#include "config/address_rule.h"
#include "net/dns_build.h"
#include "session/routing.h"
#include "session/search_list.h"

#define PATIENCE (2 * LOOP_SECOND)
enum { TRIES = 4, DNS_PORT = 53, FAMILIES = 2, NDOTS_MAX = 15 };

struct lookup {
	struct loop *loop;
	struct egress *target;
	struct routing routing; /* name servers and search list alone */
	char *hosts;
	unsigned int ndots;
	struct list questions;
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
	bool answered[FAMILIES], decided; /* with addresses that needed nobody, or with an error: the timer only tells it */
	struct ip ips[FAMILIES][LOOKUP_ADDRESSES];
	size_t n[FAMILIES];
	const char *why;
	struct port *port;
	struct timer timer;
};

static const uint16_t types[FAMILIES] = { DNS_A, DNS_AAAA };

static void question_free(struct question *q)
{
	loop_disarm(q->l->loop, &q->timer);
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
		for (size_t i = 0; i < q->n[f] && n < LOOKUP_ADDRESSES; i++)
			all[n++] = q->ips[f][i];
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
	int f = ip_is_v4(ip) ? 0 : 1;

	if (q->n[f] < LOOKUP_ADDRESSES)
		q->ips[f][q->n[f]++] = *ip;
}

static void send_form(struct question *q)
{
	struct lookup *l = q->l;
	const struct endpoint to = { .ip = l->routing.name_servers[q->server], .port = DNS_PORT };
	uint8_t message[300];

	for (int f = 0; f < FAMILIES; f++) {
		size_t len = dns_build_question((uint16_t)(q->id + f), &q->forms[q->form], types[f], message, sizeof(message));

		q->answered[f] = false;
		q->n[f] = 0;
		q->port->egress->ops->send(q->port, &to, (struct packet_marks){ .ttl = 64 }, message, len);
	}
	loop_arm(l->loop, &q->timer, loop_now(l->loop) + PATIENCE);
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
	else
		ask_next_server(q);
}

static void collect(void *arg, const struct dns_name *name, const struct ip *ip, uint32_t ttl)
{
	struct question *q = arg;

	if (dns_name_equal(name, &q->forms[q->form]))
		add(q, ip);
}

static void on_both(struct question *q)
{
	if (q->n[0] || q->n[1]) {
		decide(q, NULL);
	} else if (++q->form == q->n_forms) {
		decide(q, "the target knows no such name");
	} else {
		q->tries = 0;
		send_form(q);
	}
}

static void on_datagram(void *arg, const struct endpoint *from, struct packet_marks marks, const uint8_t *data, size_t len)
{
	struct question *q = arg;
	struct dns_question asked;
	struct dns_message m;
	struct dns_cursor c;
	int f;

	if (q->decided || !ip_equal(&from->ip, &q->l->routing.name_servers[q->server]) || dns_parse(data, len, &m) < 0 || !m.response)
		return;
	c = dns_questions(&m);
	f = (uint16_t)(m.id - q->id);
	if (f >= FAMILIES || q->answered[f] || dns_next_question(&c, &asked) <= 0 || asked.type != types[f] ||
	    !dns_name_equal(&asked.name, &q->forms[q->form]))
		return;
	if (m.rcode != DNS_NOERROR && m.rcode != DNS_NXDOMAIN) {
		q->refused = true;
		ask_next_server(q);
		return;
	}
	q->answered[f] = true;
	dns_each_address(&m, collect, q);
	if (q->answered[0] && q->answered[1])
		on_both(q);
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
