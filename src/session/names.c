// SPDX-License-Identifier: MIT
/* Names of addresses.
 *
 * Programs keep addresses longer than their TTL says, so an entry doesn't end with it. It ends
 *   - when a later answer gives the address to another name: the one asked last by the program decides;
 *   - when a later answer for the same name doesn't have the address any more, and the TTL is over;
 *   - when more than MAX_ENTRIES are there: the one that was learnt the longest ago.
 *
 * Each answer for a name and family is a generation of it; an entry knows of which it is. */
#include "session/names.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/table.h"

enum { MAX_ENTRIES = 16384, MAX_ASKED = 16384 };
#define SECOND_NS 1000000000ULL

/* A name that was asked for, in small letters, with how often it was answered. */
struct asked {
	struct table_node node;
	struct list by_age;
	uint32_t generation[2]; /* of A, of AAAA */
	struct dns_name name;
};

/* Names one behind the other, each as its length and its labels; first the one that was asked for. */
struct entry {
	struct table_node node;
	struct list by_age;
	struct ip ip;
	uint64_t until;
	uint32_t generation;
	size_t len, count;
	uint8_t *names;
};

/* What the session looked up itself. */
struct found {
	struct table_node node;
	struct ip ip;
	struct dns_name name;
	struct found *next; /* of all */
};

struct names {
	struct table entries, asked, found;
	struct list entries_by_age, asked_by_age;
	struct found *all_found;
};

/* While an answer is read. */
struct learning {
	struct names *names;
	uint64_t now;
	const struct dns_name *asked;
	uint32_t generation[2];
	struct entry *entry; /* of the address that is being told of */
};

static bool entry_equal(const struct table_node *node, const void *key)
{
	return memcmp(&container_of(node, const struct entry, node)->ip, key, sizeof(struct ip)) == 0;
}

static bool asked_equal(const struct table_node *node, const void *key)
{
	const struct asked *a = container_of(node, const struct asked, node);

	return a->name.len == ((const struct dns_name *)key)->len && memcmp(a->name.wire, ((const struct dns_name *)key)->wire, a->name.len) == 0;
}

static bool found_equal(const struct table_node *node, const void *key)
{
	return memcmp(&container_of(node, const struct found, node)->ip, key, sizeof(struct ip)) == 0;
}

struct names *names_new(void)
{
	struct names *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	list_init(&n->entries_by_age);
	list_init(&n->asked_by_age);
	if (table_init(&n->entries, entry_equal) == 0 && table_init(&n->asked, asked_equal) == 0 && table_init(&n->found, found_equal) == 0)
		return n;
	names_free(n);
	return NULL;
}

static void entry_free(struct names *n, struct entry *e)
{
	table_remove(&n->entries, &e->node);
	list_remove(&e->by_age);
	free(e->names);
	free(e);
}

static void asked_free(struct names *n, struct asked *a)
{
	table_remove(&n->asked, &a->node);
	list_remove(&a->by_age);
	free(a);
}

void names_free(struct names *n)
{
	if (!n)
		return;
	while (!list_empty(&n->entries_by_age))
		entry_free(n, container_of(n->entries_by_age.next, struct entry, by_age));
	while (!list_empty(&n->asked_by_age))
		asked_free(n, container_of(n->asked_by_age.next, struct asked, by_age));
	for (struct found *f = n->all_found, *next; f; f = next) {
		next = f->next;
		free(f);
	}
	table_fini(&n->entries);
	table_fini(&n->asked);
	table_fini(&n->found);
	free(n);
}

static struct dns_name small(const struct dns_name *name)
{
	struct dns_name s = { .len = name->len };

	/* Lengths of labels are below 'A'. */
	for (size_t i = 0; i < name->len; i++)
		s.wire[i] = name->wire[i] >= 'A' && name->wire[i] <= 'Z' ? (uint8_t)(name->wire[i] | 32) : name->wire[i];
	return s;
}

static struct asked *find_asked(const struct names *n, const struct dns_name *name)
{
	struct table_node *node = table_find(&n->asked, name, name->len + 1u);

	return node ? container_of(node, struct asked, node) : NULL;
}

static struct asked *ask(struct names *n, const struct dns_name *question)
{
	struct dns_name name = small(question);
	struct asked *a = find_asked(n, &name);

	if (a) {
		list_remove(&a->by_age);
	} else {
		if (n->asked.n >= MAX_ASKED)
			asked_free(n, container_of(n->asked_by_age.next, struct asked, by_age));
		a = calloc(1, sizeof(*a));
		if (!a)
			return NULL;
		a->name = name;
		table_add(&n->asked, &a->node, &a->name, a->name.len + 1u);
	}
	list_append(&n->asked_by_age, &a->by_age);
	return a;
}

