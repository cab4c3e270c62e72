// SPDX-License-Identifier: MIT
/* Looking up the filter's names.
 *
 * Each name without wildcards is a task. Every PERIOD all tasks are done anew:
 *   - a name of the target's hosts file has the addresses there; it is not asked for;
 *   - a name that this machine answers is asked of its resolver;
 *   - any other is asked of the target's name server, for both families, under all the names that the search list makes of it, at once. When
 *     PATIENCE is over the first of them in the order of resolv.conf(5) that has an address is taken. */
#include "session/background.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "net/dns_build.h"
#include "session/search_list.h"

#define PERIOD	 (30 * LOOP_SECOND)
#define PATIENCE (2 * LOOP_SECOND)
enum { MAX_TASKS = 512, MAX_IPS = 32, DNS_PORT = 53 };

/* What was found under one form of a name. */
struct form {
	struct dns_name name;
	struct ip ips[MAX_IPS];
	size_t n;
};

struct task {
	struct background *b;
	struct dns_name name;
	bool in_hosts, here;
	struct form *forms; /* asked of the target; NULL before */
	size_t n_forms;
};

struct background {
	struct background_context c;
	struct task *tasks;
	size_t n;
	struct port *port;
	struct timer timer;
	bool waiting; /* for the target's answers */
};

static void start_round(struct background *b);

static void on_looked_up(void *arg, const struct resolver_answer *a)
{
	struct task *t = arg;

	if (a->status != RESOLVER_AGAIN)
		names_set_found(t->b->c.names, &t->name, a->ips, a->n);
}

static void collect(void *arg, const struct dns_name *name, const struct ip *ip, uint32_t ttl)
{
	struct form *f = arg;

	if (f->n < MAX_IPS && dns_name_equal(name, &f->name))
		f->ips[f->n++] = *ip;
}

/* The id says which form of which task the question was for. */
static void on_datagram(void *arg, const struct endpoint *from, struct packet_marks marks, const uint8_t *data, size_t len)
{
	struct background *b = arg;
	struct dns_message m;
	struct dns_cursor c;
	struct dns_question q;
	size_t task, form;

	if (!ip_equal(&from->ip, b->c.server) || dns_parse(data, len, &m) < 0 || !m.response)
		return;
	task = m.id / SEARCH_FORMS;
	form = m.id % SEARCH_FORMS;
	c = dns_questions(&m);
	if (task >= b->n || form >= b->tasks[task].n_forms || dns_next_question(&c, &q) <= 0 || !dns_name_equal(&q.name,
		&b->tasks[task].forms[form].name))
		return;
	dns_each_address(&m, collect, &b->tasks[task].forms[form]);
}

static void on_error(void *arg, const struct endpoint *to, const struct icmp_error *error, const uint8_t *data, size_t len)
{
}

static void on_broken(void *arg, int error)
{
}

static const struct port_events events = { .on_datagram = on_datagram, .on_error = on_error, .on_broken = on_broken };

static void ask_target(struct background *b, struct task *t)
{
	struct dns_name names[SEARCH_FORMS];
	struct endpoint to = { .port = DNS_PORT };
	uint8_t question[300];

	if (!t->forms)
		t->forms = calloc(SEARCH_FORMS, sizeof(*t->forms));
	if (!t->forms || !b->port)
		return;
	to.ip = *b->c.server;
	t->n_forms = search_forms(b->c.rules->search, &t->name, names);
	for (size_t i = 0; i < t->n_forms; i++) {
		uint16_t id = (uint16_t)((size_t)(t - b->tasks) * SEARCH_FORMS + i);

		t->forms[i] = (struct form){ .name = names[i] };
		for (int family = 0; family < 2; family++) {
			size_t len = dns_build_question(id, &t->forms[i].name, family ? DNS_AAAA : DNS_A, question, sizeof(question));

			if (len)
				b->port->egress->ops->send(b->port, &to, (struct packet_marks){ .ttl = 64 }, question, len);
		}
	}
	b->waiting = true;
}

