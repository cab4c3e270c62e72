// SPDX-License-Identifier: MIT
/* The connections and datagrams of `mirrord dump`: put together from packets, and printed. */
#pragma once

#include "capture/filter.h"
#include "capture/intake.h"
#include "cli/dump_print.h"

struct dump_flows;

struct dump_counts {
	uint64_t flows, bytes[SIDES];
};

/* As long as the process lives. NULL without memory. */
struct dump_flows *dump_flows_new(enum dump_format format);
/* @protocol: CAPTURE_TCP or CAPTURE_UDP. Packets of other ports are passed over. */
void dump_flows_watch(struct dump_flows *fs, int protocol, uint16_t port);
/* @time is in ns since 1970. */
void dump_flows_add(struct dump_flows *fs, const struct captured *c, uint64_t time);
const struct dump_counts *dump_flows_counts(const struct dump_flows *fs);
