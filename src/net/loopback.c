// SPDX-License-Identifier: MIT
/* The aliases of loopback addresses. */
#include "net/loopback.h"

static const struct ip source6 = { .b = { 0xfd, 0, 0, 0x6d, [15] = 1 } };
static const struct ip destination6 = { .b = { 0xfd, 0, 0, 0x6d, [15] = 2 } };
static const struct ip loopback6 = { .b = { [15] = 1 } };

bool ip_is_loopback_alias(const struct ip *ip)
{
	if (ip_is_v4(ip))
		return ip->b[12] == LOOPBACK_SOURCE_NET || ip->b[12] == LOOPBACK_DESTINATION_NET;
	return ip_equal(ip, &source6) || ip_equal(ip, &destination6);
}

struct ip loopback_from_alias(const struct ip *ip)
{
	struct ip real = *ip;

	if (!ip_is_loopback_alias(ip))
		return real;
	if (!ip_is_v4(ip))
		return loopback6;
	real.b[12] = 127;
	return real;
}

static struct ip to_alias(const struct ip *ip, uint8_t net, const struct ip *alias6)
{
	struct ip alias = *ip;

	if (!ip_is_loopback(ip))
		return alias;
	if (!ip_is_v4(ip))
		return *alias6;
	alias.b[12] = net;
	return alias;
}

struct ip loopback_to_source_alias(const struct ip *ip)
{
	return to_alias(ip, LOOPBACK_DESTINATION_NET, &destination6);
}

struct ip loopback_to_destination_alias(const struct ip *ip)
{
	return to_alias(ip, LOOPBACK_SOURCE_NET, &source6);
}
