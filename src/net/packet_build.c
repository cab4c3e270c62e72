// SPDX-License-Identifier: MIT
/* Writes IP packets: datagrams, echos, resets, ICMP errors; and the Internet checksum. */
#include "net/packet.h"

#include <errno.h>
#include <linux/icmp.h> /* <netinet/ip_icmp.h> has a struct ip of its own */
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <string.h>

#include "net/bytes.h"

enum {
	IP4_HEADER = 20,
	IP6_HEADER = 40,
	TCP_HEADER = 20,
	UDP_HEADER = 8,
	ICMP_HEADER = 8,
	LENGTH_MAX = 65535, /* what the length field of either family can say */
	ICMP4_MAX = 576, /* RFC 1812 §4.3.2.3; RFC 1122 asks for 8 bytes of the transport at least */
	ICMP6_MAX = 1280, /* RFC 4443 §2.4 (c) */
	TTL_DEFAULT = 64,
	TOS_ERROR = 0xc0, /* internetwork control, RFC 1812 §4.3.2.5 */
	TOS_ECN = 3,
};

/* The sum is over big-endian words; adding them up in the machine's order and swapping the bytes of the folded sum
 * gives the same (RFC 1071 §2 B), eight bytes a step. */
uint64_t packet_sum_add(uint64_t sum, const void *data, size_t len)
{
	const uint8_t *at = data;
	uint64_t words = 0, word;

	for (; len >= 8; at += 8, len -= 8) {
		memcpy(&word, at, 8);
		words += word;
		words += words < word;
	}
	if (len) {
		word = 0;
		memcpy(&word, at, len);
		words += word;
		words += words < word;
	}
	words = (words >> 32) + (words & 0xffffffff);
	words = (words >> 16) + (words & 0xffff);
	words = (words >> 16) + (words & 0xffff);
	words = (words >> 16) + (words & 0xffff);
	return sum + ntohs((uint16_t)words);
}

uint16_t packet_sum_fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)~sum;
}

/* RFC 9293 §3.1, RFC 768, RFC 8200 §8.1. ICMP for IPv4 has none. A mapped address's ffff adds nothing to a sum of ones'
 * complements, so the families need no telling apart. */
static uint64_t pseudo_header_sum(const struct ip *src, const struct ip *dst, uint8_t protocol, size_t len)
{
	if (protocol == IPPROTO_ICMP)
		return 0;
	return packet_sum_add(packet_sum_add(len + protocol, src->b, sizeof(src->b)), dst->b, sizeof(dst->b));
}

static uint16_t sum_offset(uint8_t protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return 16;
	case IPPROTO_UDP:
		return 6;
	default:
		return 2;
	}
}

/* Fills in the checksum of the @len bytes at @transport, whatever stands in the field. */
static void complete(uint8_t *transport, size_t len, uint8_t protocol, const struct ip *src, const struct ip *dst)
{
	uint8_t *field = transport + sum_offset(protocol);
	uint16_t sum;

	put16(field, 0);
	sum = packet_sum_fold(packet_sum_add(pseudo_header_sum(src, dst, protocol, len), transport, len));
	if (sum == 0 && protocol == IPPROTO_UDP)
		sum = 0xffff; /* 0 would say that there is none */
	put16(field, sum);
}

void packet_complete_sum(uint8_t *data, const struct packet *p)
{
	uint8_t *transport;

	if (!p->transport || packet_is_fragment(p))
		return;
	transport = data + (p->transport - p->ip);
	if (p->protocol == IPPROTO_UDP && ip_is_v4(&p->src.ip) && get16(transport + sum_offset(IPPROTO_UDP)) == 0)
		return;
	complete(transport, (size_t)(p->payload - p->transport) + p->payload_len, p->protocol, &p->src.ip, &p->dst.ip);
}

static void complete_ip4(uint8_t *ip, size_t header)
{
	put16(ip + 10, 0);
	put16(ip + 10, packet_sum_fold(packet_sum_add(0, ip, header)));
}

