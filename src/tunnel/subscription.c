// SPDX-License-Identifier: MIT
/* Subscriptions: as messages, and where in the twin a connection of theirs goes.
 *
 * What comes is checked: a session is another user's to a shared agent, and what an agent says goes to a terminal. */
#include "tunnel/subscription.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "net/loopback.h"
#include "tunnel/fields.h"
#include "tunnel/writing.h"

enum subscription_tag {
	TAG_ID = 1,
	TAG_PROTOCOL = 2,
	TAG_PORT = 3,
	TAG_MODE = 4,
	TAG_ON_CONCURRENT = 5,
	TAG_FLUSH = 6,
	TAG_HTTP_FILTER = 7,
	TAG_WHO = 8,
	TAG_LISTENER = 9,
	TAG_PROBES = 10,
	TAG_NODE = 11,
	TAG_HTTP_OPTIONS = 12,
};
enum subscribed_tag { SUBSCRIBED_ID = 1, SUBSCRIBED_TEXT = 2, SUBSCRIBED_HINT = 3 };

enum { LISTENER_LEN = 19, LISTENER_V6ONLY = 1, LISTENER_FULL = 2, LISTENER_SEVERAL = 4 };

void subscription_fini(struct subscription *s)
{
	free(s->http_filter);
	free(s->http_options);
	free(s->who);
	free(s->listeners);
	free(s->nodes);
	*s = (struct subscription){ 0 };
}

uint8_t *subscription_encode(const struct subscription *s, size_t *ret_len)
{
	struct fields_writer w = { 0 };

	fields_add_u32(&w, TAG_ID, s->id);
	fields_add_u8(&w, TAG_PROTOCOL, s->protocol);
	fields_add_u16(&w, TAG_PORT, s->port);
	fields_add_u8(&w, TAG_MODE, (uint8_t)s->mode);
	fields_add_u8(&w, TAG_ON_CONCURRENT, (uint8_t)s->on_concurrent);
	fields_add_u8(&w, TAG_FLUSH, s->flush);
	fields_add_text(&w, TAG_HTTP_FILTER, s->http_filter);
	fields_add_text(&w, TAG_HTTP_OPTIONS, s->http_options);
	fields_add_text(&w, TAG_WHO, s->who);
	for (size_t i = 0; i < s->n_listeners; i++) {
		const struct listener *l = &s->listeners[i];
		uint8_t *p = fields_add(&w, TAG_LISTENER, LISTENER_LEN);

		if (p)
			write_u8(write_u16(write_bytes(p, l->at.ip.b, 16), l->at.port),
				 (uint8_t)((l->v6only ? LISTENER_V6ONLY : 0) | (l->full ? LISTENER_FULL : 0) | (l->several ? LISTENER_SEVERAL : 0)));
	}
	if (s->probes)
		fields_add_u8(&w, TAG_PROBES, s->probes);
	for (size_t i = 0; i < s->n_nodes; i++) {
		uint8_t *p = fields_add(&w, TAG_NODE, 16);

		if (p)
			write_bytes(p, s->nodes[i].b, 16);
	}
	return fields_result(&w, ret_len);
}

/* A number of @size bytes between @least and @most. False when it isn't one. */
static bool number(const struct field *f, size_t size, uint32_t least, uint32_t most, uint32_t *ret)
{
	uint32_t n;

	if (f->len < size)
		return false;
	n = size == 1 ? f->value[0] : size == 2 ? get16(f->value) : get32(f->value);
	if (n < least || n > most)
		return false;
	*ret = n;
	return true;
}

static int who_decode(const struct field *f, struct subscription *s)
{
	int r = field_text(f, SUBSCRIPTION_WHO_MAX, &s->who);

	if (r == 0)
		field_words(f, s->who, f->len + 1);
	return r;
}

static int listener_decode(const struct field *f, struct subscription *s)
{
	struct listener l = { 0 }, *place;
	int error;

	if (f->len < LISTENER_LEN)
		return -EINVAL;
	memcpy(l.at.ip.b, f->value, 16);
	l.at.port = get16(f->value + 16);
	l.v6only = f->value[18] & LISTENER_V6ONLY;
	l.full = f->value[18] & LISTENER_FULL;
	l.several = f->value[18] & LISTENER_SEVERAL;
	if (!l.at.port)
		return -EINVAL;
	place = fields_grow((void **)&s->listeners, s->n_listeners, SUBSCRIPTION_LISTENERS, sizeof(l), &error);
	if (!place)
		return error;
	*place = l;
	s->n_listeners++;
	return 0;
}

