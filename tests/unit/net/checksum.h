// SPDX-License-Identifier: MIT
/* The Internet checksum once more, as its definition reads: what the code's is compared with. */
#pragma once

#include <netinet/in.h>

#include "net/packet.h"

/* RFC 1071 §1, word by word. */
static inline uint16_t plain_checksum(uint32_t sum, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)~sum;
}

/* 0 when all checksums of the packet are right. */
static inline uint16_t verify(const uint8_t *ip, const struct packet *p)
{
	bool v4 = ip[0] >> 4 == 4;
	size_t len = (size_t)(p->payload - p->transport) + p->payload_len;
	uint32_t pseudo = 0;

	if (v4 && plain_checksum(0, ip, (ip[0] & 15) * 4u))
		return 1;
	if (p->protocol != IPPROTO_ICMP) {
		pseudo = (uint32_t)len + p->protocol;
		pseudo += (uint16_t)~plain_checksum(0, v4 ? ip + 12 : ip + 8, v4 ? 8 : 32);
	}
	return plain_checksum(pseudo, p->transport, len);
}
