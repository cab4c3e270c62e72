// SPDX-License-Identifier: MIT
/* Agents that incoming traffic comes from. */
#include "session/sources.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define FOR_EACH(s, l) for (struct list *l = (s)->all.next; l != &(s)->all; l = l->next)

static struct source *of(const struct list *l)
{
	return container_of(l, struct source, node);
}

void sources_init(struct sources *s)
{
	*s = (struct sources){ 0 };
	list_init(&s->all);
}

struct source *sources_add(struct sources *s, struct mux **mux, const struct incoming_options *options, const struct kube_probes *probes)
{
	struct source *source = calloc(1, sizeof(*source));

	if (source && !(source->wants = wants_new(mux, options, probes))) {
		free(source);
		return NULL;
	}
	if (source)
		list_append(&s->all, &source->node);
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
	s->used |= wants_used(source->wants);
	list_remove(&source->node);
	wants_free(source->wants);
	free(source);
}

void sources_fini(struct sources *s)
{
	while (!list_empty(&s->all))
		sources_drop(s, of(s->all.next));
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

void sources_move(struct sources *s)
{
	FOR_EACH(s, l) {
		settle_counters(s, of(l));
		of(l)->asked = 0;
		wants_move(of(l)->wants);
	}
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

void sources_ask_counters(struct sources *s)
{
	FOR_EACH(s, l)
		of(l)->asked += wants_ask_counters(of(l)->wants);
}

bool sources_have_told(const struct sources *s)
{
	FOR_EACH(s, l)
		if (of(l)->counters[COUNTER_ASKED] < of(l)->asked)
			return false;
	return true;
}

uint64_t sources_counter(const struct sources *s, unsigned int counter)
{
	uint64_t total = s->before[counter];

	FOR_EACH(s, l)
		total += of(l)->counters[counter];
	return total;
}