static int node_decode(const struct field *f, struct subscription *s)
{
	struct ip *place;
	int error;

	if (f->len < sizeof(place->b))
		return -EINVAL;
	place = fields_grow((void **)&s->nodes, s->n_nodes, SUBSCRIPTION_NODES, sizeof(*place), &error);
	if (!place)
		return error;
	memcpy(place->b, f->value, sizeof(place->b));
	s->n_nodes++;
	return 0;
}

static int subscription_field(const struct field *f, struct subscription *s, bool *has_id)
{
	uint32_t n = 0;
	bool ok = true;

	switch ((enum subscription_tag)f->tag) {
	case TAG_ID:
		ok = *has_id = number(f, 4, 0, UINT32_MAX, &s->id);
		break;
	case TAG_PROTOCOL:
		ok = number(f, 1, 0, UINT8_MAX, &n) && (n == IPPROTO_TCP || n == IPPROTO_UDP);
		s->protocol = (uint8_t)n;
		break;
	case TAG_PORT:
		ok = number(f, 2, 1, UINT16_MAX, &n);
		s->port = (uint16_t)n;
		break;
	case TAG_MODE:
		ok = number(f, 1, SUBSCRIPTION_MIRROR, SUBSCRIPTION_CHECK, &n);
		s->mode = (enum subscription_mode)n;
		break;
	case TAG_ON_CONCURRENT:
		ok = number(f, 1, CONCURRENT_ABORT, CONCURRENT_OVERRIDE, &n);
		s->on_concurrent = (enum concurrent_steal)n;
		break;
	case TAG_FLUSH:
		ok = number(f, 1, 0, UINT8_MAX, &n);
		s->flush = n != 0;
		break;
	case TAG_HTTP_FILTER:
		return field_text(f, SUBSCRIPTION_FILTER_MAX, &s->http_filter);
	case TAG_HTTP_OPTIONS:
		return field_text(f, SUBSCRIPTION_FILTER_MAX, &s->http_options);
	case TAG_WHO:
		return who_decode(f, s);
	case TAG_LISTENER:
		return listener_decode(f, s);
	case TAG_PROBES:
		ok = number(f, 1, 0, UINT8_MAX, &n);
		s->probes = (uint8_t)n;
		break;
	case TAG_NODE:
		return node_decode(f, s);
	}
	return ok ? 0 : -EINVAL;
}

int subscription_decode(const uint8_t *data, size_t len, struct subscription *ret, struct error *err)
{
	struct subscription s = { .on_concurrent = CONCURRENT_ABORT };
	bool has_id = false;
	size_t whole = len;
	struct field f;
	int r;

	while ((r = fields_next(&data, &len, &f)) > 0) {
		r = subscription_field(&f, &s, &has_id);
		if (r < 0)
			break;
	}
	if (r == 0 && has_id && s.protocol && s.port && s.mode) {
		*ret = s;
		return 0;
	}
	subscription_fini(&s);
	if (r == -ENOMEM)
		return error_set(err, ENOMEM, "read a subscription");
	return error_set(err, 0, "a subscription is malformed at byte %zu of %zu", whole - len, whole);
}

size_t unsubscribe_encode(uint32_t id, uint8_t ret[UNSUBSCRIBE_LEN])
{
	put32(ret, id);
	return UNSUBSCRIBE_LEN;
}

int unsubscribe_decode(const uint8_t *data, size_t len, uint32_t *ret_id, struct error *err)
{
	if (len < UNSUBSCRIBE_LEN)
		return error_set(err, 0, "the end of a subscription is malformed: %zu bytes", len);
	*ret_id = get32(data);
	return 0;
}

uint8_t *subscribed_encode(const struct subscribed *s, size_t *ret_len)
{
	struct fields_writer w = { 0 };

	fields_add_u32(&w, SUBSCRIBED_ID, s->id);
	if (error_is_set(&s->refused)) {
		fields_add_text(&w, SUBSCRIBED_TEXT, s->refused.text);
		fields_add_text(&w, SUBSCRIBED_HINT, s->refused.hint);
	}
	return fields_result(&w, ret_len);
}

int subscribed_decode(const uint8_t *data, size_t len, struct subscribed *ret, struct error *err)
{
	struct subscribed s = { 0 };
	bool has_id = false;
	size_t whole = len;
	struct field f;
	int r;

	while ((r = fields_next(&data, &len, &f)) > 0) {
		if (f.tag == SUBSCRIBED_ID)
			has_id = number(&f, 4, 0, UINT32_MAX, &s.id);
		else if (f.tag == SUBSCRIBED_TEXT)
			field_words(&f, s.refused.text, sizeof(s.refused.text));
		else if (f.tag == SUBSCRIBED_HINT)
			field_words(&f, s.refused.hint, sizeof(s.refused.hint));
	}
	if (r < 0 || !has_id)
		return error_set(err, 0, "the answer to a subscription is malformed at byte %zu of %zu", whole - len,
				 whole);
	*ret = s;
	return 0;
}

