// SPDX-License-Identifier: MIT
/* Packets become connections and datagrams here, and are printed as they come. Nothing of it is freed: the process ends with the dump. */
#include "cli/dump_flows.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/table.h"
#include "capture/reassembly.h"

enum { DATAGRAM_FLOWS = 4096 };

/* Datagrams of one client to one port. */
struct datagrams {
	struct table_node node;
	struct dump_flow flow;
};

struct dump_flows {
	enum dump_format format;
	struct intake *intake;
	struct reassembly *reassembly;
	struct table datagrams;
	bool watched[CAPTURE_PROTOCOLS][65536];
	uint64_t now; /* of the packet at hand */
	struct dump_counts counts;
};

static void *on_open(void *arg, const struct endpoint ends[SIDES], bool middle)
{
	struct dump_flows *fs = arg;
	struct dump_flow *f = calloc(1, sizeof(*f));

	if (!f)
		abort();
	f->number = ++fs->counts.flows;
	memcpy(f->ends, ends, sizeof(f->ends));
	dump_print_open(fs->format, fs->now, f, middle);
	return f;
}

static void on_data(void *arg, void *owner, enum side from, const uint8_t *data, size_t len)
{
	struct dump_flows *fs = arg;

	fs->counts.bytes[from] += len;
	dump_print_data(fs->format, fs->now, owner, from, data, len);
}

static void on_gap(void *arg, void *owner, enum side from, size_t len)
{
	struct dump_flows *fs = arg;

	dump_print_gap(fs->format, fs->now, owner, from, len);
}

static void on_end(void *arg, void *owner, enum side from)
{
	struct dump_flows *fs = arg;

	dump_print_end(fs->format, fs->now, owner, from);
}

static void on_close(void *arg, void *owner, enum reassembly_close why)
{
	struct dump_flows *fs = arg;

	dump_print_close(fs->format, fs->now, owner, why);
	free(owner);
}

static const struct reassembly_events reassembly_events = { on_open, on_data, on_gap, on_end, on_close };

static bool equal(const struct table_node *node, const void *key)
{
	const struct datagrams *g = container_of(node, struct datagrams, node);

	return memcmp(g->flow.ends, key, sizeof(g->flow.ends)) == 0;
}

static void forget_datagrams(struct dump_flows *fs)
{
	struct table_node *node;

	while ((node = table_first(&fs->datagrams))) {
		table_remove(&fs->datagrams, node);
		free(container_of(node, struct datagrams, node));
	}
}

static void on_datagram(struct dump_flows *fs, const struct packet *p, enum side from)
{
	const struct endpoint ends[SIDES] = { from == SIDE_CLIENT ? p->src : p->dst, from == SIDE_CLIENT ? p->dst : p->src };
	struct table_node *node = table_find(&fs->datagrams, ends, sizeof(ends));
	struct datagrams *g = node ? container_of(node, struct datagrams, node) : NULL;

	if (!g) {
		if (fs->datagrams.n >= DATAGRAM_FLOWS)
			forget_datagrams(fs);
		g = calloc(1, sizeof(*g));
		if (!g)
			abort();
		g->flow = (struct dump_flow){ .number = ++fs->counts.flows, .ends = { ends[0], ends[1] }, .datagrams = true };
		table_add(&fs->datagrams, &g->node, g->flow.ends, sizeof(g->flow.ends));
	}
	fs->counts.bytes[from] += p->payload_len;
	dump_print_data(fs->format, fs->now, &g->flow, from, p->payload, p->payload_len);
}

static bool is_watched(void *arg, uint8_t protocol, uint16_t port)
{
	const struct dump_flows *fs = arg;

	return fs->watched[protocol == IPPROTO_UDP ? CAPTURE_UDP : CAPTURE_TCP][port];
}

static void on_packet(void *arg, const struct packet *p, enum side from)
{
	struct dump_flows *fs = arg;

	if (p->protocol == IPPROTO_TCP)
		reassembly_packet(fs->reassembly, p, from, fs->now);
	else
		on_datagram(fs, p, from);
}

static const struct intake_events intake_events = { .is_watched = is_watched, .on_packet = on_packet };

struct dump_flows *dump_flows_new(enum dump_format format)
{
	static const bool wanted[SIDES] = { true, true };
	struct dump_flows *fs = calloc(1, sizeof(*fs));

	if (!fs)
		return NULL;
	fs->format = format;
	fs->intake = intake_new(&intake_events, fs);
	fs->reassembly = reassembly_new(wanted, &reassembly_events, fs);
	return fs->intake && fs->reassembly && table_init(&fs->datagrams, equal) == 0 ? fs : NULL;
}

void dump_flows_watch(struct dump_flows *fs, int protocol, uint16_t port)
{
	fs->watched[protocol][port] = true;
}

void dump_flows_add(struct dump_flows *fs, const struct captured *c, uint64_t time)
{
	fs->now = time;
	intake_add(fs->intake, c);
}

const struct dump_counts *dump_flows_counts(const struct dump_flows *fs)
{
	return &fs->counts;
}
