// SPDX-License-Identifier: MIT
/* What `mirrord dump` prints: connections and datagrams as text, hex, or lines of JSON. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/reassembly.h"

enum dump_format { DUMP_TEXT, DUMP_HEX, DUMP_JSON };

/* One connection, or the datagrams between two ends. */
struct dump_flow {
	uint64_t number; /* from 1 */
	struct endpoint ends[SIDES];
	bool datagrams;
};

/* @time is in ns since 1970. To stdout. */
void dump_print_open(enum dump_format format, uint64_t time, const struct dump_flow *f, bool middle);
void dump_print_data(enum dump_format format, uint64_t time, const struct dump_flow *f, enum side from, const uint8_t *data, size_t len);
void dump_print_gap(enum dump_format format, uint64_t time, const struct dump_flow *f, enum side from, size_t len);
void dump_print_end(enum dump_format format, uint64_t time, const struct dump_flow *f, enum side from);
void dump_print_close(enum dump_format format, uint64_t time, const struct dump_flow *f, enum reassembly_close why);
