// SPDX-License-Identifier: MIT
/* Values that don't fit together. The first version of each rule is the original's; where it says nothing and fails later, we say it here. */
#include "config/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "config/debugger_ports.h"
#include "config/filter_value.h"
#include "config/node.h"
#include "config/value.h"
#include "http/filter.h"
#include "http/options.h"
#include "http/regexp.h"
#include "net/addr.h"

struct checker {
	struct config *c;
	struct problem_list *problems;
};

/* At the place where @key was set. */
static void tell(const struct checker *k, enum problem_level level, enum config_key key, const char *path, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

static void tell(const struct checker *k, enum problem_level level, enum config_key key, const char *path, const char *format, ...)
{
	const struct config_source *s = &k->c->sources[key];
	va_list args;
	char *text;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	problem_add(k->problems, level, s->origin == ORIGIN_DEFAULT ? NULL : s->name, s->line, s->column, path ? path : key_info(key)->path, "%s",
		    text ? text : "out of memory");
	free(text);
}

#define ERROR(k, key, ...) tell(k, PROBLEM_ERROR, key, NULL, __VA_ARGS__)
#define WARN(k, key, ...)  tell(k, PROBLEM_WARNING, key, NULL, __VA_ARGS__)

struct port_set {
	uint8_t bits[8192];
};

/* Whether it was there already. */
static bool add_port(struct port_set *s, uint16_t port)
{
	uint8_t bit = (uint8_t)(1 << port % 8);
	bool there = s->bits[port / 8] & bit;

	s->bits[port / 8] |= bit;
	return there;
}

static void check_pairs(const struct checker *k, enum config_key key, const struct config_pairs *p, bool identity)
{
	struct port_set left = { 0 }, right = { 0 };

	for (size_t i = 0; i < p->n; i++) {
		if (add_port(&left, p->items[i].from))
			ERROR(k, key, "port %u stands twice on the left", p->items[i].from);
		if (add_port(&right, p->items[i].to))
			ERROR(k, key, "port %u stands twice on the right", p->items[i].to);
		if (identity && p->items[i].from == p->items[i].to)
			WARN(k, key, "the pair [%u, %u] changes nothing", p->items[i].from, p->items[i].to);
	}
}

/* The keys of tls_delivery, from the object with its old name. */
static void take_https_delivery(const struct checker *k)
{
	const struct value_context context = { .config = k->c, .problems = k->problems, .where = k->c->sources[KEY_https_delivery].name,
					       .origin = k->c->sources[KEY_https_delivery].origin };

	for (const struct node *n = k->c->https_delivery->child; n; n = n->next) {
		int key = key_child(KEY_tls_delivery, n->key);

		if (key >= 0)
			value_set_node(&context, (enum config_key)key, n);
		else
			ERROR(k, KEY_https_delivery, "there is no key \"%.40s\" in it%s", n->key,
			      key_meant(k->c->arena, key_nearest(KEY_tls_delivery, n->key)));
	}
}

static bool is_set_below(const struct config *c, enum config_key section)
{
	for (int i = 0; i < CONFIG_KEYS; i++)
		if (key_info((enum config_key)i)->parent == (int)section && c->sources[i].origin != ORIGIN_DEFAULT)
			return true;
	return false;
}

/* Does http_filter have one, beside its ports? */
static bool is_filtered(const struct config *c)
{
	for (int i = 0; i < CONFIG_KEYS; i++)
		if (key_info((enum config_key)i)->parent == KEY_http_filter && i != KEY_http_ports && c->sources[i].origin != ORIGIN_DEFAULT)
			return true;
	return false;
}

static bool has_port(const struct config_ports *p, uint64_t port)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->items[i] == port)
			return true;
	return false;
}

/* Ports of which there will be none to filter or to decrypt. */
static void check_ports_in_use(const struct checker *k)
{
	static const char unused[] = "port %llu is none of feature.network.incoming.ports: %s";
	const struct config *c = k->c;

	if (c->http_ports.set && !c->http_ports.n)
		WARN(k, KEY_http_ports, "an empty list: the filter counts on no port, and all are taken whole");
	else if (c->http_ports.set && !is_filtered(c))
		WARN(k, KEY_http_ports, "has no effect: there is no filter beside it");
	if (!c->incoming_ports.set)
		return;
	for (size_t i = 0; i < c->http_ports.n; i++)
		if (!has_port(&c->incoming_ports, c->http_ports.items[i]))
			WARN(k, KEY_http_ports, unused, (unsigned long long)c->http_ports.items[i], "no filter counts there");
	for (const struct node *n = c->steal_tls ? c->steal_tls->child : NULL; n; n = n->next) {
		const struct node *port = node_member(n, "port");
		unsigned long long number = port && port->kind == NODE_NUMBER ? strtoull(port->text, NULL, 10) : 0;

		if (number && !has_port(&c->incoming_ports, number))
			WARN(k, KEY_steal_tls, unused, number, "nothing is decrypted there");
	}
}

