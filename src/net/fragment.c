// SPDX-License-Identifier: MIT
/* Fragments, put together and cut.
 *
 * A datagram that waits has a buffer for the largest one there can be, and a bitmap of the 8-byte units that are there:
 * an overlap is a bit that is set already, whatever the order of arrival, and a hostile order costs no more than a good
 * one. Ahead of the data is room for the first fragment's headers, so that the whole packet is there without another
 * copy.
 *
 * A datagram with an overlap stays in the list without its buffer: fragments of it that come later are dropped with it
 * (RFC 5722). The exception is a fragment that says nothing new, byte for byte: the network may deliver one twice
 * (RFC 8200 §4.5, erratum). */
#include "net/fragment.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "net/bytes.h"

enum {
	IP4_HEADER = 20,
	IP6_HEADER = 40,
	FRAGMENT_HEADER = 8,
	UNIT = 8, /* offsets count in it */
	DATA_MAX = 65535, /* of either family; the headers' share is checked when the packet is whole */
	HEADERS_MAX = 296, /* IPv6 with 256 bytes of options before the fragment header */
	MORE_FRAGMENTS4 = 0x2000,
	MORE_FRAGMENTS6 = 1,
};

/* No padding: compared as bytes. IPv6 datagrams are told apart without the protocol, theirs is 0. */
struct key {
	struct ip src, dst;
	uint32_t id, protocol;
};

struct buffer {
	uint8_t have[(DATA_MAX / UNIT + 1 + 7) / 8];
	uint8_t bytes[HEADERS_MAX + DATA_MAX]; /* the headers end where the data starts, at HEADERS_MAX */
};

struct datagram {
	struct list node;
	struct key key;
	uint64_t deadline;
	struct buffer *buffer; /* NULL: what comes of it is dropped */
	size_t headers_len; /* 0 until the first fragment is here */
	size_t total; /* bytes of data; 0 until the last fragment is here */
	size_t end, received; /* the highest end so far; bytes so far */
};

struct fragments {
	struct list waiting; /* by age */
	size_t n, max;
	struct buffer *returned; /* of the packet that the caller looks at */
};

struct fragments *fragments_new(size_t max)
{
	struct fragments *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	list_init(&f->waiting);
	f->max = max ? max : 1;
	return f;
}

static struct datagram *oldest(struct fragments *f)
{
	return list_empty(&f->waiting) ? NULL : container_of(f->waiting.next, struct datagram, node);
}

static void forget(struct fragments *f, struct datagram *d)
{
	list_remove(&d->node);
	f->n--;
	free(d->buffer);
	free(d);
}

void fragments_free(struct fragments *f)
{
	if (!f)
		return;
	while (f->n)
		forget(f, oldest(f));
	free(f->returned);
	free(f);
}

static struct key key_of(const struct packet *p)
{
	return (struct key){
		.src = p->src.ip,
		.dst = p->dst.ip,
		.id = p->fragment_id,
		.protocol = ip_is_v4(&p->src.ip) ? p->protocol : 0,
	};
}

static struct datagram *find(struct fragments *f, const struct key *key)
{
	for (struct list *node = f->waiting.next; node != &f->waiting; node = node->next) {
		struct datagram *d = container_of(node, struct datagram, node);

		if (memcmp(&d->key, key, sizeof(*key)) == 0)
			return d;
	}
	return NULL;
}

static struct datagram *start(struct fragments *f, const struct key *key, uint64_t now_ms)
{
	struct datagram *d = calloc(1, sizeof(*d));

	if (d)
		d->buffer = malloc(sizeof(*d->buffer));
	if (!d || !d->buffer) {
		free(d);
		return NULL;
	}
	memset(d->buffer->have, 0, sizeof(d->buffer->have));
	d->key = *key;
	d->deadline = now_ms + FRAGMENT_TIMEOUT_MS;
	if (f->n == f->max)
		forget(f, oldest(f));
	list_append(&f->waiting, &d->node);
	f->n++;
	return d;
}

static size_t units_there(const struct buffer *b, size_t first, size_t units)
{
	size_t n = 0;

	for (size_t i = first; i < first + units; i++)
		n += b->have[i / 8] >> (i % 8) & 1;
	return n;
}