size_t packet_cut_payload(uint8_t *data, const struct packet *p)
{
	size_t len = p->len - p->payload_len;

	if (ip_is_v4(&p->src.ip)) {
		put16(data + 2, (uint16_t)len);
		complete_ip4(data, (size_t)(data[0] & 15) * 4);
	} else {
		put16(data + 4, (uint16_t)(len - IP6_HEADER));
	}
	return len;
}

/* Writes the header of a packet with @len bytes behind it; returns the header's length, or 0 when there can't be one.
 * IPv4 with "don't fragment" and no identification: an atomic datagram (RFC 6864). */
static size_t write_ip(uint8_t *ip, const struct ip *src, const struct ip *dst, struct packet_marks marks,
		       uint8_t protocol, size_t len)
{
	bool v4 = ip_is_v4(src);
	size_t header = v4 ? IP4_HEADER : IP6_HEADER, n = v4 ? 4 : 16;
	uint8_t ttl = marks.ttl ? marks.ttl : TTL_DEFAULT;
	unsigned int unused;

	if (v4 != ip_is_v4(dst) || len > (size_t)(v4 ? LENGTH_MAX - IP4_HEADER : LENGTH_MAX))
		return 0;
	memset(ip, 0, header);
	if (v4) {
		ip[0] = 0x45;
		ip[1] = marks.tos;
		put16(ip + 2, (uint16_t)(header + len));
		put16(ip + 6, 0x4000);
		ip[8] = ttl;
		ip[9] = protocol;
	} else {
		put16(ip, (uint16_t)(0x6000 | marks.tos << 4));
		put16(ip + 4, (uint16_t)len);
		ip[6] = protocol;
		ip[7] = ttl;
	}
	memcpy(ip + header - 2 * n, ip_bytes(src, &unused), n);
	memcpy(ip + header - n, ip_bytes(dst, &unused), n);
	if (v4)
		complete_ip4(ip, header);
	return header;
}

static void write_udp(uint8_t *udp, uint16_t src, uint16_t dst, size_t len)
{
	put16(udp, src);
	put16(udp + 2, dst);
	put16(udp + 4, (uint16_t)len);
	put16(udp + 6, 0);
}

/* memcpy for a payload that may be NULL when it is empty. */
static void put_bytes(uint8_t *at, const void *data, size_t len)
{
	if (len)
		memcpy(at, data, len);
}

size_t packet_build_udp(uint8_t *out, const struct endpoint *src, const struct endpoint *dst, struct packet_marks marks,
			const void *payload, size_t len, struct packet_sum *ret_sum)
{
	size_t header = len > LENGTH_MAX ? 0 : write_ip(out, &src->ip, &dst->ip, marks, IPPROTO_UDP, UDP_HEADER + len);
	uint8_t *udp = out + header;
	uint16_t pseudo;

	if (header == 0)
		return 0;
	write_udp(udp, src->port, dst->port, UDP_HEADER + len);
	put_bytes(udp + UDP_HEADER, payload, len);
	if (ret_sum) {
		pseudo =
		    (uint16_t)~packet_sum_fold(pseudo_header_sum(&src->ip, &dst->ip, IPPROTO_UDP, UDP_HEADER + len));
		put16(udp + sum_offset(IPPROTO_UDP), pseudo);
		*ret_sum = (struct packet_sum){ .start = (uint16_t)header, .offset = sum_offset(IPPROTO_UDP) };
	} else {
		complete(udp, UDP_HEADER + len, IPPROTO_UDP, &src->ip, &dst->ip);
	}
	return header + UDP_HEADER + len;
}

size_t packet_build_echo(uint8_t *out, const struct ip *src, const struct ip *dst, struct packet_marks marks,
			 bool reply, uint16_t id, uint16_t seq, const void *payload, size_t len)
{
	bool v4 = ip_is_v4(src);
	uint8_t protocol = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	size_t header = len > LENGTH_MAX ? 0 : write_ip(out, src, dst, marks, protocol, ICMP_HEADER + len);
	uint8_t *icmp = out + header;

	if (header == 0)
		return 0;
	if (v4)
		icmp[0] = reply ? ICMP_ECHOREPLY : ICMP_ECHO;
	else
		icmp[0] = reply ? ICMP6_ECHO_REPLY : ICMP6_ECHO_REQUEST;
	icmp[1] = 0;
	put16(icmp + 4, id);
	put16(icmp + 6, seq);
	put_bytes(icmp + ICMP_HEADER, payload, len);
	complete(icmp, ICMP_HEADER + len, protocol, src, dst);
	return header + ICMP_HEADER + len;
}