void notice_decode(const uint8_t *data, size_t len, char ret[NOTICE_MAX + 1])
{
	field_words(&(struct field){ .value = data, .len = len }, ret, NOTICE_MAX + 1);
}

enum rank { NO, OTHER_LOOPBACK, LOOPBACK, WILDCARD6, WILDCARD, EXACT };

/* How well @l takes what was meant for @destination. A wildcard socket of the family goes before one that takes both, as in the kernel. */
static enum rank rank_of(const struct listener *l, const struct ip *destination)
{
	bool v4 = ip_is_v4(destination);

	if (ip_equal(&l->at.ip, destination))
		return EXACT;
	if (ip_is_any(&l->at.ip)) {
		if (ip_is_v4(&l->at.ip) == v4)
			return WILDCARD;
		return v4 && !l->v6only ? WILDCARD6 : NO;
	}
	if (!ip_is_loopback(&l->at.ip))
		return NO;
	return ip_is_v4(&l->at.ip) == v4 ? LOOPBACK : OTHER_LOOPBACK;
}

static bool takes(const struct listener *l, bool v4)
{
	return ip_is_v4(&l->at.ip) == v4 || ip_is_loopback(&l->at.ip) || (v4 && ip_is_any(&l->at.ip) && !l->v6only);
}

bool subscription_takes(const struct subscription *s, bool v4)
{
	for (size_t i = 0; i < s->n_listeners; i++)
		if (takes(&s->listeners[i], v4))
			return true;
	return false;
}

/* One on the other family's loopback address gets nothing where there is another one. */
const struct listener *subscription_only_listener(const struct subscription *s, bool v4)
{
	const struct listener *only[2] = { NULL }; /* [other family's loopback] */
	size_t n[2] = { 0 };

	for (size_t i = 0; i < s->n_listeners; i++) {
		const struct listener *l = &s->listeners[i];
		bool other = ip_is_loopback(&l->at.ip) && ip_is_v4(&l->at.ip) != v4;

		if (takes(l, v4) && !n[other]++)
			only[other] = l;
	}
	if (n[0] + (n[0] ? 0 : n[1]) != 1)
		return NULL;
	return only[n[0] ? 0 : 1]->several ? NULL : only[n[0] ? 0 : 1];
}

bool subscription_is_full(const struct subscription *s, bool v4)
{
	for (size_t i = 0; i < s->n_listeners; i++)
		if (takes(&s->listeners[i], v4) && !s->listeners[i].full)
			return false;
	return subscription_takes(s, v4);
}

/* @ip, or who stands for it in the twin. */
static struct ip in_twin(const struct subscription *s, const struct ip *ip)
{
	const struct ip *first = NULL;

	if (ip_is_link_local6(ip)) /* it means something on its link alone, which the twin doesn't share */
		return ip_loopback(false);
	if (!s->n_twin || ip_is_loopback(ip))
		return *ip;
	for (size_t i = 0; i < s->n_twin; i++) {
		if (ip_equal(&s->twin[i], ip))
			return *ip;
		if (!first && ip_is_v4(&s->twin[i]) == ip_is_v4(ip))
			first = &s->twin[i];
	}
	return first ? *first : ip_loopback(ip_is_v4(ip));
}

bool subscription_deliver(const struct subscription *s, const struct endpoint *client,
			  const struct endpoint *destination, struct endpoint *ret_local, struct endpoint *ret_remote)
{
	struct endpoint from = *client, to = *destination;
	const struct listener *best = NULL;
	enum rank rank = NO;

	for (size_t i = 0; i < s->n_listeners; i++) {
		enum rank r = rank_of(&s->listeners[i], &destination->ip);

		if (r > rank) {
			rank = r;
			best = &s->listeners[i];
		}
	}
	if (!best)
		return false;
	to.port = best->at.port;
	if (rank <= LOOPBACK)
		to.ip = best->at.ip;
	else
		to.ip = in_twin(s, &to.ip);
	/* Whoever reaches a loopback address is on the same host. */
	if (ip_is_v4(&from.ip) != ip_is_v4(&to.ip) ||
	    (ip_is_loopback(&to.ip) && !ip_equal(&to.ip, &destination->ip) && !ip_is_loopback(&from.ip)))
		from.ip = ip_loopback(ip_is_v4(&to.ip));
	from.ip = loopback_to_source_alias(&from.ip);
	to.ip = loopback_to_destination_alias(&to.ip);
	*ret_local = from;
	*ret_remote = to;
	return true;
}
