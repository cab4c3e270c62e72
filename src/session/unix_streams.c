// SPDX-License-Identifier: MIT
/* A connect(2) to a Unix socket of the target's.
 *
 *   the keeper reports it ─► no pattern matches: the kernel does it
 *        └─► DIALING ─► the agent connected: JOINING ─► the keeper gives our end of the program's socket: joined with the stream
 *              ▲  └───► it failed: the call returns with the target's errno
 *              └─ its queue is full (EAGAIN): once more in a moment, unless the program's socket is non-blocking
 *
 * The call waits all the time, as a connect to a Unix socket of this machine would: none of those is ever "in progress". After CALL_TIME it fails.
 * The bytes always go by the tunnel, also on one machine: the program's own socket can't become one of another network namespace. */
#include "session/unix_streams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/list.h"
#include "base/log.h"
#include "base/table.h"
#include "http/regexp.h"
#include "relay/tunnel_egress.h"

enum { MAX_SEEN = 1024 };
#define CALL_TIME (10 * LOOP_SECOND)
#define RETRY	  (10 * (uint64_t)LOOP_MS)

struct unix_streams {
	struct unix_streams_context c;
	struct regex **patterns;
	struct list pending;
	struct table seen; /* names that the log knows */
	int error;	   /* once it is over */
	bool used;
};

struct pending {
	struct list node;
	struct unix_streams *all;
	uint64_t id, due;
	int type;
	bool nonblocking;
	struct unix_name name;
	struct dial *dial;
	struct timer timer; /* the next try, or the end */
};

struct seen {
	struct table_node node;
	struct unix_name name;
};

