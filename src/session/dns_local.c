// SPDX-License-Identifier: MIT
/* Answering the program's questions from this machine.
 *
 * A question for addresses goes to the resolver process. Its answer has a TTL of LOCAL_TTL, since getaddrinfo() tells none, and the next
 * question shall see a changed answer. Where the name is an alias, the answer says of what (CNAME). When the question is a short name with a
 * suffix of the search list, the short one is asked for first. Both families are asked for at once: a name that has addresses of the other family
 * only exists, and gets an empty answer, no NXDOMAIN.
 *
 * A question for an address's name goes there, too, so that the hosts file and mDNS have their say.
 *
 * Any other question, and that for a name which the resolver doesn't know, goes to this machine's name servers (dns_forward.c). One that a search
 * list made of a shorter name (dns_rules.h) is answered with NXDOMAIN: the program's resolver then asks for the name itself. */
#include "session/dns_local.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
#include "net/dns_build.h"
#include "session/dns_forward.h"

enum { LOCAL_TTL = 1, ANSWER_MAX = 4096 };

/* One question that waits for the resolver process. */
struct lookup {
	struct dns_local *d;
	struct dns_asker who;
	struct list node;
	bool shortened; /* it was asked for by a shorter name than the question's */
	size_t len;
	uint8_t message[];
};

struct dns_local {
	struct dns_local_context c;
	struct list lookups;
	struct dns_forwarder *forwarder;
};

static void lookup_end(struct lookup *l)
{
	list_remove(&l->node);
	free(l);
}

struct dns_local *dns_local_new(const struct dns_local_context *context)
{
	struct dns_local *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->c = *context;
	list_init(&d->lookups);
	d->forwarder = dns_forwarder_new(context->loop, context->host, context->on_answer, context->arg);
	if (d->forwarder)
		return d;
	free(d);
	return NULL;
}

void dns_local_free(struct dns_local *d)
{
	struct list *node;

	if (!d)
		return;
	while ((node = list_pop(&d->lookups)))
		free(container_of(node, struct lookup, node));
	dns_forwarder_free(d->forwarder);
	free(d);
}

static void answer(struct dns_local *d, const struct dns_asker *who, const struct dns_message *query, const struct dns_answer *a)
{
	uint8_t out[ANSWER_MAX];
	size_t max = who->connection ? sizeof(out) : dns_answer_limit(query);
	size_t len = dns_build_answer(query, a, out, max < sizeof(out) ? max : sizeof(out));

	d->c.on_answer(d->c.arg, who, out, len);
}

static void on_looked_up(void *arg, const struct resolver_answer *a);

/* The short name isn't known here; the whole one may be. */
static void ask_whole(struct lookup *l, const struct dns_question *q)
{
	char text[DNS_NAME_TEXT];

	l->shortened = false;
	resolver_ask(l->d->c.resolver, dns_name_format(&q->name, text), on_looked_up, l);
}

static void give_answer(const struct lookup *l, const struct dns_message *query, const struct dns_question *q, const struct resolver_answer *a)
{
	static const uint16_t rcodes[] = { [RESOLVER_FOUND] = DNS_NOERROR, [RESOLVER_NO_DATA] = DNS_NOERROR, [RESOLVER_NO_NAME] = DNS_NXDOMAIN,
					   [RESOLVER_AGAIN] = DNS_SERVFAIL };
	struct dns_answer says = { .rcode = rcodes[a->status], .ttl = LOCAL_TTL, .ips = a->ips, .n = a->n };
	struct dns_name name;

	if (a->name && address_name_to_dns(a->name, &name) && !dns_name_equal(&name, &q->name))
		says.name = &name;
	answer(l->d, &l->who, query, &says);
}

static void on_looked_up(void *arg, const struct resolver_answer *a)
{
	struct lookup *l = arg;
	struct dns_message query;
	struct dns_cursor c;
	struct dns_question q;

	if (dns_parse(l->message, l->len, &query) < 0 || (c = dns_questions(&query), dns_next_question(&c, &q) <= 0)) {
		lookup_end(l);
		return;
	}
	if (l->shortened && (a->status == RESOLVER_NO_NAME || a->status == RESOLVER_NO_DATA)) {
		ask_whole(l, &q);
		return;
	}
	if (q.type == DNS_PTR && a->status != RESOLVER_FOUND)
		dns_forwarder_ask(l->d->forwarder, &l->who, &q, l->message, l->len);
	else
		give_answer(l, &query, &q, a);
	lookup_end(l);
}

/* NULL without memory: then the program hears nothing. */
static struct lookup *lookup_new(struct dns_local *d, const struct dns_asker *who, const uint8_t *message, size_t len)
{
	struct lookup *l = malloc(sizeof(*l) + len);

	if (!l) {
		d->c.on_answer(d->c.arg, who, message, 0);
		return NULL;
	}
	*l = (struct lookup){ .d = d, .who = *who, .len = len };
	memcpy(l->message, message, len);
	list_append(&d->lookups, &l->node);
	return l;
}

static void look_up(struct dns_local *d, const struct dns_asker *who, const uint8_t *message, size_t len, const struct dns_name *name, bool shortened)
{
	char text[DNS_NAME_TEXT];
	struct lookup *l = lookup_new(d, who, message, len);

	if (!l)
		return;
	l->shortened = shortened;
	resolver_ask(d->c.resolver, dns_name_format(name, text), on_looked_up, l);
}

static void look_up_name(struct dns_local *d, const struct dns_asker *who, const uint8_t *message, size_t len, const struct ip *ip)
{
	struct lookup *l = lookup_new(d, who, message, len);

	if (l)
		resolver_ask_name(d->c.resolver, ip, on_looked_up, l);
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
	static const struct dns_answer no_name = { .rcode = DNS_NXDOMAIN };
	struct dns_message m;
	struct dns_cursor c;
	struct dns_question q;
	struct dns_name ask;
	struct ip ip;
	bool whole;
	int rule;

	if (d->c.rules->side == FILTER_NONE || dns_parse(message, len, &m) < 0 || m.response || m.opcode || m.questions != 1)
		return false;
	c = dns_questions(&m);
	if (dns_next_question(&c, &q) <= 0 || !dns_rules_local(d->c.rules, &q, &ask, &rule))
		return false;
	tell(d->c.rules, &q, &ask, rule);
	whole = dns_name_equal(&q.name, &ask);
	if (q.class == DNS_CLASS_IN && (q.type == DNS_A || q.type == DNS_AAAA))
		look_up(d, who, message, len, &ask, !whole);
	else if (q.class == DNS_CLASS_IN && q.type == DNS_PTR && dns_reverse_name(&q.name, &ip))
		look_up_name(d, who, message, len, &ip);
	else if (whole)
		dns_forwarder_ask(d->forwarder, who, &q, message, len);
	else
		answer(d, who, &m, &no_name);
	return true;
}
