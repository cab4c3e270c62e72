// SPDX-License-Identifier: MIT
/* ICMP echo over a ping socket (icmp(7)) or a raw one.
 *
 * A ping socket hears the replies to its own identifier, which is the program's when it was free; the kernel writes it and the checksum. A raw
 * socket hears everybody's replies, so its requests carry an identifier of their own (wire_id), drawn at random, by which they are told apart.
 * The program sees its own identifier either way. */
#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <string.h>

#include "relay/port_internal.h"

enum { ICMP_HEADER = 8, ID_AT = 4 };

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static bool is_v4(const struct socket_port *p)
{
	return ip_is_v4(&p->local.ip);
}

void echo_head(const struct socket_port *p, const uint8_t *data, size_t len, uint8_t ret[ECHO_HEAD])
{
	memset(ret, 0, ECHO_HEAD);
	ret[0] = is_v4(p) ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
	put16(ret + ID_AT, p->wire_id);
	if (p->raw && is_v4(p)) /* ICMPv6's is the kernel's work in every case (RFC 3542 §3.1) */
		put16(ret + 2, packet_sum_fold(packet_sum_add(packet_sum_add(0, ret, ECHO_HEAD), data + 2, len - 2)));
}

/* A raw IPv4 socket gives the IP header, too. */
static bool strip_ip_header(struct arrival *a)
{
	size_t header = a->len ? (size_t)(a->data[0] & 15) * 4 : 0;

	if (header < 20 || a->len < header)
		return false;
	a->data += header;
	a->len -= header;
	return true;
}

/* Whether it is an echo of this port's; gives it the program's identifier. */
static bool claim(const struct socket_port *p, struct arrival *a, uint8_t type)
{
	if (a->len < ICMP_HEADER || a->data[0] != type || a->data[1] != 0)
		return false;
	if (p->raw && (a->data[ID_AT] << 8 | a->data[ID_AT + 1]) != p->wire_id)
		return false;
	put16(a->data + ID_AT, p->local.port);
	a->peer.port = 0;
	return true;
}

bool echo_unwrap_reply(const struct socket_port *p, struct arrival *a)
{
	if (p->raw && is_v4(p) && !strip_ip_header(a))
		return false;
	if (!claim(p, a, is_v4(p) ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY))
		return false;
	a->data += ID_AT;
	a->len -= ID_AT;
	return true;
}

bool echo_unwrap_error(const struct socket_port *p, struct arrival *a)
{
	return claim(p, a, is_v4(p) ? ICMP_ECHO : ICMP6_ECHO_REQUEST);
}
