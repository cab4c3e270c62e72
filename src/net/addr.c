// SPDX-License-Identifier: MIT
/* Addresses of both families in one type. */
#include "net/addr.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };

const struct ip IP_ANY4 = { .b = { [10] = 0xff, [11] = 0xff } };
const struct ip IP_ANY6 = { .b = { 0 } };

static_assert(sizeof(struct endpoint) == 18, "an endpoint is a table key: no padding");

bool ip_is_v4(const struct ip *ip)
{
	return memcmp(ip->b, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

int ip_family(const struct ip *ip)
{
	return ip_is_v4(ip) ? AF_INET : AF_INET6;
}

bool ip_equal(const struct ip *a, const struct ip *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

struct ip ip_loopback(bool v4)
{
	struct ip ip = v4 ? IP_ANY4 : IP_ANY6;

	if (v4)
		ip.b[12] = 127;
	ip.b[15] = 1;
	return ip;
}

bool ip_is_loopback(const struct ip *ip)
{
	static const struct ip loopback6 = { .b = { [15] = 1 } };

	return ip_is_v4(ip) ? ip->b[12] == 127 : ip_equal(ip, &loopback6);
}

bool ip_is_link_local6(const struct ip *ip)
{
	return ip->b[0] == 0xfe && (ip->b[1] & 0xc0) == 0x80; /* a mapped IPv4 address starts with 0 */
}

bool ip_is_any(const struct ip *ip)
{
	return ip_equal(ip, &IP_ANY4) || ip_equal(ip, &IP_ANY6);
}

bool ip_in_prefix(const struct ip *ip, const struct ip *prefix, unsigned int len)
{
	unsigned int bytes, bits;

	if (ip_is_v4(ip) != ip_is_v4(prefix))
		return false;
	if (ip_is_v4(prefix))
		len += 96;
	if (len > 128)
		return false;
	bytes = len / 8;
	bits = len % 8;
	if (memcmp(ip->b, prefix->b, bytes) != 0)
		return false;
	return bits == 0 || (ip->b[bytes] ^ prefix->b[bytes]) >> (8 - bits) == 0;
}

struct ip ip_from_v4(const void *four_bytes)
{
	struct ip ip = IP_ANY4;

	memcpy(ip.b + 12, four_bytes, 4);
	return ip;
}

struct ip ip_from_v6(const void *sixteen_bytes)
{
	struct ip ip;

	memcpy(ip.b, sixteen_bytes, 16);
	return ip;
}

const uint8_t *ip_bytes(const struct ip *ip, unsigned int *ret_len)
{
	bool v4 = ip_is_v4(ip);

	*ret_len = v4 ? 4 : 16;
	return v4 ? ip->b + 12 : ip->b;
}

bool ip_parse(const char *text, struct ip *ret)
{
	uint8_t raw[16];

	if (inet_pton(AF_INET, text, raw) == 1)
		*ret = ip_from_v4(raw);
	else if (inet_pton(AF_INET6, text, raw) == 1)
		*ret = ip_from_v6(raw);
	else
		return false;
	return true;
}

const char *ip_format(const struct ip *ip, char buf[IP_TEXT])
{
	bool v4 = ip_is_v4(ip);

	return inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? ip->b + 12 : ip->b, buf, IP_TEXT);
}

const char *endpoint_format(const struct endpoint *e, char buf[ENDPOINT_TEXT])
{
	char ip[IP_TEXT];

	snprintf(buf, ENDPOINT_TEXT, ip_is_v4(&e->ip) ? "%s:%u" : "[%s]:%u", ip_format(&e->ip, ip), e->port);
	return buf;
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

socklen_t endpoint_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (ip_is_v4(&e->ip)) {
		struct sockaddr_in *in = (struct sockaddr_in *)ret;

		in->sin_family = AF_INET;
		in->sin_port = htons(e->port);
		memcpy(&in->sin_addr, e->ip.b + 12, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(e->port);
	memcpy(&in6->sin6_addr, e->ip.b, 16);
	return sizeof(*in6);
}

bool endpoint_from_sockaddr(const struct sockaddr_storage *sa, struct endpoint *ret)
{
	if (sa->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)sa;

		*ret = (struct endpoint){ .ip = ip_from_v4(&in->sin_addr), .port = ntohs(in->sin_port) };
		return true;
	}
	if (sa->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;

		*ret = (struct endpoint){ .ip = ip_from_v6(&in6->sin6_addr), .port = ntohs(in6->sin6_port) };
		return true;
	}
	return false;
}
