// SPDX-License-Identifier: MIT
/* A session's program that speaks HTTP/1 alone, for a client that speaks HTTP/2: src/http/gateway.c translates, and each request has a
 * connection for itself while it lasts. Connections are kept for the next one. Requests beyond HTTP_CHANNELS wait for one; WebSockets, which keep
 * theirs, don't count. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/http_internal.h"
#include "http/gateway.h"

enum { HTTP_CHANNELS = 32 };

struct http_gateway {
	struct http_conn *conn;
	struct http_taker *taker;
	struct gateway *gateway;
	struct list channels, jobs;
	size_t n_channels;
	bool broken;
};

/* A connection to the program. */
struct channel {
	struct list node;
	struct http_gateway *owner;
	struct http_end end;
	struct dial *dial;
	struct job *job; /* NULL: idle */
	int failed;
	bool counted, shut, rested;
};

/* A request that isn't answered. */
struct job {
	struct list node;
	struct http_gateway *owner;
	struct exchange *exchange;
	struct channel *channel; /* NULL: it waits for one */
};

static void job_free(struct job *j)
{
	if (j->channel)
		j->channel->job = NULL;
	list_remove(&j->node);
	free(j);
}

static void channel_free(struct channel *ch)
{
	if (ch->job)
		ch->job->channel = NULL;
	if (ch->dial)
		ch->dial->egress->ops->abandon(ch->dial);
	if (ch->end.watch.fd >= 0 && !ch->job && !backlog_len(&ch->end.out))
		http_end_in_peace(&ch->end, true);
	http_end_close(ch->owner->conn, &ch->end);
	list_remove(&ch->node);
	ch->owner->n_channels -= ch->counted;
	free(ch);
}

