// SPDX-License-Identifier: MIT
/* Rules by what they look at.
 *
 *   addresses   a hash table of (prefix, length); looked up once per length that occurs, so at most 129 times, and in practice a few
 *   names       a trie of labels from the right: `a.example.com` is com → example → a. A node's children stand in one hash table of (node,
 *               label). Children whose label has a `*` are few, and are tried one by one; `**` takes one label or more on the way
 *   no host     a list, since what differs between them are ports
 *
 * Rules that look at the same thing are chained. The one with the lowest number answers, so the order of the tables doesn't matter. */
#include "config/address_filter.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/table.h"

struct rule {
	struct address_rule rule;
	char *text;
	int next; /* that looks at the same; -1: none */
};

struct prefix_key {
	struct ip prefix;
	uint8_t len;
};

struct prefix_node {
	struct table_node node;
	struct prefix_key key;
	int first;
};

struct label_key {
	uint32_t parent;
	uint8_t len;
	uint8_t label[63];
};

struct trie_node {
	struct table_node node;
	struct label_key key;
	uint32_t id;
	int first;		     /* rules whose name ends here */
	struct trie_node *globs;     /* children with a `*` */
	struct trie_node *next_glob; /* among its parent's */
	struct trie_node *all;	     /* the node that kept it, for the end */
};

struct address_filter {
	struct rule *rules;
	size_t n;
	int any; /* rules without a host */
	struct table prefixes, labels;
	bool lengths[129];
	struct trie_node root, *nodes;
	uint32_t next_id;
};

static bool prefix_equal(const struct table_node *node, const void *key)
{
	const struct prefix_node *p = container_of(node, const struct prefix_node, node);

	return memcmp(&p->key, key, sizeof(p->key)) == 0;
}

static bool label_equal(const struct table_node *node, const void *key)
{
	const struct trie_node *t = container_of(node, const struct trie_node, node);

	return memcmp(&t->key, key, sizeof(t->key)) == 0;
}

/* Chains keep the order of the rules: those are added from the last to the first. */
static void chain(struct address_filter *f, int *first, size_t rule)
{
	f->rules[rule].next = *first;
	*first = (int)rule;
}

static bool add_prefix(struct address_filter *f, size_t i)
{
	const struct address_rule *r = &f->rules[i].rule;
	struct prefix_key key = { .prefix = r->prefix, .len = r->len };
	struct table_node *n = table_find(&f->prefixes, &key, sizeof(key));
	struct prefix_node *p = n ? container_of(n, struct prefix_node, node) : calloc(1, sizeof(*p));

	if (!p)
		return false;
	if (!n) {
		p->key = key;
		p->first = -1;
		table_add(&f->prefixes, &p->node, &p->key, sizeof(p->key));
	}
	f->lengths[r->len] = true;
	chain(f, &p->first, i);
	return true;
}

static struct label_key make_key(uint32_t parent, const void *label, size_t len)
{
	struct label_key key = { .parent = parent, .len = (uint8_t)len };

	for (size_t i = 0; i < len; i++)
		key.label[i] = (uint8_t)tolower(((const uint8_t *)label)[i]);
	return key;
}

static struct trie_node *find_child(const struct address_filter *f, const struct trie_node *parent, const void *label, size_t len)
{
	const struct label_key key = make_key(parent->id, label, len);
	struct table_node *n = table_find(&f->labels, &key, sizeof(key));

	return n ? container_of(n, struct trie_node, node) : NULL;
}

static struct trie_node *add_child(struct address_filter *f, struct trie_node *parent, const char *label, size_t len)
{
	struct trie_node *t = find_child(f, parent, label, len);

	if (t || !(t = calloc(1, sizeof(*t))))
		return t;
	t->key = make_key(parent->id, label, len);
	t->id = ++f->next_id;
	t->first = -1;
	t->all = f->nodes;
	f->nodes = t;
	table_add(&f->labels, &t->node, &t->key, sizeof(t->key));
	if (memchr(label, '*', len)) {
		t->next_glob = parent->globs;
		parent->globs = t;
	}
	return t;
}

static bool add_name(struct address_filter *f, size_t i)
{
	const char *name = f->rules[i].rule.name, *end = name + strlen(name);
	struct trie_node *t = &f->root;

	while (t && end > name) {
		const char *begin = end;

		while (begin > name && begin[-1] != '.')
			begin--;
		t = add_child(f, t, begin, (size_t)(end - begin));
		end = begin > name ? begin - 1 : name;
	}
	if (t)
		chain(f, &t->first, i);
	return t != NULL;
}

static bool add_rule(struct address_filter *f, size_t i)
{
	switch (f->rules[i].rule.host) {
	case RULE_PREFIX:
		return add_prefix(f, i);
	case RULE_NAME:
		return add_name(f, i);
	case RULE_ANY:
		break;
	}
	chain(f, &f->any, i);
	return true;
}

struct address_filter *address_filter_new(char *const *texts, size_t n)
{
	struct address_filter *f = calloc(1, sizeof(*f));
	unsigned int at;

