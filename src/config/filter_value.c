// SPDX-License-Identifier: MIT
/* Filters of destinations and of names. */
#include "config/filter_value.h"

#include <netinet/in.h>
#include <string.h>

#include "base/nearest.h"
#include "config/address_rule.h"

static bool is_dns(enum config_key key)
{
	return key == KEY_dns_filter;
}

/* What is wrong with an entry, for a message; NULL: nothing. */
static const char *wrong(const struct value_context *c, enum config_key key, const char *text)
{
	struct address_rule rule;
	unsigned int at = 0;
	enum rule_error e = address_rule_parse(text, &rule, &at);

	if (e != RULE_OK)
		return arena_format(c->config->arena, "\"%.60s\": %s (at its character %u)", text, address_rule_error(e), at + 1);
	if (is_dns(key) && strstr(text, "://"))
		return arena_format(c->config->arena, "\"%.60s\": an entry for names has no protocol", text);
	if (is_dns(key) && !*text)
		return "an empty entry";
	return NULL;
}

static bool check_entries(const struct value_context *c, enum config_key key, const struct node *side, const char *path)
{
	bool good = true, array = side->kind == NODE_ARRAY;
	size_t i = 0;

	for (const struct node *e = array ? side->child : side; e; e = array ? e->next : NULL, i++) {
		const char *what = wrong(c, key, e->text);

		if (!what)
			continue;
		value_error(c, key, e, array ? arena_format(c->config->arena, "%s[%zu]", path, i) : path, "%s", what);
		good = false;
	}
	if (array && !side->child && !is_dns(key)) {
		value_error(c, key, side, path, "an empty list: leave the filter out, or say what it is for");
		good = false;
	}
	return good;
}

static const char *describe_object(const struct value_context *c, const struct node *n)
{
	static const char *const sides[] = { "local", "remote", NULL };

	if (n->kind != NODE_OBJECT)
		return node_describe(c->config->arena, n);
	if (!n->child)
		return "an empty object";
	return n->n > 1 ? "more than one key" : arena_format(c->config->arena, "the key \"%.40s\"%s", n->child->key,
		key_meant(c->config->arena, nearest_word(n->child->key, sides)));
}

bool filter_value_set(const struct value_context *c, enum config_key key, const struct node *n)
{
	const struct node *side = n->kind == NODE_OBJECT && n->n == 1 ? n->child : NULL;
	struct config_filter filter;
	const char *path;

	if (!side || (strcmp(side->key, "local") != 0 && strcmp(side->key, "remote") != 0)) {
		value_error(c, key, n, NULL, "expected {\"local\": […]} or {\"remote\": […]}, found %s", describe_object(c, n));
		return false;
	}
	filter.side = side->key[0] == 'l' ? FILTER_LOCAL : FILTER_REMOTE;
	path = arena_format(c->config->arena, "%s.%s", key_info(key)->path, side->key);
	if (!strings_value_read(c, key, side, path, &filter.entries) || !check_entries(c, key, side, path))
		return false;
	*(config_FILTER *)((char *)c->config + key_info(key)->offset) = filter;
	return true;
}

/* The name of an entry that has one; NULL for any other. */
static const char *entry_name(const char *text, struct address_rule *rule)
{
	unsigned int at;

	return address_rule_parse(text, rule, &at) == RULE_OK && rule->host == RULE_NAME ? rule->name : NULL;
}

/* The names among the entries, as the members of an object: lists are long at times. */
static struct node *set_of_names(struct arena *a, const struct config_strings *s)
{
	struct node *set = node_new(a, NODE_OBJECT, 0);
	struct address_rule rule;

	for (size_t i = 0; i < s->n; i++) {
		const char *name = entry_name(s->items[i], &rule);

		if (name && !node_member(set, name))
			node_add_member(a, set, node_new(a, NODE_NULL, 0), arena_copy(a, name, strlen(name)), 0);
	}
	return set;
}

