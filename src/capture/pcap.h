// SPDX-License-Identifier: MIT
/* Captures as files that tcpdump and Wireshark read: pcap with nanoseconds, link type LINUX_SLL2 (an IP packet with its interface and
 * direction). Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "capture/record.h"

enum { PCAP_FILE_HEADER = 24, PCAP_PACKET_HEADER = 16 + 20 };

void pcap_file_header(uint8_t out[PCAP_FILE_HEADER]);
/* What stands before the packet's bytes (@r->data). */
void pcap_packet_header(const struct record *r, uint8_t out[PCAP_PACKET_HEADER]);