static void on_ready(struct watch *w, uint32_t events)
{
	struct channel *ch = container_of(container_of(w, struct http_end, watch), struct channel, end);

	http_end_note(&ch->end, events);
	if (events & (EPOLLOUT | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		http_end_flush(ch->owner->conn, &ch->end);
	http_run(ch->owner->conn);
}

static void on_connected(struct channel *ch)
{
	int r = http_end_take(ch->owner->conn, &ch->end, ch->dial, on_ready);

	ch->dial = NULL;
	if (r < 0)
		ch->failed = -r;
}

static void on_dial_done(void *arg, int error)
{
	struct channel *ch = arg;

	if (error) {
		ch->dial = NULL;
		ch->failed = error;
	} else {
		on_connected(ch);
	}
	http_run(ch->owner->conn);
}

static struct channel *channel_new(struct http_gateway *g)
{
	static const char alpn[] = "\x08http/1.1";
	struct channel *ch = g->n_channels < HTTP_CHANNELS ? calloc(1, sizeof(*ch)) : NULL;
	int error;

	if (!ch)
		return NULL;
	ch->owner = g;
	ch->end.watch.fd = -1;
	ch->counted = true;
	list_append(&g->channels, &ch->node);
	g->n_channels++;
	error = http_dial(&g->conn->peers, g->taker, span_of(alpn), on_dial_done, ch, &ch->dial);
	if (!error)
		on_connected(ch);
	else if (error != EINPROGRESS)
		ch->failed = error;
	return ch;
}

static struct channel *channel_for(struct http_gateway *g)
{
	for (struct list *n = g->channels.next, *next; n != &g->channels; n = next) {
		struct channel *ch = container_of(n, struct channel, node);

		next = n->next;
		if (ch->job)
			continue;
		if (!ch->failed && !http_end_has_something(g->conn, &ch->end))
			return ch;
		channel_free(ch);
	}
	return channel_new(g);
}

static void assign(struct http_gateway *g)
{
	for (struct list *n = g->jobs.next; n != &g->jobs; n = n->next) {
		struct job *j = container_of(n, struct job, node);

		if (j->channel)
			continue;
		j->channel = channel_for(g);
		if (!j->channel)
			return;
		j->channel->job = j;
		j->channel->rested = false;
		if (exchange_is_websocket(j->exchange)) {
			j->channel->counted = false;
			g->n_channels--;
		}
	}
}

static void on_exchange(void *arg, struct exchange *x)
{
	struct http_gateway *g = arg;
	struct job *j = calloc(1, sizeof(*j));

	if (!j) {
		exchange_fail(x, "out of memory");
		return;
	}
	j->owner = g;
	j->exchange = x;
	exchange_set_owner(x, j);
	list_append(&g->jobs, &j->node);
}

static void on_cancel(void *arg, struct exchange *x)
{
	struct job *j = exchange_owner(x);

	if (j->channel)
		channel_free(j->channel);
	job_free(j);
}

struct http_gateway *http_gateway_new(struct http_conn *c, struct http_taker *t)
{
	static const struct gateway_events events = { .on_exchange = on_exchange, .on_cancel = on_cancel };
	struct http_gateway *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->conn = c;
	g->taker = t;
	list_init(&g->channels);
	list_init(&g->jobs);
	g->gateway = gateway_new(&events, g);
	if (g->gateway)
		return g;
	free(g);
	return NULL;
}

void http_gateway_free(struct http_gateway *g)
{
	if (!g)
		return;
	while (!list_empty(&g->jobs))
		job_free(container_of(g->jobs.next, struct job, node));
	while (!list_empty(&g->channels))
		channel_free(container_of(g->channels.next, struct channel, node));
	gateway_free(g->gateway);
	free(g);
}

bool http_gateway_recall(struct http_gateway *g)
{
	bool any = false;

	for (struct list *n = g->channels.next; n != &g->channels; n = n->next) {
		struct channel *ch = container_of(n, struct channel, node);

		if (!ch->dial)
			continue;
		ch->dial->egress->ops->abandon(ch->dial);
		ch->dial = NULL;
		ch->failed = ECONNREFUSED;
		any = true;
	}
	return any;
}

void http_gateway_end_idle(struct http_gateway *g)
{
	for (struct list *n = g->channels.next, *next; n != &g->channels; n = next) {
		struct channel *ch = container_of(n, struct channel, node);

		next = n->next;
		if (ch->rested && !ch->job)
			channel_free(ch);
		else
			ch->rested = !ch->job;
	}
}

bool http_gateway_is_broken(const struct http_gateway *g)
{
	return g->broken;
}

void http_gateway_receive(struct http_gateway *g, const uint8_t *data, size_t len)
{
	g->broken |= !gateway_receive(g->gateway, data, len);
}

/* The request has its answer, or will not get one. */
static void settle(struct channel *ch, bool keeps)
{
	struct job *j = ch->job;

	exchange_let_go(j->exchange);
	job_free(j);
	if (!keeps)
		channel_free(ch);
}

static void fail(struct channel *ch)
{
	char why[128];

	snprintf(why, sizeof(why), "the local program can't be connected to: %s", strerror(ch->failed));
	if (ch->owner->taker->ops)
		ch->owner->taker->ops->count(ch->owner->taker->arg, COUNTER_HTTP_FAILED, 1);
	exchange_fail(ch->job->exchange, why);
	settle(ch, false);
}

static bool send_request(struct channel *ch)
{
	const uint8_t *data;
	size_t n = ch->end.broken || backlog_len(&ch->end.out) ? 0 : exchange_request(ch->job->exchange, &data);

	if (!n)
		return false;
	http_end_write(ch->owner->conn, &ch->end, data, n);
	exchange_sent(ch->job->exchange, n);
	return true;
}

static bool take_answer(struct channel *ch)
{
	struct exchange *x = ch->job->exchange;
	bool moved = false, keeps;
	size_t n;

	while (exchange_has_room(x) && !exchange_is_done(x, &keeps) && (n = http_end_read(ch->owner->conn, &ch->end)) > 0) {
		exchange_receive(x, http_buffer, n);
		moved = true;
	}
	if (!exchange_is_done(x, &keeps) && exchange_has_room(x) && (ch->end.ended || ch->end.broken) && !ch->end.readable)
		exchange_end(x);
	if (!exchange_is_done(x, &keeps))
		return moved;
	settle(ch, keeps && !backlog_len(&ch->end.out) && !ch->end.ended && !ch->end.broken);
	return true;
}

static bool move_channel(struct channel *ch)
{
	bool moved;

	if (!ch->job)
		return false;
	if (ch->failed) {
		fail(ch);
		return true;
	}
	if (ch->end.watch.fd < 0)
		return false;
	moved = send_request(ch);
	if (exchange_wants_end(ch->job->exchange) && !backlog_len(&ch->end.out) && !ch->shut)
		ch->shut = http_end_shut(ch->owner->conn, &ch->end);
	return take_answer(ch) || moved;
}

bool http_gateway_move(struct http_gateway *g, struct h2_link *link)
{
	const uint8_t *data;
	bool moved = false;
	size_t n;

	while (!g->broken && (n = h2_pull(link, &data)) > 0) {
		http_gateway_receive(g, data, n);
		moved = true;
	}
	assign(g);
	for (struct list *l = g->channels.next, *next; l != &g->channels; l = next) {
		next = l->next;
		moved |= move_channel(container_of(l, struct channel, node));
	}
	while ((n = gateway_pull(g->gateway, &data)) > 0) {
		moved = true;
		if (!h2_receive(link, data, n))
			return true;
	}
	return moved;
}
