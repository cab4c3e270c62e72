// SPDX-License-Identifier: MIT
/* IP packets of the twin: parsed, and answered. Pure functions over bytes; no descriptors, no allocation. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/addr.h"

enum { PACKET_MAX = 65535 + 40 }; /* an IPv6 header and the largest payload it can announce */

enum packet_error {
	PACKET_CUT = -1,	 /* shorter than its headers say */
	PACKET_MALFORMED = -2,	 /* a field that can't be */
	PACKET_UNSUPPORTED = -3, /* not TCP, UDP or ICMP(v6), or an extension header we don't know */
};

/* One packet, pointing into the caller's bytes. Ports are 0 where the protocol has none. */
struct packet {
	const uint8_t *ip; /* the IP header */
	size_t len;	   /* of the whole packet, padding behind it left out */
	uint8_t protocol;  /* IPPROTO_TCP, _UDP, _ICMP, _ICMPV6 */
	uint8_t ttl, tos;
	bool dont_fragment; /* of IPv6, where no router does, any that is no fragment */
	struct endpoint src, dst;
	/* A fragment (RFC 791, RFC 8200 §4.5): one whose offset isn't 0 has the IP fields (no ports) up to here, and payload. */
	bool more_fragments;
	uint16_t fragment_offset; /* in bytes */
	uint32_t fragment_id;
	const uint8_t *transport; /* the TCP, UDP or ICMP header; NULL when it is not whole in this fragment */
	const uint8_t *payload;	  /* what comes behind it; of every fragment, also the first, its part of the datagram's bytes */
	size_t payload_len;
	size_t missing; /* packet_parse_head() alone: payload that was cut off; not in payload_len */
	/* TCP */
	uint8_t tcp_flags;
	uint32_t tcp_seq, tcp_ack;
	/* ICMP; id and sequence of an echo */
	uint8_t icmp_type, icmp_code;
	uint16_t echo_id, echo_seq;
};

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };

/* Parses one IP packet of @len bytes. Checksums are not checked: what the kernel gives us over a veth has none yet.
 * Returns 0, or a negative packet_error; then @ret is undefined. */
int packet_parse(const uint8_t *data, size_t len, struct packet *ret);
/* The same for a captured packet of @wire_len bytes whose end was cut off: the headers must be there, what is missing of the payload is
 * counted. Never for a fragment. What is longer than the header can say has 0 there (Linux' "BIG TCP": 5.19 for IPv6, where an option that
 * RFC 2675 has may say it, 6.3 for IPv4), and is @wire_len bytes long. */
int packet_parse_head(const uint8_t *data, size_t len, size_t wire_len, struct packet *ret);
bool packet_is_fragment(const struct packet *p);

/* What an IP header carries besides its addresses. A ttl of 0 is built as 64. */
struct packet_marks {
	uint8_t ttl, tos;
	bool dont_fragment; /* not for the builders */
};

/* Where the checksum of a built packet was left to the receiver (as virtio_net_hdr's csum_start, csum_offset): the field holds
 * the pseudo-header's sum alone. Of 0, 0 the checksum is complete. */
struct packet_sum {
	uint16_t start, offset;
};

/* The builders write one IP packet to @out (PACKET_MAX bytes or more) and return its length; 0 when it can't be (too long,
 * addresses of two families). IPv4 packets have "don't fragment" set and no identification (RFC 6864). */

/* A UDP datagram. The payload's checksum is left out: @ret_sum says where. With NULL it is complete. */
size_t packet_build_udp(uint8_t *out, const struct endpoint *src, const struct endpoint *dst, struct packet_marks marks,
			const void *payload, size_t len, struct packet_sum *ret_sum);
/* Echo request or reply; complete. */
size_t packet_build_echo(uint8_t *out, const struct ip *src, const struct ip *dst, struct packet_marks marks, bool reply,
			 uint16_t id, uint16_t seq, const void *payload, size_t len);
/* The RST that answers @syn, or any other segment, as a host without a listener does (RFC 9293 §3.10.7.1); complete. 0 when
 * @syn is a RST itself. */
size_t packet_build_reset(uint8_t *out, const struct packet *syn);

/* An ICMP or ICMPv6 error. @offender sent it; @type and @code are of the family of @original. */
struct icmp_error {
	struct ip offender;
	uint8_t type, code;
	uint32_t info; /* the second word of the header: the MTU of "too big", else 0 */
};
/* The error about @original (cut as RFC 1122 §3.2.2 and RFC 4443 §2.4 ask), complete, from offender to the original's source.
 * @inner_src and @inner_dst, when not NULL, replace the addresses in the quoted header: those that the sender's socket knows
 * where packets of it were rewritten on their way. 0 for an original that must not be answered: an error, a later fragment. */
size_t packet_build_icmp_error(uint8_t *out, const struct icmp_error *e, const struct packet *original,
			       const struct ip *inner_src, const struct ip *inner_dst);
/* The same for a UDP datagram that isn't at hand any more: a header from @src to @dst with @payload behind it is quoted. */
size_t packet_build_icmp_error_udp(uint8_t *out, const struct icmp_error *e, const struct ip *outer_dst,
				   const struct endpoint *src, const struct endpoint *dst, const void *payload, size_t len);

/* The ICMP type and code that make a socket of @family report @error (ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EACCES…), from
 * icmp_err_convert in Linux' net/ipv4/icmp.c and net/ipv6/icmp.c. An errno that none makes becomes "host unreachable". */
void packet_error_from_errno(int error, int family, uint8_t *ret_type, uint8_t *ret_code);

/* Adds up big-endian 16-bit words as RFC 1071 does, an odd last byte as the upper half of one; packet_sum_fold() makes the
 * checksum (the complement) of the result, in host order. */
uint64_t packet_sum_add(uint64_t sum, const void *data, size_t len);
uint16_t packet_sum_fold(uint64_t sum);
/* Cuts off @data's payload: of a parsed TCP segment that is no fragment, its header is left. Its checksum is to be completed. Returns
 * the packet's new length. */
size_t packet_cut_payload(uint8_t *data, const struct packet *p);
/* Fills in the checksum of a parsed packet's TCP, UDP or ICMP header in place, whatever is in the field; @data is the packet.
 * Leaves alone a fragment, and UDP over IPv4 whose sender wanted none (0, RFC 768). */
void packet_complete_sum(uint8_t *data, const struct packet *p);
