// SPDX-License-Identifier: MIT
/* Agents that incoming traffic comes from. */
#include "session/sources.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define FOR_EACH_IN(head, l) for (struct list *l = (head)->next; l != (head); l = l->next)
#define FOR_EACH(s, l) FOR_EACH_IN(&(s)->all, l)

static struct source *of(const struct list *l)
{
	return container_of(l, struct source, node);
}

void sources_init(struct sources *s)
{
	*s = (struct sources){ 0 };
	list_init(&s->all);
	list_init(&s->left);
}

struct source *sources_add(struct sources *s, struct mux **mux, const struct incoming_options *options, const struct kube_probes *probes)
{
	struct source *source = calloc(1, sizeof(*source));

	if (source && !(source->wants = wants_new(mux, options, probes))) {
		free(source);
		return NULL;
	}
	if (source) {
		source->mux = mux;
		list_append(&s->all, &source->node);
	}
	return source;
}

static void settle_counters(struct sources *s, struct source *source)
{
	for (unsigned int i = 0; i < COUNTERS; i++)
		s->before[i] += source->counters[i];
	memset(source->counters, 0, sizeof(source->counters));
}

void sources_drop(struct sources *s, struct source *source)
{
	settle_counters(s, source);
	s->used |= source->wants && wants_used(source->wants);
	list_remove(&source->node);
	if (source->wants)
		wants_free(source->wants);
	free(source);
}

void sources_fini(struct sources *s)
{
	while (!list_empty(&s->all))
		sources_drop(s, of(s->all.next));
	while (!list_empty(&s->left))
		sources_drop(s, of(s->left.next));
}

void sources_update(struct sources *s, struct wanted *wanted, size_t n)
{
	FOR_EACH(s, l)
		wants_update(of(l)->wants, wanted, n);
}

void sources_add_wanted(struct sources *s, const struct wanted *wanted)
{
	FOR_EACH(s, l)
		wants_add(of(l)->wants, wanted);
}

void sources_retry(struct sources *s, int protocol, uint16_t port)
{
	FOR_EACH(s, l)
		wants_retry(of(l)->wants, protocol, port);
}

struct source *sources_move(struct sources *s, struct source *source, struct mux **old)
{
	struct source *left = old ? calloc(1, sizeof(*left)) : NULL;

	if (left) {
		left->mux = old;
		left->asked = source->asked;
		memcpy(left->counters, source->counters, sizeof(left->counters));
		memset(source->counters, 0, sizeof(source->counters));
		list_append(&s->left, &left->node);
	} else {
		settle_counters(s, source);
	}
	source->asked = 0;
	wants_move(source->wants);
	return left;
}

bool sources_has(const struct sources *s, int protocol, uint16_t port)
{
	FOR_EACH(s, l)
		if (!wants_has(of(l)->wants, protocol, port))
			return false;
	return !list_empty(&s->all);
}

bool sources_listens(const struct sources *s, int protocol, uint16_t local_port)
{
	FOR_EACH(s, l)
		if (wants_listens(of(l)->wants, protocol, local_port))
			return true;
	return false;
}

bool sources_used(const struct sources *s)
{
	FOR_EACH(s, l)
		if (wants_used(of(l)->wants))
			return true;
	return s->used;
}

size_t sources_count(const struct sources *s)
{
	size_t n = 0;

	FOR_EACH(s, l)
		n += wants_count(of(l)->wants);
	return n;
}

int sources_state(const struct sources *s, int protocol, uint16_t port)
{
	bool refused = false, given = false;

	if (list_empty(&s->all) && s->awaited)
		return EINPROGRESS;
	FOR_EACH(s, l) {
		int state = wants_state(of(l)->wants, protocol, port);

		if (state == EINPROGRESS)
			return state;
		refused |= state == EADDRINUSE;
		given |= state == 0;
	}
	return refused && !given ? EADDRINUSE : 0;
}

void sources_on_counters(struct source *source, const uint8_t *data, size_t len)
{
	struct error err = { 0 };

	if (counters_decode(data, len, source->counters, &err) < 0)
		log_warn("incoming: %s", err.text);
}

static void ask(struct source *source)
{
	source->asked += *source->mux && mux_send_info(*source->mux, INFO_COUNTERS, "", 0) == 0;
}

void sources_ask_counters(struct sources *s)
{
	FOR_EACH(s, l)
		ask(of(l));
	FOR_EACH_IN(&s->left, l)
		ask(of(l));
}

static bool has_told(const struct source *source)
{
	return source->counters[COUNTER_ASKED] >= source->asked;
}

bool sources_have_told(const struct sources *s)
{
	FOR_EACH(s, l)
		if (!has_told(of(l)))
			return false;
	FOR_EACH_IN(&s->left, l)
		if (!has_told(of(l)))
			return false;
	return true;
}

uint64_t sources_counter(const struct sources *s, unsigned int counter)
{
	uint64_t total = s->before[counter];

	FOR_EACH(s, l)
		total += of(l)->counters[counter];
	FOR_EACH_IN(&s->left, l)
		total += of(l)->counters[counter];
	return total;
}
