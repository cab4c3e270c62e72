// SPDX-License-Identifier: MIT
/* Source address selection, as Linux does it.
 *
 * IPv4 (inet_select_addr() in net/ipv4/devinet.c) takes the first primary address of the route's link that is wide
 * enough in scope, one in the gateway's subnet before others; when the link has none, the first such address of any
 * link, those of scope "link" left out. A secondary address comes after the primary one of its subnet, which has the
 * same scope, so the order says all.
 *
 * IPv6 (RFC 6724) chooses per destination among all addresses. A twin holds them all on one link. So where the target
 * has them on one link, too, its kernel's choice is the right one, and we name none. Where they are spread, rule 5
 * (those of the outgoing link first) would be lost; and a deprecated address would be one like any other. Then the
 * route's link decides. */
#include "agent/source.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

static bool is_candidate4(const struct dumped_address *a, uint8_t scope)
{
	return ip_is_v4(&a->ip) && a->scope <= scope;
}

static struct ip choose4(const struct dumped_route *r, const struct dumped_address *addresses, size_t n)
{
	const struct dumped_address *first = NULL;

	for (size_t i = 0; i < n; i++) {
		const struct dumped_address *a = &addresses[i];

		if (a->link != r->link || !is_candidate4(a, r->scope))
			continue;
		if (r->has_gateway && ip_in_prefix(&r->gateway, &a->ip, a->prefix_len))
			return a->ip;
		if (!first)
			first = a;
	}
	for (size_t i = 0; i < n && !first; i++) {
		if (is_candidate4(&addresses[i], r->scope) && addresses[i].scope != RT_SCOPE_LINK)
			first = &addresses[i];
	}
	return first ? first->ip : IP_ANY4;
}

static bool is_candidate6(const struct dumped_address *a)
{
	return !ip_is_v4(&a->ip) && !ip_is_loopback(&a->ip) && !ip_is_link_local6(&a->ip) &&
	       !(a->flags & IFA_F_DADFAILED);
}

static struct ip choose6(const struct dumped_route *r, const struct dumped_address *addresses, size_t n)
{
	const struct dumped_address *preferred = NULL, *deprecated = NULL;
	bool alike = true;

	for (size_t i = 0; i < n; i++) {
		const struct dumped_address *a = &addresses[i];

		if (!is_candidate6(a))
			continue;
		if (a->link != r->link || (a->flags & IFA_F_DEPRECATED))
			alike = false;
		if (a->link != r->link)
			continue;
		if (!preferred && !(a->flags & IFA_F_DEPRECATED))
			preferred = a;
		if (!deprecated)
			deprecated = a;
	}
	if (alike || !deprecated)
		return IP_ANY6;
	return preferred ? preferred->ip : deprecated->ip;
}

struct ip route_source(const struct dumped_route *r, const struct dumped_address *addresses, size_t n)
{
	bool v4 = ip_is_v4(&r->prefix);

	if (r->has_source)
		return r->source;
	if (r->type != RTN_UNICAST)
		return v4 ? IP_ANY4 : IP_ANY6;
	return v4 ? choose4(r, addresses, n) : choose6(r, addresses, n);
}