	if (!f)
		return NULL;
	f->any = f->root.first = -1;
	f->rules = calloc(n + 1, sizeof(*f->rules));
	if (!f->rules || table_init(&f->prefixes, prefix_equal) < 0 || table_init(&f->labels, label_equal) < 0)
		goto fail;
	for (size_t i = 0; i < n; i++) {
		if (address_rule_parse(texts[i], &f->rules[f->n].rule, &at) != RULE_OK)
			continue;
		if (!(f->rules[f->n].text = strdup(texts[i])))
			goto fail;
		f->n++;
	}
	for (size_t i = f->n; i-- > 0;)
		if (!add_rule(f, i))
			goto fail;
	return f;
fail:
	address_filter_free(f);
	return NULL;
}

void address_filter_free(struct address_filter *f)
{
	if (!f)
		return;
	for (struct table_node *n = f->prefixes.buckets ? table_first(&f->prefixes) : NULL, *next; n; n = next) {
		next = table_after(&f->prefixes, n);
		table_remove(&f->prefixes, n);
		free(container_of(n, struct prefix_node, node));
	}
	table_fini(&f->prefixes);
	table_fini(&f->labels);
	for (struct trie_node *t = f->nodes, *next; t; t = next) {
		next = t->all;
		free(t);
	}
	for (size_t i = 0; f->rules && i < f->n; i++)
		free(f->rules[i].text);
	free(f->rules);
	free(f);
}

/* What is asked, and the best answer so far. */
struct search {
	const struct address_filter *f;
	int protocol;
	uint16_t port;
	bool all_ports;
	int best;
};

static void take(struct search *s, int rule)
{
	for (; rule >= 0 && (s->best < 0 || rule < s->best); rule = s->f->rules[rule].next)
		if (s->all_ports || address_rule_port_matches(&s->f->rules[rule].rule, s->protocol, s->port)) {
			s->best = rule;
			return;
		}
}

static struct ip masked(const struct ip *ip, unsigned int len)
{
	struct ip m = { 0 };

	memcpy(m.b, ip->b, len / 8);
	if (len % 8)
		m.b[len / 8] = ip->b[len / 8] & (uint8_t)(0xff00 >> len % 8);
	return m;
}

int address_filter_match_ip(const struct address_filter *f, int protocol, const struct ip *ip, uint16_t port)
{
	struct search s = { .f = f, .protocol = protocol, .port = port, .best = -1 };

	take(&s, f->any);
	/* ::/0 is IPv6 alone, though IPv4 stands within it here. */
	for (unsigned int len = ip_is_v4(ip) ? 96 : 0; len <= 128; len++) {
		const struct prefix_key key = { .prefix = masked(ip, len), .len = (uint8_t)len };
		struct table_node *n = f->lengths[len] ? table_find(&f->prefixes, &key, sizeof(key)) : NULL;

		if (n)
			take(&s, container_of(n, struct prefix_node, node)->first);
	}
	return s.best;
}

int address_filter_match_any(const struct address_filter *f, int protocol, uint16_t port)
{
	struct search s = { .f = f, .protocol = protocol, .port = port, .best = -1 };

	take(&s, f->any);
	return s.best;
}

struct labels {
	const uint8_t *at[128];
	size_t n;
};

/* From node @t, which stands for what is behind the first @left labels. */
static void descend(struct search *s, const struct trie_node *t, const struct labels *l, size_t left)
{
	const struct trie_node *child;
	const uint8_t *label;

	if (left == 0) {
		take(s, t->first);
		return;
	}
	label = l->at[left - 1];
	child = find_child(s->f, t, label + 1, label[0]);
	/* A name that has a `*` in it is not the pattern. */
	if (child && !memchr(label + 1, '*', label[0]))
		descend(s, child, l, left - 1);
	for (child = t->globs; child; child = child->next_glob) {
		if (child->key.len == 2 && child->key.label[0] == '*' && child->key.label[1] == '*') {
			for (size_t rest = left; rest-- > 0;)
				descend(s, child, l, rest);
		} else if (address_label_matches((const char *)child->key.label, child->key.len, label + 1, label[0])) {
			descend(s, child, l, left - 1);
		}
	}
}

static int search_name(struct search *s, const struct dns_name *name)
{
	struct labels l = { .n = 0 };

	s->best = -1;
	for (size_t i = 0; i + 1 < name->len && name->wire[i]; i += name->wire[i] + 1u)
		l.at[l.n++] = name->wire + i;
	if (l.n)
		descend(s, &s->f->root, &l, l.n);
	return s->best;
}

int address_filter_match_name(const struct address_filter *f, int protocol, const struct dns_name *name, uint16_t port)
{
	struct search s = { .f = f, .protocol = protocol, .port = port };

	return search_name(&s, name);
}

int address_filter_match_query(const struct address_filter *f, const struct dns_name *name)
{
	struct search s = { .f = f, .all_ports = true };

	return search_name(&s, name);
}

size_t address_filter_count(const struct address_filter *f)
{
	return f->n;
}

const struct address_rule *address_filter_rule(const struct address_filter *f, size_t i)
{
	return &f->rules[i].rule;
}

const char *address_filter_text(const struct address_filter *f, size_t i)
{
	return f->rules[i].text;
}
