// SPDX-License-Identifier: MIT
/* Decisions of feature.network.dns.filter: pure. */
#include "session/dns_rules.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/route.h"

int dns_rules_init(struct dns_rules *r, const struct config *c, const char *search)
{
	*r = (struct dns_rules){ .side = c->dns_enabled ? c->dns_rules.side : FILTER_NONE, .search = search };
	if (r->side == FILTER_NONE)
		return 0;
	r->filter = address_filter_new(c->dns_rules.entries.items, c->dns_rules.entries.n);
	return r->filter ? 0 : -1;
}

void dns_rules_fini(struct dns_rules *r)
{
	address_filter_free(r->filter);
	*r = (struct dns_rules){ 0 };
}

static bool label_is(const uint8_t *label, const char *text)
{
	size_t len = strlen(text);

	if (label[0] != len)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((label[i + 1] | 32) != (uint8_t)text[i])
			return false;
	return true;
}

/* Four labels of decimal numbers, the last byte first. */
static bool reverse4(const uint8_t *const labels[], struct ip *ret)
{
	uint8_t bytes[4];

	for (size_t i = 0; i < 4; i++) {
		unsigned int v = 0;

		for (size_t k = 1; k <= labels[i][0]; k++) {
			if (labels[i][k] < '0' || labels[i][k] > '9' || labels[i][0] > 3)
				return false;
			v = v * 10 + labels[i][k] - '0';
		}
		if (v > 255)
			return false;
		bytes[3 - i] = (uint8_t)v;
	}
	*ret = ip_from_v4(bytes);
	return true;
}

/* Thirty-two labels of a hexadecimal digit each. */
static bool reverse6(const uint8_t *const labels[], struct ip *ret)
{
	uint8_t bytes[16] = { 0 };

	for (size_t i = 0; i < 32; i++) {
		uint8_t c = labels[i][1] | 32, v = c >= 'a' && c <= 'f' ? (uint8_t)(c - 'a' + 10) : (uint8_t)(labels[i][1] - '0');

		if (labels[i][0] != 1 || v > 15)
			return false;
		bytes[15 - i / 2] |= (uint8_t)(i % 2 ? v << 4 : v);
	}
	*ret = ip_from_v6(bytes);
	return true;
}

bool dns_reverse_name(const struct dns_name *name, struct ip *ret)
{
	const uint8_t *labels[128];
	size_t n = 0;

	for (size_t i = 0; i + 1 < name->len && name->wire[i]; i += name->wire[i] + 1u)
		labels[n++] = name->wire + i;
	if (n < 2 || !label_is(labels[n - 1], "arpa"))
		return false;
	if (n == 6 && label_is(labels[n - 2], "in-addr"))
		return reverse4(labels, ret);
	return n == 34 && label_is(labels[n - 2], "ip6") && reverse6(labels, ret);
}

struct search {
	const struct address_filter *filter;
	struct dns_name form;
	int rule;
};

static bool try_form(void *arg, const struct dns_name *form)
{
	struct search *s = arg;

	s->form = *form;
	s->rule = address_filter_match_query(s->filter, form);
	return s->rule >= 0;
}

bool dns_rules_local(const struct dns_rules *r, const struct dns_question *q, struct dns_name *ret_ask, int *ret_rule)
{
	struct search s = { .filter = r->filter, .rule = -1 };
	struct ip ip;
	bool hit;

	*ret_ask = q->name;
	*ret_rule = -1;
	if (r->side == FILTER_NONE)
		return false;
	if (q->type == DNS_PTR && dns_reverse_name(&q->name, &ip))
		s.rule = address_filter_match_ip(r->filter, 0, &ip, 0);
	hit = s.rule >= 0 || route_each_form(r->search, &q->name, try_form, &s);
	if (hit && r->side == FILTER_LOCAL && s.form.len)
		*ret_ask = s.form;
	*ret_rule = s.rule;
	return hit == (r->side == FILTER_LOCAL);
}
