// SPDX-License-Identifier: MIT
#include "agent/mirror_followers.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

void followers_init(struct followers *fs, struct loop *loop, void (*tell)(const struct mirror_message *m))
{
	fs->loop = loop;
	fs->tell = tell;
	list_init(&fs->all);
}

static size_t protocol_index(uint8_t protocol)
{
	return protocol == IPPROTO_UDP;
}

bool followers_watch(const struct followers *fs, uint8_t protocol, uint16_t port)
{
	return fs->watched[protocol_index(protocol)][port / FOLLOWED_WORD] >> port % FOLLOWED_WORD & 1;
}

static void watch_port(struct followers *fs, const struct follower *f)
{
	fs->watched[protocol_index(f->protocol)][f->port / FOLLOWED_WORD] |= 1ULL << f->port % FOLLOWED_WORD;
}

static void find_watched(struct followers *fs)
{
	memset(fs->watched, 0, sizeof(fs->watched));
	for (struct list *n = fs->all.next; n != &fs->all; n = n->next)
		watch_port(fs, container_of(n, struct follower, node));
}

bool follower_wants(const struct follower *f, uint8_t protocol, uint16_t port)
{
	return !f->removed && f->protocol == protocol && f->port == port;
}

struct follower *followers_find(const struct followers *fs, uint32_t key)
{
	for (struct list *n = fs->all.next; n != &fs->all; n = n->next) {
		struct follower *f = container_of(n, struct follower, node);

		if (f->key == key)
			return f;
	}
	return NULL;
}

/* The agent has compiled it before. */
static struct http_filter *read_filter(int fd)
{
	struct error err = { 0 };
	struct http_filter *filter;
	char *text;

	lseek(fd, 0, SEEK_SET);
	text = fd_read_all(fd, SUBSCRIPTION_FILTER_MAX, NULL);
	filter = text ? http_filter_parse(text, &err) : NULL;
	free(text);
	if (!filter)
		_exit(1);
	return filter;
}

void followers_add(struct followers *fs, const struct mirror_message *m, int filter)
{
	struct follower *f = calloc(1, sizeof(*f));

	if (!f)
		_exit(1);
	*f = (struct follower){ .key = m->key, .protocol = m->protocol, .port = m->destination.port };
	f->body_max = (size_t)m->value;
	if (filter >= 0)
		f->filter = read_filter(filter);
	list_append(&fs->all, &f->node);
	watch_port(fs, f);
}

static void tell_counts(const struct followers *fs, struct follower *f)
{
	struct http_filter_trouble now = f->filter ? http_filter_trouble(f->filter) : f->told;

	f->counts[COUNTER_HTTP_TROUBLE] = now.regex - f->told.regex + now.jq - f->told.jq;
	f->told = now;
	for (unsigned int i = 0; i < COUNTERS; i++) {
		const struct mirror_message m = { .kind = MIRROR_COUNT, .key = f->key, .copy = i, .value = (int32_t)f->counts[i] };

		if (f->counts[i] && !f->removed)
			fs->tell(&m);
		f->counts[i] = 0;
	}
}

static void on_tell_counts(struct deferred *d)
{
	struct followers *fs = container_of(d, struct followers, tell_counts);

	for (struct list *n = fs->all.next; n != &fs->all; n = n->next)
		tell_counts(fs, container_of(n, struct follower, node));
}

void follower_count(struct followers *fs, struct follower *f, enum counter what)
{
	f->counts[what]++;
	loop_defer(fs->loop, &fs->tell_counts, on_tell_counts);
}

void follower_remove(struct followers *fs, struct follower *f)
{
	tell_counts(fs, f);
	f->removed = true;
}

void follower_end_if_over(struct followers *fs, struct follower *f)
{
	const struct mirror_message m = { .kind = MIRROR_GONE, .key = f->key };

	if (!f->removed || f->copies)
		return;
	list_remove(&f->node);
	http_filter_free(f->filter);
	free(f);
	find_watched(fs);
	fs->tell(&m);
}