void filter_value_derive(struct config *c)
{
	const struct config_filter *out = &c->outgoing_filter;
	struct config_filter *rules = &c->dns_rules;
	struct node *known;

	rules->side = c->dns_filter.side;
	for (size_t i = 0; i < c->dns_filter.entries.n; i++)
		*(char **)arena_push(c->arena, (void **)&rules->entries.items, rules->entries.n++, sizeof(char *)) = c->dns_filter.entries.items[i];
	if (rules->side == FILTER_NONE && out->side == FILTER_LOCAL)
		rules->side = FILTER_LOCAL;
	if (rules->side == FILTER_NONE || out->side != rules->side)
		return;
	known = set_of_names(c->arena, &rules->entries);
	for (const struct node *n = set_of_names(c->arena, &out->entries)->child; n; n = n->next)
		if (!node_member(known, n->key))
			*(char **)arena_push(c->arena, (void **)&rules->entries.items, rules->entries.n++, sizeof(char *)) =
				arena_copy(c->arena, n->key, strlen(n->key));
	if (rules->entries.n == 0 && c->dns_filter.side == FILTER_NONE)
		rules->side = FILTER_NONE;
}

static void warn(const struct config *c, struct problem_list *problems, enum config_key key, const char *text)
{
	const struct config_source *s = &c->sources[key];

	problem_add(problems, PROBLEM_WARNING, s->name, s->line, s->column, key_info(key)->path, "%s", text);
}

/* No name ends in a number (RFC 3696 §2), but addresses with a slip of the pen do. */
static void warn_of_number(const struct config *c, struct problem_list *problems, enum config_key key, const struct address_rule *rule,
			   const char *text)
{
	const char *dot = rule->host == RULE_NAME ? strrchr(rule->name, '.') : NULL;

	if (dot && dot[1 + strspn(dot + 1, "0123456789")] == '\0')
		warn(c, problems, key, arena_format(c->arena, "\"%s\" is taken for a name, since it is no address", text));
}

static void check_outgoing(const struct config *c, struct problem_list *problems)
{
	const struct config_filter *f = &c->outgoing_filter;
	struct address_rule rule;
	bool names = false;
	unsigned int at;

	for (size_t i = 0; i < f->entries.n; i++) {
		const char *text = f->entries.items[i];
		bool off;

		if (address_rule_parse(text, &rule, &at) != RULE_OK)
			continue;
		names |= rule.host == RULE_NAME;
		warn_of_number(c, problems, KEY_outgoing_filter, &rule, text);
		off = rule.protocol == IPPROTO_TCP ? !c->outgoing_tcp : rule.protocol == IPPROTO_UDP ? !c->outgoing_udp : !c->outgoing_tcp &&
			!c->outgoing_udp;
		if (off)
			warn(c, problems, KEY_outgoing_filter,
			     arena_format(c->arena, "\"%s\" can never match: its protocol is off and leaves from this machine anyway", text));
	}
	if (names && f->side == FILTER_REMOTE && !c->dns_enabled)
		warn(c, problems, KEY_outgoing_filter, "names resolve on this machine, since feature.network.dns is off: they may have other "
			"addresses there");
}

static void check_dns(const struct config *c, struct problem_list *problems)
{
	const struct config_filter *f = &c->dns_filter, *out = &c->outgoing_filter;
	struct address_rule rule;
	struct node *names;

	if (f->side == FILTER_NONE)
		return;
	if (!c->dns_enabled)
		warn(c, problems, KEY_dns_filter, "has no effect: feature.network.dns is off");
	else if (f->entries.n == 0)
		warn(c, problems, KEY_dns_filter, "an empty list: no name is in it");
	for (size_t i = 0; i < f->entries.n; i++) {
		unsigned int at;

		if (address_rule_parse(f->entries.items[i], &rule, &at) != RULE_OK)
			continue;
		warn_of_number(c, problems, KEY_dns_filter, &rule, f->entries.items[i]);
		if (rule.host == RULE_ANY)
			warn(c, problems, KEY_dns_filter,
			     arena_format(c->arena, "\"%s\" can never match: a question for a name has no port", f->entries.items[i]));
	}
	if (out->side == FILTER_NONE || out->side == f->side)
		return;
	names = set_of_names(c->arena, &f->entries);
	for (const struct node *n = set_of_names(c->arena, &out->entries)->child; n; n = n->next)
		if (node_member(names, n->key))
			warn(c, problems, KEY_dns_filter,
			     arena_format(c->arena, "\"%s\" is %s here and %s in feature.network.outgoing.filter", n->key, f->side == FILTER_LOCAL ?
				"local" : "remote",
					  out->side == FILTER_LOCAL ? "local" : "remote"));
}

void filter_value_check(const struct config *c, struct problem_list *problems)
{
	check_outgoing(c, problems);
	check_dns(c, problems);
}
