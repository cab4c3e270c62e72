// SPDX-License-Identifier: MIT
/* The pcap format: draft-ietf-opsawg-pcap; LINKTYPE_LINUX_SLL2 (276): https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL2.html. Numbers of
 * the file are big-endian here, which the magic says; those of the link header always are. */
#include "capture/pcap.h"

#include <linux/if_ether.h>
#include <string.h>

#include "net/bytes.h"

enum { SLL2 = 276, SLL2_HEADER = 20 };

void pcap_file_header(uint8_t out[PCAP_FILE_HEADER])
{
	memset(out, 0, PCAP_FILE_HEADER);
	put32(out, 0xa1b23c4d); /* times in nanoseconds */
	put16(out + 4, 2);
	put16(out + 6, 4);
	put32(out + 16, RECORD_DATA_MAX + SLL2_HEADER);
	put32(out + 20, SLL2);
}

void pcap_packet_header(const struct record *r, uint8_t out[PCAP_PACKET_HEADER])
{
	uint8_t *link = out + 16;

	memset(out, 0, PCAP_PACKET_HEADER);
	put32(out, (uint32_t)(r->time / 1000000000));
	put32(out + 4, (uint32_t)(r->time % 1000000000));
	put32(out + 8, (uint32_t)r->len + SLL2_HEADER);
	put32(out + 12, r->wire_len + SLL2_HEADER);
	put16(link, r->len && r->data[0] >> 4 == 6 ? ETH_P_IPV6 : ETH_P_IP);
	put32(link + 4, r->link);
	put16(link + 8, r->hatype);
	link[10] = r->type;
}