size_t packet_build_reset(uint8_t *out, const struct packet *syn)
{
	struct packet_marks marks = { .tos = syn->tos & (uint8_t)~TOS_ECN };
	size_t header;
	uint8_t *tcp;
	uint32_t len;

	if (syn->protocol != IPPROTO_TCP || !syn->transport || syn->tcp_flags & TCP_RST)
		return 0;
	header = write_ip(out, &syn->dst.ip, &syn->src.ip, marks, IPPROTO_TCP, TCP_HEADER);
	tcp = out + header;
	memset(tcp, 0, TCP_HEADER);
	put16(tcp, syn->dst.port);
	put16(tcp + 2, syn->src.port);
	tcp[12] = TCP_HEADER / 4 << 4;
	tcp[13] = TCP_RST;
	if (syn->tcp_flags & TCP_ACK) {
		put32(tcp + 4, syn->tcp_ack);
	} else {
		len = (uint32_t)syn->payload_len + !!(syn->tcp_flags & TCP_SYN) + !!(syn->tcp_flags & TCP_FIN);
		put32(tcp + 8, syn->tcp_seq + len);
		tcp[13] |= TCP_ACK;
	}
	complete(tcp, TCP_HEADER, IPPROTO_TCP, &syn->dst.ip, &syn->src.ip);
	return header + TCP_HEADER;
}

/* How many of @len bytes an ICMP error with an IP header of its own quotes. */
static size_t quote_len(bool v4, size_t len)
{
	size_t room = v4 ? ICMP4_MAX - IP4_HEADER - ICMP_HEADER : ICMP6_MAX - IP6_HEADER - ICMP_HEADER;

	return len < room ? len : room;
}

static size_t quote_offset(bool v4)
{
	return (size_t)(v4 ? IP4_HEADER : IP6_HEADER) + ICMP_HEADER;
}

/* Puts the headers before the @len quoted bytes, which stand at quote_offset() already. */
static size_t finish_icmp_error(uint8_t *out, const struct icmp_error *e, const struct ip *to, size_t len)
{
	bool v4 = ip_is_v4(&e->offender);
	struct packet_marks marks = { .tos = v4 ? TOS_ERROR : 0 };
	uint8_t protocol = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	size_t header = write_ip(out, &e->offender, to, marks, protocol, ICMP_HEADER + len);
	uint8_t *icmp = out + header;

	if (header == 0)
		return 0;
	icmp[0] = e->type;
	icmp[1] = e->code;
	put32(icmp + 4, e->info);
	complete(icmp, ICMP_HEADER + len, protocol, &e->offender, to);
	return header + ICMP_HEADER + len;
}

/* RFC 1122 §3.2.2, RFC 4443 §2.4 (e): no error about an error, nor about any fragment but the first. */
static bool may_be_answered(const struct packet *p)
{
	if (p->fragment_offset)
		return false;
	if (p->protocol == IPPROTO_ICMPV6)
		return p->icmp_type & ICMP6_INFOMSG_MASK;
	if (p->protocol != IPPROTO_ICMP)
		return true;
	return p->icmp_type != ICMP_DEST_UNREACH && p->icmp_type != ICMP_SOURCE_QUENCH &&
	       p->icmp_type != ICMP_REDIRECT && p->icmp_type != ICMP_TIME_EXCEEDED &&
	       p->icmp_type != ICMP_PARAMETERPROB;
}

/* In the quoted header at @ip. */
static void replace_addresses(uint8_t *ip, bool v4, const struct ip *src, const struct ip *dst)
{
	size_t header = v4 ? IP4_HEADER : IP6_HEADER, n = v4 ? 4 : 16;
	unsigned int unused;

	if (src)
		memcpy(ip + header - 2 * n, ip_bytes(src, &unused), n);
	if (dst)
		memcpy(ip + header - n, ip_bytes(dst, &unused), n);
	if (v4 && (src || dst))
		complete_ip4(ip, (size_t)(ip[0] & 15) * 4);
}

