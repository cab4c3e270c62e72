// SPDX-License-Identifier: MIT
/* The intake. A checksum that no card has looked at is checked as the receiver's kernel does it, since that drops the packet when it is
 * wrong. What the capture cut off can't be checked, and is only taken for its head. */
#include "capture/intake.h"

#include <netinet/in.h>
#include <stdlib.h>

#include "net/bytes.h"
#include "net/fragment.h"

struct intake {
	const struct intake_events *events;
	void *arg;
	struct fragments *fragments;
	uint64_t unusable;
};

struct intake *intake_new(const struct intake_events *events, void *arg)
{
	struct intake *in = calloc(1, sizeof(*in));

	if (in)
		*in = (struct intake){ .events = events, .arg = arg, .fragments = fragments_new(INTAKE_FRAGMENTED) };
	if (in && in->fragments)
		return in;
	free(in);
	return NULL;
}

void intake_free(struct intake *in)
{
	if (!in)
		return;
	fragments_free(in->fragments);
	free(in);
}

/* The sum over all that the checksum covers, pseudo-header and the field itself included, is 0. */
static bool is_sum_right(const struct packet *p)
{
	unsigned int address;
	size_t len = p->len - (size_t)(p->transport - p->ip);
	uint64_t sum = len + p->protocol;

	if (p->protocol == IPPROTO_UDP) {
		if (get16(p->transport + 6) == 0) /* RFC 768: none was made; RFC 8200 §8.1: there must be one */
			return ip_is_v4(&p->src.ip);
		len = get16(p->transport + 4);
		sum = len + p->protocol;
	}
	for (int i = 0; i < 2; i++) {
		const uint8_t *bytes = ip_bytes(i ? &p->dst.ip : &p->src.ip, &address);

		sum = packet_sum_add(sum, bytes, address);
	}
	return packet_sum_fold(packet_sum_add(sum, p->transport, len)) == 0;
}

static enum side sender(const struct intake *in, const struct packet *p, enum passage passage)
{
	if (passage == PASSAGE_LO)
		return in->events->is_watched(in->arg, p->protocol, p->dst.port) ? SIDE_CLIENT : SIDE_SERVER;
	return passage == PASSAGE_IN ? SIDE_CLIENT : SIDE_SERVER;
}

static bool is_wanted(const struct intake *in, const struct packet *p, enum side from)
{
	if (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP)
		return false;
	return in->events->is_watched(in->arg, p->protocol, from == SIDE_CLIENT ? p->dst.port : p->src.port);
}

void intake_add(struct intake *in, const struct captured *c)
{
	bool summed = c->summed;
	struct packet p;
	enum side from;

	if (packet_parse_head(c->data, c->len, c->wire_len, &p) < 0) {
		in->unusable++;
		return;
	}
	if (packet_is_fragment(&p)) {
		const uint8_t *whole;
		size_t len = fragments_add(in->fragments, &p, c->now_ms, &whole);

		if (!len)
			return;
		if (packet_parse(whole, len, &p) < 0) {
			in->unusable++;
			return;
		}
		summed = c->passage != PASSAGE_IN; /* what leaves in pieces was summed before, or will be */
	}
	from = sender(in, &p, c->passage);
	if (!is_wanted(in, &p, from))
		return;
	if (!summed && !p.missing && c->passage == PASSAGE_IN && !is_sum_right(&p))
		in->unusable++;
	else
		in->events->on_packet(in->arg, &p, from);
}

uint64_t intake_unusable(const struct intake *in)
{
	return in->unusable;
}