static void close_port(struct background *b)
{
	if (b->port && *b->c.target)
		b->port->egress->ops->close(b->port);
	b->port = NULL;
}

static void open_port(struct background *b)
{
	struct endpoint any = { .ip = b->c.server && ip_is_v4(b->c.server) ? IP_ANY4 : IP_ANY6 };

	if (b->c.server && *b->c.target && (*b->c.target)->ops->open(*b->c.target, PORT_UDP, &any, &events, b, &b->port) != 0)
		b->port = NULL;
}

static void take_answers(struct background *b)
{
	for (size_t i = 0; i < b->n; i++) {
		struct task *t = &b->tasks[i];
		size_t k = 0;

		if (t->in_hosts || t->here || !t->forms)
			continue;
		while (k < t->n_forms && !t->forms[k].n)
			k++;
		if (k < t->n_forms)
			names_set_found(b->c.names, &t->name, t->forms[k].ips, t->forms[k].n);
	}
}

static void on_due(struct timer *timer)
{
	struct background *b = container_of(timer, struct background, timer);

	if (!b->waiting) {
		start_round(b);
		return;
	}
	b->waiting = false;
	take_answers(b);
	close_port(b);
	loop_arm(b->c.loop, timer, loop_now(b->c.loop) + PERIOD);
}

static void start_round(struct background *b)
{
	bool any_there = false;

	for (size_t i = 0; i < b->n; i++)
		any_there |= !b->tasks[i].in_hosts && !b->tasks[i].here;
	if (any_there)
		open_port(b);
	for (size_t i = 0; i < b->n; i++) {
		struct task *t = &b->tasks[i];
		char text[DNS_NAME_TEXT];

		if (t->in_hosts)
			continue;
		if (!t->here)
			ask_target(b, t);
		else if (b->c.resolver)
			resolver_ask(b->c.resolver, dns_name_format(&t->name, text), on_looked_up, t);
	}
	loop_arm(b->c.loop, &b->timer, loop_now(b->c.loop) + (b->waiting ? PATIENCE : PERIOD));
}

static bool answered_here(const struct background *b, const struct dns_name *name)
{
	const struct dns_question q = { .name = *name, .type = DNS_A, .class = DNS_CLASS_IN };
	struct dns_name ask;
	int rule;

	return !b->c.remote_dns || dns_rules_local(b->c.dns, &q, &ask, &rule);
}

static void add_task(struct background *b, const struct address_rule *r, const char *hosts)
{
	struct task *t = &b->tasks[b->n];
	struct ip ips[MAX_IPS];
	size_t n;

	if (b->n == MAX_TASKS || r->host != RULE_NAME || address_rule_has_wildcard(r) || !address_name_to_dns(r->name, &t->name))
		return;
	n = hosts_find(hosts, r->name, ips, MAX_IPS);
	*t = (struct task){ .b = b, .name = t->name, .in_hosts = n > 0, .here = answered_here(b, &t->name) };
	if (n)
		names_set_found(b->c.names, &t->name, ips, n);
	b->n++;
}

struct background *background_new(const struct background_context *context, const char *hosts)
{
	struct background *b = calloc(1, sizeof(*b));

	if (!b || !(b->tasks = calloc(MAX_TASKS, sizeof(*b->tasks)))) {
		free(b);
		return NULL;
	}
	b->c = *context;
	b->timer.on_due = on_due;
	for (size_t i = 0; b->c.rules->filter && i < address_filter_count(b->c.rules->filter); i++)
		add_task(b, address_filter_rule(b->c.rules->filter, i), hosts);
	if (b->n)
		start_round(b);
	return b;
}

void background_move(struct background *b)
{
	if (b)
		close_port(b);
}

void background_free(struct background *b)
{
	if (!b)
		return;
	loop_disarm(b->c.loop, &b->timer);
	close_port(b);
	for (size_t i = 0; i < b->n; i++)
		free(b->tasks[i].forms);
	free(b->tasks);
	free(b);
}
