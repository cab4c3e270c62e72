// SPDX-License-Identifier: MIT
/* One direction of a TCP connection.
 *
 * Data is given when the receiver has acknowledged it, no sooner. So what a receiver refuses without a word (outside its window, an old
 * timestamp, dropped by its firewall) is never given, whatever the reason was, and a byte that the receiver has and we have not is known to
 * be missing at once, without a timer: the capture sees a segment before the receiver's TCP does, and so before its acknowledgement.
 *
 * Bytes that come twice before they are acknowledged must be the same. Where they differ nobody but the receiver knows which it took (Linux:
 * the first that came when it was in order; of two that waited, the one that starts further left), so this is an error and not a rule. */
#include "capture/half.h"

#include <stdlib.h>
#include <string.h>

struct segment {
	struct list node;
	uint32_t seq;
	uint32_t len;
	uint8_t data[];
};

/* How far @a is ahead of @b. */
static int32_t ahead(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

static struct segment *segment_of(struct list *node)
{
	return container_of(node, struct segment, node);
}

static uint32_t end_of(const struct segment *s)
{
	return s->seq + s->len;
}

void half_start(struct half *h, uint32_t next)
{
	*h = (struct half){ .next = next };
	list_init(&h->waiting);
}

static size_t drop(struct half *h, struct segment *s)
{
	size_t len = s->len;

	h->bytes -= len;
	list_remove(&s->node);
	free(s);
	return len;
}

void half_clear(struct half *h)
{
	while (!list_empty(&h->waiting))
		drop(h, segment_of(h->waiting.next));
}

static bool insert(struct half *h, struct list *before, uint32_t seq, const uint8_t *data, size_t len)
{
	struct segment *s = malloc(sizeof(*s) + len);

	if (!s)
		return false;
	*s = (struct segment){ .seq = seq, .len = (uint32_t)len };
	memcpy(s->data, data, len);
	list_append(before, &s->node); /* in front of it: the list is a ring */
	h->bytes += len;
	return true;
}

/* The first segment that ends behind @seq, or the list's head. New data mostly goes behind all others. */
static struct list *find(struct half *h, uint32_t seq)
{
	struct list *node = &h->waiting;

	while (node->prev != &h->waiting && ahead(end_of(segment_of(node->prev)), seq) > 0)
		node = node->prev;
	return node;
}

/* Sequence numbers from @seq on that nothing is there for, before @node; 0 when @node has a byte for the first. */
static size_t room_before(const struct half *h, struct list *node, uint32_t seq)
{
	int32_t room;

	if (node == &h->waiting)
		return SIZE_MAX;
	room = ahead(segment_of(node)->seq, seq);
	return room > 0 ? (size_t)room : 0;
}

int half_add(struct half *h, uint32_t seq, const uint8_t *data, size_t len)
{
	size_t had = h->bytes, part;
	int32_t old = ahead(h->next, seq);
	struct list *node;

	if (old > 0) {
		part = (size_t)old < len ? (size_t)old : len;
		seq += (uint32_t)part;
		data += part;
		len -= part;
	}
	for (node = find(h, seq); len; seq += (uint32_t)part, data += part, len -= part) {
		size_t room = room_before(h, node, seq);
		const struct segment *s;

		if (room) {
			part = room < len ? room : len;
			if (!insert(h, node, seq, data, part))
				return HALF_MEMORY;
			continue;
		}
		s = segment_of(node);
		part = end_of(s) - seq < len ? end_of(s) - seq : len;
		if (memcmp(s->data + (seq - s->seq), data, part) != 0)
			return HALF_CONFLICT;
		node = node->next;
	}
	return (int)(h->bytes - had);
}

void half_add_fin(struct half *h, uint32_t seq)
{
	if (h->has_fin || ahead(seq, h->next) < 0)
		return;
	h->has_fin = true;
	h->fin = seq;
}

void half_ack(struct half *h, uint32_t ack)
{
	if (h->has_acked && ahead(ack, h->acked) <= 0)
		return;
	h->has_acked = true;
	h->acked = ack;
}

uint32_t half_end(const struct half *h)
{
	uint32_t end = h->next;

	/* The first may have been given in part. */
	for (struct list *node = h->waiting.next; node != &h->waiting && ahead(segment_of(node)->seq, end) <= 0; node = node->next)
		end = end_of(segment_of(node));
	return end;
}

uint32_t half_last(const struct half *h)
{
	return list_empty(&h->waiting) ? h->next : end_of(segment_of(h->waiting.prev));
}

/* One step to @end, which is ahead: bytes, or the news that some are missing. Returns how many fewer wait. */
static size_t give_some(struct half *h, uint32_t end, const struct half_events *events, void *arg)
{
	struct segment *s = list_empty(&h->waiting) ? NULL : segment_of(h->waiting.next);
	uint32_t offset, part = end - h->next;

	if (!s || ahead(s->seq, h->next) > 0) {
		if (s && ahead(end, s->seq) > 0)
			part = s->seq - h->next;
		h->next += part;
		events->on_gap(arg, part);
		return 0;
	}
	offset = h->next - s->seq; /* what an acknowledgement in the middle of it let pass before */
	if (s->len - offset < part)
		part = s->len - offset;
	h->next += part;
	events->on_data(arg, s->data + offset, part);
	return h->next == end_of(s) ? drop(h, s) : 0;
}

size_t half_give(struct half *h, const struct half_events *events, void *arg)
{
	size_t gone = 0;
	uint32_t end;
	bool fin;

	if (!h->has_acked || h->ended)
		return 0;
	if (h->has_fin && ahead(h->acked, h->fin) > 1)
		h->has_fin = false; /* more came behind it, so the receiver didn't take it for one */
	fin = h->has_fin && h->acked == h->fin + 1;
	end = fin ? h->fin : h->acked;
	while (ahead(end, h->next) > 0)
		gone += give_some(h, end, events, arg);
	if (fin) {
		h->ended = true;
		events->on_end(arg);
	}
	return gone;
}
