// SPDX-License-Identifier: MIT
/* The kernel's filter of a capture: a classic BPF program (Linux' Documentation/networking/filter.rst) for a packet socket of type
 * SOCK_DGRAM, which is given the IP header on. */
#pragma once

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

enum capture_protocol { CAPTURE_TCP, CAPTURE_UDP };
enum { CAPTURE_PROTOCOLS = 2 };

enum {
	CAPTURE_PORTS = 400,	   /* of both protocols; more don't fit in a program */
	CAPTURE_WHOLE = 0x40000,   /* bytes kept of a packet: all there can be */
	CAPTURE_HEAD = 192,	   /* the headers, with what is usual in options */
};

/* What is to be seen: packets to local ports, and the answers from them. Connections that leave for the same port elsewhere are none of
 * it, and of lo's packets, which pass twice, one copy is taken. */
struct capture_plan {
	const uint16_t *ports[CAPTURE_PROTOCOLS]; /* in ascending order */
	size_t n[CAPTURE_PROTOCOLS];
	uint32_t answers[CAPTURE_PROTOCOLS]; /* bytes kept of each answer; 0: none is taken */
	uint32_t skip_mark; /* packets on lo with this mark are left out; 0: none */
};

/* Writes the program to @out, which has room for BPF_MAXINSNS. Returns its length; 0 when there are more than CAPTURE_PORTS. */
size_t capture_filter(const struct capture_plan *plan, struct sock_filter *out);