size_t packet_build_icmp_error(uint8_t *out, const struct icmp_error *e, const struct packet *original,
			       const struct ip *inner_src, const struct ip *inner_dst)
{
	bool v4 = ip_is_v4(&original->src.ip);
	size_t len = quote_len(v4, original->len);
	uint8_t *quote = out + quote_offset(v4);

	if (!may_be_answered(original))
		return 0;
	if ((inner_src && ip_is_v4(inner_src) != v4) || (inner_dst && ip_is_v4(inner_dst) != v4))
		return 0;
	memcpy(quote, original->ip, len);
	replace_addresses(quote, v4, inner_src, inner_dst);
	return finish_icmp_error(out, e, &original->src.ip, len);
}

size_t packet_build_icmp_error_udp(uint8_t *out, const struct icmp_error *e, const struct ip *outer_dst,
				   const struct endpoint *src, const struct endpoint *dst, const void *payload,
				   size_t len)
{
	bool v4 = ip_is_v4(&src->ip);
	uint8_t *quote = out + quote_offset(v4), *udp;
	size_t header, quoted;

	if (ip_is_v4(&e->offender) != v4 || len > LENGTH_MAX)
		return 0;
	header = write_ip(quote, &src->ip, &dst->ip, (struct packet_marks){ 0 }, IPPROTO_UDP, UDP_HEADER + len);
	if (header == 0)
		return 0;
	udp = quote + header;
	quoted = quote_len(v4, header + UDP_HEADER + len);
	write_udp(udp, src->port, dst->port, UDP_HEADER + len);
	put_bytes(udp + UDP_HEADER, payload, quoted - header - UDP_HEADER);
	return finish_icmp_error(out, e, outer_dst, quoted);
}

/* IPv4's are the "fatal" ones where there is a choice: the others, a
 * connected UDP socket without IP_RECVERR never hears of. IPv6 leaves no choice. */
static const struct {
	int error;
	uint8_t type4, code4, type6, code6;
} icmp_errors[] = {
	{ ECONNREFUSED, ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOPORT },
	{ ENETUNREACH, ICMP_DEST_UNREACH, ICMP_NET_UNKNOWN, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOROUTE },
	{ EADDRNOTAVAIL, ICMP_DEST_UNREACH, ICMP_NET_UNKNOWN, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOROUTE }, /* without an address of the family */
	{ EHOSTUNREACH, ICMP_DEST_UNREACH, ICMP_HOST_ANO, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADDR },
	{ EACCES, ICMP_DEST_UNREACH, ICMP_PKT_FILTERED, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADMIN },
	{ EPERM, ICMP_DEST_UNREACH, ICMP_PKT_FILTERED, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADMIN },
	{ EMSGSIZE, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, ICMP6_PACKET_TOO_BIG, 0 },
	{ EPROTO, ICMP_PARAMETERPROB, 0, ICMP6_PARAM_PROB, ICMP6_PARAMPROB_HEADER },
	{ ENOPROTOOPT, ICMP_DEST_UNREACH, ICMP_PROT_UNREACH, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADDR },
	{ EHOSTDOWN, ICMP_DEST_UNREACH, ICMP_HOST_UNKNOWN, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADDR },
	{ ENONET, ICMP_DEST_UNREACH, ICMP_HOST_ISOLATED, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADDR },
	{ EOPNOTSUPP, ICMP_DEST_UNREACH, ICMP_SR_FAILED, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADDR },
	{ 0, ICMP_DEST_UNREACH, ICMP_HOST_ANO, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADDR },
};

void packet_error_from_errno(int error, int family, uint8_t *ret_type, uint8_t *ret_code)
{
	size_t i = 0;

	while (icmp_errors[i].error && icmp_errors[i].error != error)
		i++;
	*ret_type = family == AF_INET ? icmp_errors[i].type4 : icmp_errors[i].type6;
	*ret_code = family == AF_INET ? icmp_errors[i].code4 : icmp_errors[i].code6;
}
