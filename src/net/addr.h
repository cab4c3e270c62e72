// SPDX-License-Identifier: MIT
/* Addresses: one type for both families, comparable with memcmp. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* An IPv6 address; IPv4 ones stand in their mapped form ::ffff:a.b.c.d (RFC 4291 §2.5.5.2). */
struct ip {
	uint8_t b[16];
};

/* @port in host order. No padding, so it can be a table key. */
struct endpoint {
	struct ip ip;
	uint16_t port;
};

extern const struct ip IP_ANY4, IP_ANY6;

bool ip_is_v4(const struct ip *ip);
int ip_family(const struct ip *ip);
bool ip_equal(const struct ip *a, const struct ip *b);
/* 127.0.0.0/8 or ::1. */
bool ip_is_loopback(const struct ip *ip);
struct ip ip_loopback(bool v4); /* 127.0.0.1 or ::1 */
/* fe80::/10 (RFC 4291 §2.5.6). */
bool ip_is_link_local6(const struct ip *ip);
/* 0.0.0.0 or ::. */
bool ip_is_any(const struct ip *ip);
bool ip_in_prefix(const struct ip *ip, const struct ip *prefix, unsigned int len);
struct ip ip_from_v4(const void *four_bytes);
struct ip ip_from_v6(const void *sixteen_bytes);
/* The 4 or 16 bytes as they stand in a packet; *ret_len says how many. */
const uint8_t *ip_bytes(const struct ip *ip, unsigned int *ret_len);
bool ip_parse(const char *text, struct ip *ret);

enum { IP_TEXT = 46, ENDPOINT_TEXT = 56 };
/* "10.0.0.1", "fd00::1". Returns @buf. */
const char *ip_format(const struct ip *ip, char buf[IP_TEXT]);
/* "10.0.0.1:80", "[fd00::1]:80". Returns @buf. */
const char *endpoint_format(const struct endpoint *e, char buf[ENDPOINT_TEXT]);

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);
/* Fills a sockaddr_in or sockaddr_in6 (by the endpoint's own family); returns its length. */
socklen_t endpoint_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *ret);
/* false for other families than AF_INET and AF_INET6. A mapped IPv6 address becomes IPv4. */
bool endpoint_from_sockaddr(const struct sockaddr_storage *sa, struct endpoint *ret);
