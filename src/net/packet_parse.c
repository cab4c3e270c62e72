// SPDX-License-Identifier: MIT
/* Reads one IP packet. The bytes come from the program's own kernel, and from whoever can send raw packets in the twin,
 * so every length is checked against what is left. */
#include "net/packet.h"

#include <netinet/in.h>

#include "net/bytes.h"

enum {
	IP4_HEADER = 20,
	IP6_HEADER = 40,
	IP6_EXTENSION = 8, /* the shortest one; the fragment header's length too */
	TCP_HEADER = 20,
	UDP_HEADER = 8,
	ICMP_HEADER = 8,
	DATAGRAM_MAX = 65535,
	BIG_MAX = 8 * 65535, /* Linux' GSO_MAX_SIZE */
};

/* What is not read yet. */
struct rest {
	const uint8_t *at;
	size_t len;
	size_t wire_len; /* of a packet that may miss some of its payload; 0: none may be missing */
};

static void skip(struct rest *rest, size_t bytes)
{
	rest->at += bytes;
	rest->len -= bytes;
}

bool packet_is_fragment(const struct packet *p)
{
	return p->more_fragments || p->fragment_offset;
}

static void set_payload(struct packet *p, const struct rest *rest)
{
	p->payload = rest->at;
	p->payload_len = rest->len;
}

/* A length of 0 in a header stands for one that it has no room for. */
static bool is_big(const struct rest *rest, uint16_t field)
{
	return field == 0 && rest->wire_len > DATAGRAM_MAX && rest->wire_len <= BIG_MAX;
}

/* The packet is @whole bytes long, its header, which is there, @header of them; @rest becomes what is behind that. */
static int set_length(struct rest *rest, struct packet *p, size_t whole, size_t header)
{
	if (whole > rest->len) {
		if (!rest->wire_len)
			return PACKET_CUT;
		p->missing = whole - rest->len;
	}
	p->len = whole;
	rest->len = whole - p->missing;
	skip(rest, header);
	return 0;
}

static int parse_ip4(struct rest *rest, struct packet *p)
{
	const uint8_t *ip = rest->at;
	size_t header = (size_t)(ip[0] & 15) * 4, whole;
	uint16_t fragment;

	if (header < IP4_HEADER)
		return PACKET_MALFORMED;
	if (rest->len < header)
		return PACKET_CUT;
	whole = is_big(rest, get16(ip + 2)) ? rest->wire_len : get16(ip + 2);
	if (whole < header)
		return PACKET_MALFORMED;
	if (set_length(rest, p, whole, header) < 0)
		return PACKET_CUT;
	fragment = get16(ip + 6);
	p->tos = ip[1];
	p->fragment_id = get16(ip + 4);
	p->dont_fragment = fragment & 0x4000;
	p->more_fragments = fragment & 0x2000;
	p->fragment_offset = (uint16_t)((fragment & 0x1fff) * 8);
	p->ttl = ip[8];
	p->protocol = ip[9];
	p->src.ip = ip_from_v4(ip + 12);
	p->dst.ip = ip_from_v4(ip + 16);
	set_payload(p, rest);
	return 0;
}

/* Hop-by-hop options, routing, destination options: all have their length at the same place (RFC 6564). */
static int skip_options(struct rest *rest, struct packet *p)
{
	size_t bytes;

	if (rest->len < IP6_EXTENSION)
		return PACKET_CUT;
	bytes = ((size_t)rest->at[1] + 1) * 8;
	if (bytes > rest->len)
		return PACKET_CUT;
	if (p->protocol == IPPROTO_ROUTING && rest->at[3] != 0)
		return PACKET_UNSUPPORTED; /* segments left: the destination we read is a stop on the way */
	p->protocol = rest->at[0];
	skip(rest, bytes);
	return 0;
}

static int parse_fragment_header(struct rest *rest, struct packet *p)
{
	uint16_t fragment;

	if (p->payload)
		return PACKET_MALFORMED; /* the second one */
	if (rest->len < IP6_EXTENSION)
		return PACKET_CUT;
	fragment = get16(rest->at + 2);
	p->dont_fragment = false; /* also of an atomic fragment (RFC 6946) */
	p->more_fragments = fragment & 1;
	p->fragment_offset = fragment & 0xfff8;
	p->fragment_id = get32(rest->at + 4);
	p->protocol = rest->at[0];
	skip(rest, IP6_EXTENSION);
	set_payload(p, rest);
	return 0;
}

/* Goes on to the transport header; in a later fragment, to what is behind the fragment header. */
static int parse_extensions(struct rest *rest, struct packet *p)
{
	int r = 0;

	for (bool first = true; r == 0 && !p->fragment_offset; first = false) {
		switch (p->protocol) {
		case IPPROTO_HOPOPTS:
			r = first ? skip_options(rest, p) : PACKET_MALFORMED;
			break;
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
			r = skip_options(rest, p);
			break;
		case IPPROTO_FRAGMENT:
			r = parse_fragment_header(rest, p);
			break;
		default:
			return 0;
		}
	}
	return r;
}

