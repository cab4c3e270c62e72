// SPDX-License-Identifier: MIT
/* DNS over TCP (RFC 1035 §4.2.2): each message has its length before it.
 *
 * Two sides, the program and the server. What comes from one is cut into messages; the program's questions that this machine is to answer are
 * taken out, everything else goes on to the other side as it is. Local answers are put between the server's messages.
 *
 *   a side is read while less than OUT_MAX bytes wait for the other side, and, of the program, less than QUESTIONS_MAX local answers are due
 *   a side's end is passed on (half-close) when all that came before it is; to the program also not before the local answers that are due
 *   the connection ends when both ends were passed on; an error of either side ends it with a reset
 *
 * A connection stays in memory until the last local answer that is due has come, since that answer finds it by its address. */
#include "session/dns_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/list.h"
#include "net/bytes.h"
#include "relay/backlog.h"
#include "session/dns_watch.h"

enum side_name { PROGRAM, SERVER };
enum { SIDES = 2, MESSAGE_MAX = 65535, OUT_MAX = 128 * 1024, QUESTIONS_MAX = 64, READ_SIZE = 16384 };

struct side {
	struct stream_pair *pair;
	struct watch watch; /* fd -1: closed */
	struct backlog in, out;
	bool ended, shut;
};

struct stream_pair {
	struct dns_streams *all;
	struct list node;
	struct side sides[SIDES];
	struct endpoint from, to;
	size_t due; /* local answers */
	bool dead;
	struct deferred reap;
};

struct dns_streams {
	struct loop *loop;
	struct dns_local **dns;
	struct names *names;
	struct list pairs;
	size_t n;
};

struct dns_streams *dns_streams_new(struct loop *loop, struct dns_local **dns, struct names *names)
{
	struct dns_streams *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	*s = (struct dns_streams){ .loop = loop, .dns = dns, .names = names };
	list_init(&s->pairs);
	return s;
}

static void free_pair(struct deferred *d)
{
	free(container_of(d, struct stream_pair, reap));
}

/* With a reset, unless both sides have ended. */
static void end(struct stream_pair *p)
{
	bool graceful = p->sides[PROGRAM].shut && p->sides[SERVER].shut;

	for (int i = 0; i < SIDES && !p->dead; i++) {
		struct side *s = &p->sides[i];

		loop_unwatch(p->all->loop, &s->watch);
		fd_reset_on_close(s->watch.fd, !graceful);
		close(s->watch.fd);
		backlog_fini(&s->in);
		backlog_fini(&s->out);
	}
	if (!p->dead) {
		list_remove(&p->node);
		p->all->n--;
	}
	p->dead = true;
	if (p->due == 0)
		loop_defer(p->all->loop, &p->reap, free_pair);
}

void dns_streams_free(struct dns_streams *s)
{
	if (!s)
		return;
	while (!list_empty(&s->pairs)) {
		struct stream_pair *p = container_of(s->pairs.next, struct stream_pair, node);

		p->due = 0; /* nobody answers any more */
		end(p);
	}
	free(s);
}

