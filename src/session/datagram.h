// SPDX-License-Identifier: MIT
/* The program's UDP and ICMP echo. */
#pragma once

#include "net/loop.h"
#include "session/gate.h"
#include "session/dns_local.h"
#include "session/tcp.h"

struct datagrams;

struct datagrams *datagrams_new(const struct tcp_context *context, struct error *err);
/* A UDP packet, or an ICMP echo request, from the twin. */
void datagrams_on_packet(struct datagrams *d, const struct packet *p);
/* This machine's answer to a question that the program asked a name server by UDP. */
void datagrams_on_answer(struct datagrams *d, const struct dns_asker *who, const uint8_t *message, size_t len);
/* Closes every mapping. */
void datagrams_close_all(struct datagrams *d);
/* Mappings whose UDP socket in the twin is gone are closed; @alive says which local ports have one. Those younger than @min_age (ns)
 * stay: the answer to @alive may be older than they are. */
void datagrams_reconcile(struct datagrams *d, bool (*alive)(void *arg, const struct endpoint *local), void *arg, uint64_t min_age);
size_t datagrams_count(const struct datagrams *d);