/* All fragments tell of the same end, and nothing lies behind it. */
static bool end_agrees(const struct datagram *d, const struct packet *p, size_t end)
{
	if (p->more_fragments)
		return !d->total || end <= d->total;
	return (!d->total || end == d->total) && end >= d->end;
}

/* Copies the data to its place; false when it contradicts what is there. */
static bool put_data(struct datagram *d, const struct packet *p)
{
	size_t first = p->fragment_offset / UNIT, units = (p->payload_len + UNIT - 1) / UNIT, there;
	size_t end = p->fragment_offset + p->payload_len;
	uint8_t *data = d->buffer->bytes + HEADERS_MAX + p->fragment_offset;

	if (end > DATA_MAX || !end_agrees(d, p, end))
		return false;
	there = units_there(d->buffer, first, units);
	if (there == units && (p->more_fragments || d->total))
		return memcmp(data, p->payload, p->payload_len) == 0;
	if (there)
		return false;
	memcpy(data, p->payload, p->payload_len);
	for (size_t i = first; i < first + units; i++)
		d->buffer->have[i / 8] |= (uint8_t)(1 << i % 8);
	d->received += p->payload_len;
	if (end > d->end)
		d->end = end;
	if (!p->more_fragments)
		d->total = end;
	return true;
}

/* The length of the IPv6 header and the extension headers up to one of type @next, and in *ret_field where that type
 * stands. They were parsed, so the one is there. */
static size_t headers_before(const uint8_t *ip, uint8_t next, size_t *ret_field)
{
	size_t field = 6, len = IP6_HEADER;

	while (ip[field] != next) {
		field = len;
		len += ((size_t)ip[len + 1] + 1) * 8;
	}
	*ret_field = field;
	return len;
}

/* The headers of the first fragment become those of the whole; false when there is no room for them. */
static bool put_headers(struct datagram *d, const struct packet *p)
{
	size_t field = 0, len;
	uint8_t *headers;
	bool v4 = ip_is_v4(&p->src.ip);

	len = v4 ? (size_t)(p->payload - p->ip) : headers_before(p->ip, IPPROTO_FRAGMENT, &field);
	if (len > HEADERS_MAX)
		return false;
	headers = d->buffer->bytes + HEADERS_MAX - len;
	memcpy(headers, p->ip, len);
	if (!v4)
		headers[field] = p->ip[len]; /* the fragment header's own next header */
	d->headers_len = len;
	return true;
}

static void complete_ip4(uint8_t *ip, size_t headers, size_t len, uint16_t fragment)
{
	put16(ip + 2, (uint16_t)len);
	put16(ip + 6, fragment);
	put16(ip + 10, 0);
	put16(ip + 10, packet_sum_fold(packet_sum_add(0, ip, headers)));
}

/* Makes one packet of headers and data; returns its length, or 0 when that is more than its header can say. */
static size_t make_whole(const struct datagram *d, const uint8_t **ret)
{
	uint8_t *ip = d->buffer->bytes + HEADERS_MAX - d->headers_len;
	size_t len = d->headers_len + d->total;
	bool v4 = ip_is_v4(&d->key.src);

	if ((v4 ? len : len - IP6_HEADER) > DATA_MAX)
		return 0;
	if (v4)
		complete_ip4(ip, d->headers_len, len, 0);
	else
		put16(ip + 4, (uint16_t)(len - IP6_HEADER));
	*ret = ip;
	return len;
}

size_t fragments_add(struct fragments *f, const struct packet *p, uint64_t now_ms, const uint8_t **ret)
{
	struct key key = key_of(p);
	struct datagram *d;
	size_t len;

	free(f->returned);
	f->returned = NULL;
	while ((d = oldest(f)) && d->deadline <= now_ms)
		forget(f, d);
	if (!packet_is_fragment(p)) {
		*ret = p->ip;
		return p->len;
	}
	d = find(f, &key);
	if (!d)
		d = start(f, &key, now_ms);
	if (!d || !d->buffer)
		return 0;
	if (!put_data(d, p) || (p->fragment_offset == 0 && !d->headers_len && !put_headers(d, p))) {
		free(d->buffer);
		d->buffer = NULL;
		return 0;
	}
	if (!d->total || d->received < d->total)
		return 0;
	len = make_whole(d, ret);
	if (len) {
		f->returned = d->buffer;
		d->buffer = NULL;
	}
	forget(f, d);
	return len;
}