static bool flush(struct side *s)
{
	while (backlog_len(&s->out)) {
		ssize_t n = send(s->watch.fd, backlog_first(&s->out), backlog_len(&s->out), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		backlog_take(&s->out, (size_t)n);
	}
	return true;
}

/* The other side's end is passed on when nothing is before it any more. */
static void pass_end(struct stream_pair *p, enum side_name to)
{
	struct side *s = &p->sides[to];

	if (s->shut || !p->sides[!to].ended || backlog_len(&s->out) || (to == PROGRAM && p->due))
		return;
	shutdown(s->watch.fd, SHUT_WR);
	s->shut = true;
}

/* What is wanted of each side follows from what is there. */
static void settle(struct stream_pair *p)
{
	for (int i = 0; i < SIDES; i++) {
		struct side *s = &p->sides[i];
		bool room = backlog_len(&p->sides[!i].out) < OUT_MAX && (i == SERVER || p->due < QUESTIONS_MAX);

		if (!flush(s)) {
			end(p);
			return;
		}
		pass_end(p, (enum side_name)i);
		if (s->ended && s->shut) /* nothing more happens there, and its hang-up would be reported all the time */
			loop_unwatch(p->all->loop, &s->watch);
		loop_rewatch(p->all->loop, &s->watch, (room && !s->ended ? EPOLLIN : 0u) | (backlog_len(&s->out) ? EPOLLOUT : 0u));
	}
	if (p->sides[PROGRAM].shut && p->sides[SERVER].shut && p->due == 0)
		end(p);
}

static bool put(struct side *to, const uint8_t *message, size_t len)
{
	uint8_t head[2];

	put16(head, (uint16_t)len);
	return backlog_add(&to->out, head, sizeof(head)) && backlog_add(&to->out, message, len);
}

static bool pass_message(struct stream_pair *p, enum side_name from, const uint8_t *message, size_t len)
{
	const struct dns_asker who = { .program = p->from, .server = p->to, .connection = p };

	if (from == SERVER) {
		dns_watch_answer(p->all->names, message, len, &p->to, loop_now(p->all->loop));
		return put(&p->sides[PROGRAM], message, len);
	}
	dns_watch_question(message, len, &p->to);
	p->due++; /* before, since the answer may come at once */
	if (*p->all->dns && dns_local_take(*p->all->dns, &who, message, len))
		return true;
	p->due--;
	return put(&p->sides[SERVER], message, len);
}

static bool pass_messages(struct stream_pair *p, enum side_name from)
{
	struct backlog *in = &p->sides[from].in;

	while (backlog_len(in) >= 2) {
		size_t len = get16(backlog_first(in));

		if (backlog_len(in) < 2 + len)
			return true;
		if (!pass_message(p, from, backlog_first(in) + 2, len))
			return false;
		if (p->dead)
			return true;
		backlog_take(in, 2 + len);
	}
	return true;
}

static void on_ready(struct watch *w, uint32_t events)
{
	struct side *s = container_of(w, struct side, watch);
	struct stream_pair *p = s->pair;
	enum side_name name = s == &p->sides[PROGRAM] ? PROGRAM : SERVER;
	uint8_t buf[READ_SIZE];
	ssize_t n = 1;

	if (!s->ended && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
		n = recv(w->fd, buf, sizeof(buf), MSG_DONTWAIT);
		s->ended = n == 0;
		if (n > 0 && (!backlog_add(&s->in, buf, (size_t)n) || !pass_messages(p, name)))
			errno = ENOMEM, n = -1;
	} else if (events & EPOLLERR) {
		n = -1;
		errno = ECONNRESET;
	}
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		end(p);
	if (!p->dead)
		settle(p);
}

void dns_streams_join(struct dns_streams *s, int program, int server, const struct endpoint *from, const struct endpoint *to)
{
	struct stream_pair *p = calloc(1, sizeof(*p));
	int fds[SIDES] = { [PROGRAM] = program, [SERVER] = server };

	if (!p) {
		close(program);
		close(server);
		return;
	}
	*p = (struct stream_pair){ .all = s, .from = *from, .to = *to };
	list_append(&s->pairs, &p->node);
	s->n++;
	for (int i = 0; i < SIDES; i++) {
		p->sides[i].pair = p;
		p->sides[i].watch.fd = fds[i];
	}
	for (int i = 0; i < SIDES; i++) {
		if (loop_watch(s->loop, &p->sides[i].watch, fds[i], EPOLLIN, on_ready) == 0)
			continue;
		end(p);
		return;
	}
}

void dns_streams_on_answer(struct dns_streams *s, const struct dns_asker *who, const uint8_t *message, size_t len)
{
	struct stream_pair *p = who->connection;
	bool good = true;

	p->due--;
	if (p->dead) {
		if (p->due == 0)
			loop_defer(s->loop, &p->reap, free_pair);
		return;
	}
	if (len) {
		dns_watch_answer(s->names, message, len, &p->to, loop_now(s->loop));
		good = put(&p->sides[PROGRAM], message, len);
	}
	if (good)
		settle(p);
	else
		end(p);
}

size_t dns_streams_count(const struct dns_streams *s)
{
	return s->n;
}