/* A name or an address. */
static void check_server_name(const struct checker *k)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	const char *name = k->c->tls_server_name;
	struct ip ip;

	if (name && !ip_parse(name, &ip) && (!*name || *name == '.' || strlen(name) > 253 || name[strspn(name, good)]))
		ERROR(k, KEY_tls_server_name, "\"%.200s\" is neither a name nor an address", name);
}

static void check_incoming(const struct checker *k)
{
	const struct config *c = k->c;

	if (c->https_delivery && is_set_below(c, KEY_tls_delivery))
		ERROR(k, KEY_https_delivery, "can't stand beside feature.network.incoming.tls_delivery, whose old name it is");
	else if (c->https_delivery)
		take_https_delivery(k);
	check_server_name(k);
	check_ports_in_use(k);
	if (c->steal_tls && c->incoming_mode != INCOMING_STEAL)
		WARN(k, KEY_steal_tls, "has no effect unless feature.network.incoming.mode is \"steal\": a copy can't be decrypted");

	if (c->incoming_ports.set && c->incoming_ignore_ports.n)
		ERROR(k, KEY_incoming_ignore_ports, "can't stand beside feature.network.incoming.ports: what isn't listed there is ignored anyway");
	check_pairs(k, KEY_incoming_port_mapping, &c->incoming_port_mapping, true);
	check_pairs(k, KEY_incoming_listen_ports, &c->incoming_listen_ports, false);
	if (c->tls_trust_roots.set && c->tls_server_cert)
		ERROR(k, KEY_tls_trust_roots, "can't stand beside feature.network.incoming.tls_delivery.server_cert");
	if (c->tls_trust_roots.set && c->tls_trust_roots.n == 0)
		ERROR(k, KEY_tls_trust_roots, "an empty list trusts nobody");
}

/* Of the keys of the filter the first that was set, and that the text is about when one is. */
static enum config_key http_key(const struct config *c, const char *text)
{
	enum config_key first = KEY_http_filter;

	for (int i = CONFIG_KEYS - 1; i >= 0; i--) {
		const struct key_info *k = key_info((enum config_key)i);
		size_t len = strlen(k->name);

		if (k->parent != KEY_http_filter || c->sources[i].origin == ORIGIN_DEFAULT)
			continue;
		first = (enum config_key)i;
		if (strncmp(text, "http_filter.", 12) == 0 && strncmp(text + 12, k->name, len) == 0 && strchr(".[:", text[12 + len]))
			return first;
	}
	return first;
}

/* What begins with where it is in an object that stands in @above. */
static void tell_inner(const struct checker *k, enum config_key key, const char *above, const struct error *e)
{
	const char *what = strstr(e->text, ": ");

	tell(k, PROBLEM_ERROR, key, what ? arena_format(k->c->arena, "%s.%.*s", above, (int)(what - e->text), e->text) : NULL, "%s%s%s",
	     what ? what + 2 : e->text, *e->hint ? "; " : "", e->hint);
}

static void tell_http(void *arg, const struct error *e)
{
	const struct checker *k = arg;

	tell_inner(k, http_key(k->c, e->text), "feature.network.incoming", e);
}

/* The filter's own compiler knows what is right. */
static void check_http(const struct checker *k)
{
	if (k->c->http_filter)
		http_filter_check(k->c->http_filter, tell_http, (void *)k);
}

static void check_regexp(const struct checker *k, enum config_key key, const char *text)
{
	struct error err = { 0 };
	struct regex *r = regex_compile(span_of(text), 0, &err);

	if (!r)
		ERROR(k, key, "\"%.200s\" is no regular expression: %s", text, err.text);
	regex_free(r);
}

static void check_regexps(const struct checker *k)
{
	const struct config_strings *streams = &k->c->outgoing_unix_streams;
	const struct config_map *mapping = &k->c->env_mapping;

	for (size_t i = 0; i < streams->n; i++)
		check_regexp(k, KEY_outgoing_unix_streams, streams->items[i]);
	for (size_t i = 0; i < mapping->n; i++)
		check_regexp(k, KEY_env_mapping, mapping->items[i].name);
}

static void check_debugger_ports(const struct checker *k)
{
	const struct config_strings *ports = &k->c->debugger_ports;

	for (size_t i = 0; i < ports->n; i++)
		if (!debugger_ports_valid(ports->items[i]))
			ERROR(k, KEY_debugger_ports, "\"%.200s\" is neither a port from 1 to 65535 nor a range as 5000-5010", ports->items[i]);
}