/* Cutting works in a copy of the packet: each piece's headers are written right before its data, over what the piece
 * before it had there. */
struct cutter {
	uint8_t *data; /* behind the headers, in the copy */
	size_t data_len, headers_len;
	size_t field; /* of the last next header, IPv6 */
	uint8_t headers[HEADERS_MAX];
	bool v4;
	uint32_t id;
};

/* Writes the headers of the piece that starts at @offset; returns where they start. */
static uint8_t *write_headers(const struct cutter *c, size_t offset, size_t len, bool more)
{
	uint8_t *data = c->data + offset, *fragment, *ip;

	if (c->v4) {
		ip = data - c->headers_len;
		memcpy(ip, c->headers, c->headers_len);
		put16(ip + 4, (uint16_t)c->id);
		complete_ip4(ip, c->headers_len, c->headers_len + len,
			     (uint16_t)(offset / UNIT | (more ? MORE_FRAGMENTS4 : 0)));
		return ip;
	}
	fragment = data - FRAGMENT_HEADER;
	ip = fragment - c->headers_len;
	memcpy(ip, c->headers, c->headers_len);
	put16(ip + 4, (uint16_t)(c->headers_len - IP6_HEADER + FRAGMENT_HEADER + len));
	fragment[0] = ip[c->field];
	fragment[1] = 0;
	put16(fragment + 2, (uint16_t)(offset | (more ? MORE_FRAGMENTS6 : 0)));
	put32(fragment + 4, c->id);
	ip[c->field] = IPPROTO_FRAGMENT;
	return ip;
}

/* What each fragment repeats: the IPv4 header; the IPv6 headers up to a routing header, or up to the hop-by-hop options
 * (RFC 8200 §4.5). 0 when there is a fragment header already. */
static size_t repeated_headers(const uint8_t *ip, size_t *ret_field)
{
	size_t field = 6, len = IP6_HEADER, end = IP6_HEADER, end_field = 6;
	uint8_t type;

	if (ip[0] >> 4 == 4)
		return (size_t)(ip[0] & 15) * 4;
	while ((type = ip[field]) == IPPROTO_HOPOPTS || type == IPPROTO_ROUTING || type == IPPROTO_DSTOPTS) {
		field = len;
		len += ((size_t)ip[len + 1] + 1) * 8;
		if (type != IPPROTO_DSTOPTS) {
			end = len;
			end_field = field;
		}
	}
	*ret_field = end_field;
	return type == IPPROTO_FRAGMENT ? 0 : end;
}

size_t fragment_cut(const uint8_t *packet, size_t len, size_t mtu, uint32_t id,
		    void (*emit)(void *arg, const uint8_t *piece, size_t piece_len), void *arg)
{
	uint8_t copy[FRAGMENT_HEADER + PACKET_MAX];
	struct cutter c = { .id = id };
	struct packet p;
	size_t room, extra, n = 0;

	if (len <= mtu || packet_parse(packet, len, &p) < 0 || packet_is_fragment(&p) || p.len <= mtu)
		return 0;
	c.v4 = ip_is_v4(&p.src.ip);
	extra = c.v4 ? 0 : FRAGMENT_HEADER;
	c.headers_len = repeated_headers(packet, &c.field);
	if (!c.headers_len || c.headers_len > HEADERS_MAX || mtu < c.headers_len + extra + UNIT)
		return 0;
	memcpy(c.headers, packet, c.headers_len);
	memcpy(copy + FRAGMENT_HEADER, packet, p.len);
	packet_complete_sum(copy + FRAGMENT_HEADER, &p);
	c.data = copy + FRAGMENT_HEADER + c.headers_len;
	c.data_len = p.len - c.headers_len;
	room = (mtu - c.headers_len - extra) / UNIT * UNIT;
	if (!c.v4 && room < (size_t)(p.payload - packet) - c.headers_len)
		return 0; /* the first piece must hold all headers, RFC 7112 */
	for (size_t at = 0, part; at < c.data_len; at += part, n++) {
		part = c.data_len - at < room ? c.data_len - at : room;
		emit(arg, write_headers(&c, at, part, at + part < c.data_len), c.headers_len + extra + part);
	}
	return n;
}