static int parse_ip6(struct rest *rest, struct packet *p)
{
	const uint8_t *ip = rest->at;
	size_t whole;

	if (rest->len < IP6_HEADER)
		return PACKET_CUT;
	whole = is_big(rest, get16(ip + 4)) ? rest->wire_len : (size_t)IP6_HEADER + get16(ip + 4);
	if (set_length(rest, p, whole, IP6_HEADER) < 0)
		return PACKET_CUT;
	p->dont_fragment = true;
	p->tos = (uint8_t)(get16(ip) >> 4);
	p->protocol = ip[6];
	p->ttl = ip[7];
	p->src.ip = ip_from_v6(ip + 8);
	p->dst.ip = ip_from_v6(ip + 24);
	if (ip_is_v4(&p->src.ip) || ip_is_v4(&p->dst.ip))
		return PACKET_MALFORMED; /* mapped addresses never travel, and would read as an IPv4 packet's here */
	return parse_extensions(rest, p);
}

static int check_fragment(const struct packet *p)
{
	if (p->missing)
		return PACKET_CUT;
	if (p->payload_len == 0 || (p->more_fragments && p->payload_len % 8 != 0))
		return PACKET_MALFORMED;
	return (size_t)p->fragment_offset + p->payload_len > DATAGRAM_MAX ? PACKET_MALFORMED : 0;
}

/* The parsers of transport headers return the header's length, and set nothing when they fail. */
static int parse_tcp(const struct rest *rest, struct packet *p)
{
	const uint8_t *tcp = rest->at;
	size_t header;

	if (rest->len < TCP_HEADER)
		return PACKET_CUT;
	header = (size_t)(tcp[12] >> 4) * 4;
	if (header < TCP_HEADER)
		return PACKET_MALFORMED;
	if (header > rest->len)
		return PACKET_CUT;
	p->src.port = get16(tcp);
	p->dst.port = get16(tcp + 2);
	p->tcp_seq = get32(tcp + 4);
	p->tcp_ack = get32(tcp + 8);
	p->tcp_flags = tcp[13];
	return (int)header;
}

/* What is behind the datagram's own length is no part of it. */
static int parse_udp(struct rest *rest, struct packet *p)
{
	const uint8_t *udp = rest->at;
	size_t len;

	if (rest->len < UDP_HEADER)
		return PACKET_CUT;
	len = get16(udp + 4);
	if (len < UDP_HEADER)
		return PACKET_MALFORMED;
	if (len > rest->len + p->missing && !p->more_fragments)
		return PACKET_CUT;
	if (len < rest->len)
		rest->len = len;
	p->src.port = get16(udp);
	p->dst.port = get16(udp + 2);
	return UDP_HEADER;
}

static bool is_echo(const struct packet *p)
{
	return p->protocol == IPPROTO_ICMP ? p->icmp_type == 8 || p->icmp_type == 0
					   : p->icmp_type == 128 || p->icmp_type == 129;
}

static int parse_icmp(const struct rest *rest, struct packet *p)
{
	const uint8_t *icmp = rest->at;

	if (rest->len < ICMP_HEADER)
		return PACKET_CUT;
	p->icmp_type = icmp[0];
	p->icmp_code = icmp[1];
	if (is_echo(p)) {
		p->echo_id = get16(icmp + 4);
		p->echo_seq = get16(icmp + 6);
	}
	return ICMP_HEADER;
}

static int parse_transport(struct rest *rest, struct packet *p)
{
	int header;

	switch (p->protocol) {
	case IPPROTO_TCP:
		header = parse_tcp(rest, p);
		break;
	case IPPROTO_UDP:
		header = parse_udp(rest, p);
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		header = parse_icmp(rest, p);
		break;
	default:
		return PACKET_UNSUPPORTED;
	}
	if (p->more_fragments && header == PACKET_CUT)
		return 0; /* the rest of the header comes in the next one */
	if (header < 0)
		return header;
	p->transport = rest->at;
	if (!p->more_fragments) {
		skip(rest, (size_t)header);
		set_payload(p, rest);
	}
	return 0;
}

static bool is_protocol_known(const struct packet *p)
{
	bool v4 = ip_is_v4(&p->src.ip);

	switch (p->protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		return true;
	case IPPROTO_ICMP:
		return v4;
	case IPPROTO_ICMPV6:
		return !v4;
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
		return !v4 && p->fragment_offset; /* the first fragment tells what is in them */
	default:
		return false;
	}
}

static int parse(const uint8_t *data, size_t len, size_t wire_len, struct packet *ret)
{
	struct rest rest = { data, len, wire_len };
	int r;

	*ret = (struct packet){ .ip = data };
	if (len == 0)
		return PACKET_CUT;
	switch (data[0] >> 4) {
	case 4:
		r = parse_ip4(&rest, ret);
		break;
	case 6:
		r = parse_ip6(&rest, ret);
		break;
	default:
		return PACKET_MALFORMED;
	}
	if (r == 0 && !is_protocol_known(ret))
		r = PACKET_UNSUPPORTED;
	if (r == 0 && packet_is_fragment(ret))
		r = check_fragment(ret);
	if (r < 0 || ret->fragment_offset)
		return r;
	return parse_transport(&rest, ret);
}

int packet_parse(const uint8_t *data, size_t len, struct packet *ret)
{
	return parse(data, len, 0, ret);
}

int packet_parse_head(const uint8_t *data, size_t len, size_t wire_len, struct packet *ret)
{
	return parse(data, len, wire_len, ret);
}