static bool seen_equal(const struct table_node *node, const void *key)
{
	const struct unix_name *a = &container_of(node, struct seen, node)->name, *b = key;

	return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

/* What the log says of a name, once. */
static void note(struct unix_streams *u, const struct unix_name *name, const char *pattern)
{
	char text[UNIX_NAME_MAX + 1];
	struct seen *s = NULL;

	if (table_find(&u->seen, name, 1 + (size_t)name->len) || u->seen.n >= MAX_SEEN || !(s = calloc(1, sizeof(*s))))
		return;
	s->name = *name;
	table_add(&u->seen, &s->node, &s->name, 1 + (size_t)name->len);
	unix_name_format(name, text);
	if (pattern)
		log_info("outgoing: unix %s: remote, by unix_streams \"%s\"", text, pattern);
	else
		log_info("outgoing: unix %s: local, as no entry of unix_streams matches", text);
}

/* The pattern that matches, or NULL. An abstract name without its leading 0, and without those that fill it up. */
static const char *match(const struct unix_streams *u, const struct unix_name *name)
{
	size_t skip = unix_name_is_abstract(name), len = name->len - skip;
	struct span subject = { name->bytes + skip, len };

	while (subject.len && !subject.at[subject.len - 1])
		subject.len--;
	for (size_t i = 0; i < u->c.patterns->n; i++)
		if (regex_search(u->patterns[i], subject) == 1)
			return u->c.patterns->items[i];
	return NULL;
}

static void answer(const struct unix_streams *u, uint64_t id, enum notify_what what, int error)
{
	const struct notify_verdict v = { .id = id, .what = what, .error = error };

	calls_answer(*u->c.calls, &v);
}

static void pending_free(struct pending *p)
{
	loop_disarm(p->all->c.loop, &p->timer);
	if (p->dial)
		p->dial->egress->ops->abandon(p->dial);
	list_remove(&p->node);
	free(p);
}

static void fail(struct pending *p, int error)
{
	answer(p->all, p->id, VERDICT_RETURN, error);
	pending_free(p);
}

static void on_dialed(void *arg, int error)
{
	struct pending *p = arg;
	uint64_t now = loop_now(p->all->c.loop);

	if (error)
		p->dial = NULL;
	if (error == EAGAIN && !p->nonblocking && now < p->due)
		loop_arm(p->all->c.loop, &p->timer, now + RETRY);
	else if (error)
		fail(p, error);
	else
		answer(p->all, p->id, VERDICT_JOIN, 0);
}

static void dial(struct pending *p)
{
	struct egress *egress = *p->all->c.tunnel;
	int error = egress ? tunnel_egress_dial_unix(egress, p->type, &p->name, on_dialed, p, &p->dial) : ENETUNREACH;

	if (error == EINPROGRESS)
		loop_arm(p->all->c.loop, &p->timer, p->due);
	else
		fail(p, error);
}

static void on_timer(struct timer *t)
{
	struct pending *p = container_of(t, struct pending, timer);

	if (p->dial)
		fail(p, ETIMEDOUT);
	else
		dial(p);
}

static void on_connects(struct unix_streams *u, const struct notify_event *e)
{
	const char *pattern = match(u, &e->name);
	struct pending *p;

	note(u, &e->name, pattern);
	if (!pattern) {
		answer(u, e->id, VERDICT_PASS, 0);
		return;
	}
	p = u->error ? NULL : calloc(1, sizeof(*p));
	if (!p) {
		answer(u, e->id, VERDICT_RETURN, u->error ? u->error : ENOMEM);
		return;
	}
	*p = (struct pending){ .all = u, .id = e->id, .due = loop_now(u->c.loop) + CALL_TIME, .type = e->type, .nonblocking = e->nonblocking,
			       .name = e->name, .timer.on_due = on_timer };
	list_append(&u->pending, &p->node);
	u->used = true;
	dial(p);
}

static struct pending *find(struct unix_streams *u, uint64_t id)
{
	for (struct list *l = u->pending.next; l != &u->pending; l = l->next)
		if (container_of(l, struct pending, node)->id == id)
			return container_of(l, struct pending, node);
	return NULL;
}

static void on_joined(struct pending *p, int fd)
{
	struct dial *d = p->dial;

	p->dial = NULL;
	pending_free(p);
	d->egress->ops->join(d, fd);
}

void unix_streams_on_event(struct unix_streams *u, const struct notify_event *e, int fd)
{
	struct pending *p = e->kind == NOTIFY_CONNECTS ? NULL : find(u, e->id);

	if (e->kind == NOTIFY_CONNECTS)
		on_connects(u, e);
	else if (p && e->kind == NOTIFY_JOINED && p->dial && fd >= 0)
		on_joined(p, fd_steal(&fd));
	else if (p)
		pending_free(p);
	fd_closep(&fd);
}

static void fail_all(struct unix_streams *u, int error)
{
	while (!list_empty(&u->pending))
		fail(container_of(u->pending.next, struct pending, node), error);
}

void unix_streams_answer_all(struct unix_streams *u)
{
	fail_all(u, ENETUNREACH);
}

void unix_streams_end(struct unix_streams *u, int error)
{
	fail_all(u, error);
	u->error = error;
}

bool unix_streams_used(const struct unix_streams *u)
{
	return u->used;
}

static int compile(struct unix_streams *u, struct error *err)
{
	const struct config_strings *p = u->c.patterns;

	u->patterns = calloc(p->n, sizeof(struct regex *));
	if (!u->patterns)
		return error_set(err, ENOMEM, "keep the patterns of unix_streams");
	for (size_t i = 0; i < p->n; i++) {
		u->patterns[i] = regex_compile((struct span){ p->items[i], strlen(p->items[i]) }, 0, err);
		if (!u->patterns[i])
			return error_wrap(err, "feature.network.outgoing.unix_streams");
	}
	return 0;
}

struct unix_streams *unix_streams_new(const struct unix_streams_context *c, struct error *err)
{
	struct unix_streams *u = calloc(1, sizeof(*u));

	if (!u) {
		error_set(err, ENOMEM, "prepare for Unix sockets of the target's");
		return NULL;
	}
	u->c = *c;
	list_init(&u->pending);
	if (compile(u, err) == 0 && table_init(&u->seen, seen_equal) == 0)
		return u;
	if (!error_is_set(err))
		error_set(err, ENOMEM, "prepare for Unix sockets of the target's");
	unix_streams_free(u);
	return NULL;
}

void unix_streams_free(struct unix_streams *u)
{
	struct table_node *node;

	if (!u)
		return;
	unix_streams_end(u, ENETUNREACH);
	while ((node = table_first(&u->seen))) {
		table_remove(&u->seen, node);
		free(container_of(node, struct seen, node));
	}
	table_fini(&u->seen);
	for (size_t i = 0; u->patterns && i < u->c.patterns->n; i++)
		regex_free(u->patterns[i]);
	free(u->patterns);
	free(u);
}