static struct entry *find_entry(const struct names *n, const struct ip *ip)
{
	struct table_node *node = table_find(&n->entries, ip, sizeof(*ip));

	return node ? container_of(node, struct entry, node) : NULL;
}

static struct entry *fresh_entry(struct names *n, const struct ip *ip)
{
	struct entry *e = find_entry(n, ip);

	if (e)
		entry_free(n, e);
	else if (n->entries.n >= MAX_ENTRIES)
		entry_free(n, container_of(n->entries_by_age.next, struct entry, by_age));
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->ip = *ip;
	table_add(&n->entries, &e->node, &e->ip, sizeof(e->ip));
	list_append(&n->entries_by_age, &e->by_age);
	return e;
}

static void add_name(struct entry *e, const struct dns_name *name)
{
	uint8_t *longer = e->count < NAMES_PER_ADDRESS ? realloc(e->names, e->len + name->len + 1u) : NULL;

	if (!longer)
		return;
	longer[e->len] = name->len;
	memcpy(longer + e->len + 1, name->wire, name->len);
	e->names = longer;
	e->len += name->len + 1u;
	e->count++;
}

/* Called for each address and each of its names. */
static void on_address(void *arg, const struct dns_name *name, const struct ip *ip, uint32_t ttl)
{
	struct learning *l = arg;
	struct dns_name s = small(name);

	if (!l->entry || !ip_equal(&l->entry->ip, ip)) {
		l->entry = fresh_entry(l->names, ip);
		if (!l->entry)
			return;
		l->entry->generation = l->generation[!ip_is_v4(ip)];
		add_name(l->entry, l->asked);
	}
	l->entry->until = l->now + ttl * SECOND_NS;
	if (!dns_name_equal(&s, l->asked))
		add_name(l->entry, &s);
}

void names_learn(struct names *n, const struct dns_message *answer, uint64_t now)
{
	struct learning l = { .names = n, .now = now };
	struct dns_cursor c = dns_questions(answer);
	struct dns_question q;
	struct asked *a;

	if (!answer->response || answer->rcode != 0 || dns_next_question(&c, &q) <= 0 || (q.type != DNS_A && q.type != DNS_AAAA))
		return;
	a = ask(n, &q.name);
	if (!a)
		return;
	a->generation[q.type == DNS_AAAA]++;
	memcpy(l.generation, a->generation, sizeof(l.generation));
	l.asked = &a->name;
	dns_each_address(answer, on_address, &l);
}

void names_set_found(struct names *n, const struct dns_name *name, const struct ip *ips, size_t n_ips)
{
	struct dns_name s = small(name);

	for (struct found **at = &n->all_found; *at;) {
		struct found *f = *at;

		if (memcmp(&f->name, &s, sizeof(s)) != 0) {
			at = &f->next;
			continue;
		}
		*at = f->next;
		table_remove(&n->found, &f->node);
		free(f);
	}
	for (size_t i = 0; i < n_ips; i++) {
		struct found *f = calloc(1, sizeof(*f));

		if (!f)
			return;
		*f = (struct found){ .ip = ips[i], .name = s, .next = n->all_found };
		n->all_found = f;
		table_add(&n->found, &f->node, &f->ip, sizeof(f->ip));
	}
}

/* Whether the name's last answer still had the address, or it is valid by its TTL anyway. */
static bool is_current(const struct names *n, const struct entry *e, uint64_t now)
{
	struct dns_name name = { .len = e->names[0] };
	const struct asked *a;

	if (now < e->until)
		return true;
	memcpy(name.wire, e->names + 1, name.len);
	a = find_asked(n, &name);
	return !a || a->generation[!ip_is_v4(&e->ip)] == e->generation;
}

/* More than one name may have been found for an address. */
static size_t found_of(const struct names *n, const struct ip *ip, struct dns_name ret[NAMES_PER_ADDRESS])
{
	size_t count = 0;

	if (!table_find(&n->found, ip, sizeof(*ip)))
		return 0;
	for (const struct found *f = n->all_found; f && count < NAMES_PER_ADDRESS; f = f->next)
		if (ip_equal(&f->ip, ip))
			ret[count++] = f->name;
	return count;
}

size_t names_of(const struct names *n, const struct ip *ip, uint64_t now, struct dns_name ret[NAMES_PER_ADDRESS])
{
	const struct entry *e = find_entry(n, ip);
	size_t count = 0;

	if (!e || !e->len || !is_current(n, e, now))
		return found_of(n, ip, ret);
	for (size_t at = 0; at < e->len && count < NAMES_PER_ADDRESS; at += e->names[at] + 1u) {
		ret[count] = (struct dns_name){ .len = e->names[at] };
		memcpy(ret[count++].wire, e->names + at + 1, e->names[at]);
	}
	return count;
}

size_t names_count(const struct names *n)
{
	return n->entries.n;
}
