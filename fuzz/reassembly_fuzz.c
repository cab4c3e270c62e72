// SPDX-License-Identifier: MIT
/* TCP reassembly. Two ways, by the first byte:
 *   - packets, each with a byte of what it is (bit 0: from the server, bit 1: its end is missing) and two of length before it: nothing
 *     but the events' order is checked;
 *   - steps of a sender of a known stream and a receiver that keeps what came first: what comes out is the stream. */
#include "capture/reassembly.h"

#include <netinet/in.h>
#include <string.h>

#include "fuzz.h"
#include "net/bytes.h"

enum { NAMES = 4096, STREAM = 256 };

/* Owners are numbers that are open or not. */
struct watcher {
	bool open[NAMES], ended[NAMES][SIDES];
	size_t n, given;
	bool known; /* the stream is the known one */
	uint32_t at;
};

static size_t name_of(struct watcher *w, void *owner)
{
	size_t name = (size_t)(uintptr_t)owner;

	fuzz_check(name < NAMES && w->open[name]);
	return name;
}

static uint8_t stream_byte(uint32_t at)
{
	return (uint8_t)(at * 31 + at / 64);
}

static void *on_open(void *arg, const struct endpoint ends[SIDES], bool middle)
{
	struct watcher *w = arg;

	fuzz_check(w->n < NAMES);
	w->open[w->n] = true;
	return (void *)(uintptr_t)w->n++;
}

static void on_data(void *arg, void *owner, enum side from, const uint8_t *data, size_t len)
{
	struct watcher *w = arg;

	fuzz_check(len && !w->ended[name_of(w, owner)][from]);
	w->given += len;
	for (size_t i = 0; w->known && i < len; i++)
		fuzz_check(data[i] == stream_byte(w->at++));
}

static void on_gap(void *arg, void *owner, enum side from, size_t len)
{
	struct watcher *w = arg;

	fuzz_check(!w->ended[name_of(w, owner)][from] && !w->known);
}

static void on_end(void *arg, void *owner, enum side from)
{
	struct watcher *w = arg;
	bool *ended = &w->ended[name_of(w, owner)][from];

	fuzz_check(!*ended);
	*ended = true;
}

static void on_close(void *arg, void *owner, enum reassembly_close why)
{
	struct watcher *w = arg;

	w->open[name_of(w, owner)] = false;
}

static const struct reassembly_events events = { on_open, on_data, on_gap, on_end, on_close };

static bool is_gone(void *arg, const struct endpoint ends[SIDES])
{
	return ends[SIDE_CLIENT].port % 2;
}

static void feed_packets(const uint8_t *data, size_t size)
{
	static struct watcher w;
	bool wanted[SIDES] = { true, size % 2 };
	struct reassembly *r;
	struct packet p;
	size_t len, fed = 0;

	w = (struct watcher){ 0 };
	r = reassembly_new(wanted, &events, &w);
	for (uint64_t now = 0; size >= 3 && w.n < NAMES - 1; now++) {
		len = get16(data + 1) < size - 3 ? get16(data + 1) : size - 3;
		if (packet_parse_head(data + 3, len, len + (data[0] & 8 ? 66000u : 0), &p) == 0 && !(p.missing && !(data[0] & 2))) {
			reassembly_packet(r, &p, data[0] & 1 ? SIDE_SERVER : SIDE_CLIENT, now);
			fed += p.payload_len;
		}
		if (data[0] & 4 && now > 4)
			reassembly_expire(r, now - 4, now, 2, is_gone);
		data += 3 + len;
		size -= 3 + len;
	}
	fuzz_check(w.given <= fed && reassembly_bytes(r) <= fed);
	fuzz_check(reassembly_count(r) <= w.n);
	reassembly_free(r);
}

static void send_segment(struct reassembly *r, uint8_t from, uint8_t flags, uint32_t seq, uint32_t ack, const uint8_t *data, size_t len)
{
	const struct endpoint ends[SIDES] = { { .ip = IP_ANY6, .port = 1 }, { .ip = IP_ANY6, .port = 2 } };
	struct packet p = { .protocol = IPPROTO_TCP, .src = ends[from], .dst = ends[!from], .transport = data, .payload = data,
			    .payload_len = len, .tcp_flags = flags, .tcp_seq = seq, .tcp_ack = ack };

	reassembly_packet(r, &p, from ? SIDE_SERVER : SIDE_CLIENT, 0);
}

/* Each step: offset, length, and whether the receiver answers. */
static void feed_stream(const uint8_t *data, size_t size)
{
	static const bool wanted[SIDES] = { true, false };
	uint8_t stream[STREAM], have[STREAM + 1] = { 0 };
	struct watcher w = { .known = true };
	struct reassembly *r = reassembly_new(wanted, &events, &w);
	uint32_t first, next = 0;

	for (uint32_t i = 0; i < STREAM; i++)
		stream[i] = stream_byte(i);
	if (size < 4)
		return reassembly_free(r);
	first = get32(data);
	send_segment(r, 0, TCP_SYN, first - 1, 0, stream, 0);
	send_segment(r, 1, TCP_SYN | TCP_ACK, 9, first, stream, 0);
	for (data += 4, size -= 4; size >= 2; data += 2, size -= 2) {
		size_t len = (data[1] & 127u) + 1;

		len = data[0] + len > STREAM ? (size_t)(STREAM - data[0]) : len;
		send_segment(r, 0, TCP_ACK, first + data[0], 10, stream + data[0], len);
		memset(have + data[0], 1, len);
		while (have[next])
			next++;
		if (data[1] & 128)
			send_segment(r, 1, TCP_ACK, 10, first + next, stream, 0);
	}
	send_segment(r, 0, TCP_RST, first + next, 0, stream, 0);
	fuzz_check(w.at == next && (w.n == 0 || reassembly_count(r) == 0) && reassembly_bytes(r) == 0);
	reassembly_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size && data[0] % 2 == 0)
		feed_packets(data + 1, size - 1);
	else if (size)
		feed_stream(data + 1, size - 1);
	return 0;
}
