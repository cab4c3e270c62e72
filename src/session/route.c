// SPDX-License-Identifier: MIT
/* Decisions of feature.network.outgoing: pure, so that `mirrord explain` says what the session does. */
#include "session/route.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/debugger_ports.h"

int route_rules_init(struct route_rules *r, const struct config *c)
{
	*r = (struct route_rules){ .tcp = c->outgoing_tcp, .udp = c->outgoing_udp, .ignore_localhost = c->outgoing_ignore_localhost,
				   .side = c->outgoing_filter.side, .debugger_ports = &c->debugger_ports };
	if (r->side == FILTER_NONE)
		return 0;
	r->filter = address_filter_new(c->outgoing_filter.entries.items, c->outgoing_filter.entries.n);
	return r->filter ? 0 : -1;
}

void route_rules_fini(struct route_rules *r)
{
	address_filter_free(r->filter);
	free(r->search);
	*r = (struct route_rules){ 0 };
}

void route_rules_set_search(struct route_rules *r, const char *resolv_conf)
{
	for (const char *line = resolv_conf; line && *line; line = strchr(line, '\n')) {
		size_t len;

		line += *line == '\n';
		len = strncmp(line, "search", 6) == 0 || strncmp(line, "domain", 6) == 0 ? 6 : 0;
		if (len == 0 || (line[len] != ' ' && line[len] != '\t'))
			continue;
		free(r->search);
		r->search = strndup(line + len, strcspn(line + len, "\n"));
	}
}

/* @name ends with @suffix, and has something before it: then *ret is what. */
static bool strip_suffix(const struct dns_name *name, const struct dns_name *suffix, struct dns_name *ret)
{
	size_t at = 0;

	if (name->len <= suffix->len)
		return false;
	while (name->len - at > suffix->len)
		at += name->wire[at] + 1u;
	if (name->len - at != suffix->len)
		return false;
	*ret = (struct dns_name){ .len = suffix->len };
	memcpy(ret->wire, name->wire + at, suffix->len);
	if (!dns_name_equal(ret, suffix))
		return false;
	*ret = (struct dns_name){ .len = (uint8_t)(at + 1) };
	memcpy(ret->wire, name->wire, at);
	return true;
}

bool route_each_form(const char *search, const struct dns_name *name, bool (*each)(void *arg, const struct dns_name *form), void *arg)
{
	if (each(arg, name))
		return true;
	for (const char *p = search; p && *p && *p != '\n';) {
		size_t len;
		char text[256];
		struct dns_name suffix, form;

		p += strspn(p, " \t\r");
		len = strcspn(p, " \t\r\n");
		if (len && len < sizeof(text)) {
			memcpy(text, p, len);
			text[len] = '\0';
			if (address_name_to_dns(text, &suffix) && strip_suffix(name, &suffix, &form) && each(arg, &form))
				return true;
		}
		p += len;
	}
	return false;
}

struct search {
	const struct route_rules *r;
	int protocol, best;
	uint16_t port;
};

static void better(struct search *s, int rule)
{
	if (rule >= 0 && (s->best < 0 || rule < s->best))
		s->best = rule;
}

static bool try_name(void *arg, const struct dns_name *form)
{
	struct search *s = arg;

	better(s, address_filter_match_name(s->r->filter, s->protocol, form, s->port));
	return false;
}

struct route_decision route_pick(const struct route_rules *r, int protocol, const struct ip *ip, uint16_t port, const struct dns_name *names,
	size_t n_names)
{
	struct search s = { .r = r, .protocol = protocol, .best = -1, .port = port };
	struct route_decision route = { .rule = -1 };
	bool matched;

	if (ip && r->ignore_localhost && ip_is_loopback(ip)) {
		route.why = ROUTE_LOCALHOST;
		return route;
	}
	if (ip && ip_is_loopback(ip) && debugger_ports_has(r->debugger_ports, port)) {
		route.why = ROUTE_DEBUGGER;
		return route;
	}
	if (protocol == IPPROTO_TCP ? !r->tcp : !r->udp) {
		route.why = ROUTE_PROTOCOL;
		return route;
	}
	if (!r->filter) {
		route.target = true;
		return route;
	}
	better(&s, ip ? address_filter_match_ip(r->filter, protocol, ip, port) : address_filter_match_any(r->filter, protocol, port));
	for (size_t i = 0; i < n_names; i++)
		route_each_form(r->search, &names[i], try_name, &s);
	matched = s.best >= 0;
	route.target = matched == (r->side == FILTER_REMOTE);
	route.why = matched ? ROUTE_RULE : ROUTE_NO_RULE;
	route.rule = s.best;
	return route;
}

const char *route_explain(const struct route_rules *r, const struct route_decision *route, char buf[ROUTE_TEXT])
{
	const char *from = route->target ? "leaves from the target" : "leaves from this machine";
	const char *side = r->side == FILTER_LOCAL ? "local" : "remote";

	switch (route->why) {
	case ROUTE_DEFAULT:
		snprintf(buf, ROUTE_TEXT, "%s: there is no feature.network.outgoing.filter", from);
		break;
	case ROUTE_PROTOCOL:
		snprintf(buf, ROUTE_TEXT, "%s: feature.network.outgoing has this protocol off", from);
		break;
	case ROUTE_LOCALHOST:
		snprintf(buf, ROUTE_TEXT, "%s: feature.network.outgoing.ignore_localhost", from);
		break;
	case ROUTE_DEBUGGER:
		snprintf(buf, ROUTE_TEXT, "%s: a debugger's port, by feature.network.debugger_ports", from);
		break;
	case ROUTE_RULE:
		snprintf(buf, ROUTE_TEXT, "%s: \"%s\" of feature.network.outgoing.filter.%s", from, address_filter_text(r->filter,
			(size_t)route->rule), side);
		break;
	case ROUTE_NO_RULE:
		snprintf(buf, ROUTE_TEXT, "%s: no rule of feature.network.outgoing.filter.%s matches", from, side);
		break;
	}
	return buf;
}