static void tell_tls(void *arg, const struct error *e)
{
	tell_inner(arg, KEY_steal_tls, "feature.network", e);
}

/* What is in the files that it names is for the agent to say. */
static void check_tls(const struct checker *k)
{
	struct arena *a = k->c->arena;
	struct node *object = node_new(a, NODE_OBJECT, 0);

	if (!k->c->steal_tls)
		return;
	node_add_member(a, object, node_clone(a, k->c->steal_tls), "steal_tls", 0);
	http_options_check(node_to_json(a, object), tell_tls, (void *)k);
}

/* agent.disabled_capabilities */
static void check_capabilities(const struct checker *k)
{
	static const char *const names[] = {
#define AGENT_CAPABILITY(name, in_pod) #name,
#include "config/agent_capability.def"
#undef AGENT_CAPABILITY
	};
	enum { NAMES = sizeof(names) / sizeof(names[0]) };
	const struct config_strings *given = &k->c->agent_disabled_capabilities;
	char all[256] = "";

	for (size_t n = 0, at = 0; n < NAMES; n++)
		at += (size_t)snprintf(all + at, sizeof(all) - at, "%s%s", n == 0 ? "" : n == NAMES - 1 ? " or " : ", ", names[n]);
	for (size_t i = 0; i < given->n; i++) {
		size_t n = 0;

		while (n < NAMES && strcmp(given->items[i], names[n]) != 0)
			n++;
		if (n == NAMES)
			ERROR(k, KEY_agent_disabled_capabilities, "expected %s, found \"%s\"", all, given->items[i]);
	}
}

static void check_rest(const struct checker *k)
{
	const struct config *c = k->c;
	bool targetless = c->target_path && strcmp(c->target_path, "targetless") == 0;

	if (c->env_include.set && c->env_exclude.set)
		ERROR(k, KEY_env_exclude, "can't stand beside feature.env.include");
	if (targetless && c->incoming_mode == INCOMING_STEAL)
		ERROR(k, KEY_incoming_mode, "there is nothing to steal without a target");
	if (targetless && c->agent_ephemeral)
		ERROR(k, KEY_agent_ephemeral, "without a target there is no pod for the agent to join");
	if (c->target_replicas == REPLICAS_ALL && (targetless || (c->target_path && strncmp(c->target_path, "pod/", 4) == 0)))
		WARN(k, KEY_target_replicas, "has no effect: only a workload, a service or labels have several pods");
	if (c->agent_namespace && c->agent_ephemeral)
		WARN(k, KEY_agent_namespace, "has no effect: an ephemeral agent is in the target's namespace");
	else if (c->agent_namespace && targetless)
		WARN(k, KEY_agent_namespace, "has no effect without a target: target.namespace counts");
	if (c->agent_log_level && log_level_parse_directives(c->agent_log_level) < 0)
		ERROR(k, KEY_agent_log_level,
		      "expected error, warn, info, debug, trace or off, or a list of them as \"mirrord=debug,warn\", found \"%s\"",
		      c->agent_log_level);
	if (c->startup_retry_min_ms > c->startup_retry_max_ms)
		ERROR(k, KEY_startup_retry_min_ms, "is more than startup_retry.max_ms, which is %llu", (unsigned long long)c->startup_retry_max_ms);
}

void config_check(struct config *c, struct problem_list *problems)
{
	const struct checker k = { c, problems };

	check_incoming(&k);
	check_http(&k);
	check_regexps(&k);
	check_debugger_ports(&k);
	check_tls(&k);
	check_capabilities(&k);
	check_rest(&k);
	filter_value_check(c, problems);
}

/* Whether the value is what the key has anyway. */
static bool is_preset(const struct config *c, enum config_key key)
{
	struct config preset = { .arena = c->arena };
	struct problem_list none;
	const struct value_context context = { .config = &preset, .problems = &none, .where = "default" };
	struct node *now = value_to_node(c, key, c->arena);

	if (!*key_info(key)->preset)
		return now->kind == NODE_NULL;
	problem_list_init(&none);
	value_set_text(&context, key, key_info(key)->preset);
	problem_list_fini(&none);
	return node_equal(now, value_to_node(&preset, key, c->arena));
}

void config_check_status(const struct config *c, bool strict, struct problem_list *problems)
{
	for (int i = 0; i < CONFIG_KEYS; i++) {
		const struct key_info *info = key_info((enum config_key)i);
		const struct config_source *s = &c->sources[i];

		if (info->status != STATUS_LATER || info->kind == KIND_SECTION || s->origin == ORIGIN_DEFAULT || is_preset(c, (enum config_key)i))
			continue;
		problem_add(problems, strict ? PROBLEM_ERROR : PROBLEM_WARNING, s->name, s->line, s->column, info->path, "has no effect yet: %s",
			info->note);
	}
}
