// SPDX-License-Identifier: MIT
/* A client's life: served until its tunnel is gone, or until it said that no stream will come any more and the last one is over. */
#include "agent/client.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/capture_stream.h"
#include "agent/unix_target.h"
#include "base/fd.h"
#include "base/log.h"
#include "net/sock_diag.h"
#include "relay/lender.h"
#include "relay/sockets.h"
#include "relay/split_egress.h"
#include "relay/tunnel_egress.h"
#include "relay/tunnel_server.h"
#include "relay/unix_bridge.h"
#include "tunnel/mux.h"

#define LAST_STEP (20 * (uint64_t)LOOP_MS)
#define COUNT_STEP LOOP_SECOND

struct client {
	const struct client_services *services;
	struct mux *mux;
	struct tunnel_server *server;
	struct unix_target *unix_target;
	struct egress *tunnel;	      /* the way to the program by way of the session */
	struct borrower *borrower;    /* and, on one machine, by sockets of the relay namespace (NULL: not offered) */
	struct egress *sockets;
	struct split_egress shortcut; /* those for connections, the session for datagrams */
	struct sock_diag *twin; /* NULL: not offered; over: */
	int twin_fd;
	struct lender *lender;
	int unserved; /* the lender's socket without a target: its end would say that we died, before the reason has arrived */
	struct subscriber_set subscribers;
	uint64_t totals[COUNTERS];
	struct timer count; /* armed when the session doesn't know the totals */
	struct timer last;  /* armed when no stream will come any more */
	struct deferred ended;
	bool draining;
	struct ip *addresses; /* the twin's */
	size_t n_addresses;
};

static void on_ended(struct deferred *d)
{
	struct client *c = container_of(d, struct client, ended);

	c->services->on_end(c->services->arg, c);
}

static void client_end(struct client *c)
{
	loop_disarm(c->services->loop, &c->last);
	loop_defer(c->services->loop, &c->ended, on_ended);
}

static void on_open(void *arg, struct stream *s, const struct stream_request *request)
{
	struct client *c = arg;

	if (request->kind == STREAM_CAPTURE && c->services->captures)
		capture_streams_open(c->services->captures, s);
	else if (stream_is_unix(request->kind) && c->unix_target)
		unix_target_open(c->unix_target, s, request);
	else if (c->server && request->kind != STREAM_CAPTURE)
		tunnel_server_open(c->server, s, request);
	else
		stream_reset(s, ENETUNREACH);
}

static void on_gone(void *arg, const struct error *why)
{
	struct client *c = arg;

	log_debug("tunnel: %s", why->text);
	subscriptions_end_client(c->services->subscriptions, c, &c->subscribers);
	client_end(c);
}

/* Ends when the last stream is over. */
static void on_last(struct timer *t)
{
	struct client *c = container_of(t, struct client, last);

	if (mux_stream_count(c->mux) || (c->sockets && socket_egress_count(c->sockets)))
		loop_arm(c->services->loop, t, loop_now(c->services->loop) + LAST_STEP);
	else
		client_end(c);
}

static void on_ending(struct client *c, uint8_t what)
{
	if (what == ENDING_QUIET && c->services->on_quiet)
		c->services->on_quiet(c->services->arg, c);
	if (what != ENDING_LAST)
		return;
	subscriptions_end_client(c->services->subscriptions, c, &c->subscribers);
	if (!c->last.index)
		loop_arm(c->services->loop, &c->last, loop_now(c->services->loop));
}

static void answer(struct client *c, uint32_t id, const struct error *refused)
{
	struct subscribed s = { .id = id };
	size_t len;
	uint8_t *data;

	if (refused)
		s.refused = *refused;
	data = subscribed_encode(&s, &len);
	if (data)
		mux_send_info(c->mux, INFO_SUBSCRIBED, data, len);
	free(data);
}

static int subscribe(struct client *c, struct subscription *want, struct error *err)
{
	if (c->draining || !c->services->target) {
		subscription_fini(want);
		return error_set(err, 0, c->draining ? "the agent has been told to end" : "no port can be subscribed: there is no target");
	}
	if (want->mode == SUBSCRIPTION_CHECK) {
		int rc = c->services->check(c->services->arg, want, err);

		subscription_fini(want);
		return rc;
	}
	want->twin = c->addresses;
	want->n_twin = c->n_addresses;
	return subscriptions_put(c->services->subscriptions, c, &c->subscribers, want, err);
}

static void on_subscribe(struct client *c, const uint8_t *data, size_t len)
{
	struct subscription want;
	struct error err = { 0 };
	uint32_t id;
	int rc;

	if (subscription_decode(data, len, &want, &err) < 0) {
		log_limited(LOG_LEVEL_WARN, "client: %s", err.text);
		return;
	}
	id = want.id;
	rc = subscribe(c, &want, &err);
	answer(c, id, rc < 0 ? &err : NULL);
}

static void on_unsubscribe(struct client *c, const uint8_t *data, size_t len)
{
	struct error err = { 0 };
	uint32_t id;

	if (unsubscribe_decode(data, len, &id, &err) < 0)
		log_limited(LOG_LEVEL_WARN, "client: %s", err.text);
	else
		subscriptions_drop(c->services->subscriptions, &c->subscribers, id);
}

static void send_totals(struct client *c)
{
	uint8_t message[COUNTERS_MAX];
	size_t len = counters_encode(c->totals, message, sizeof(message));

	loop_disarm(c->services->loop, &c->count);
	mux_send_info(c->mux, INFO_COUNTERS, message, len);
}

static void on_count(struct timer *t)
{
	send_totals(container_of(t, struct client, count));
}

static void on_asked(struct client *c)
{
	c->totals[COUNTER_ASKED]++;
	send_totals(c);
}

static void on_expect(struct client *c, const uint8_t *data, size_t len)
{
	if (c->services->target && len)
		subscriptions_expect(c->services->subscriptions, c, (enum subscription_mode)data[0]);
}

static void on_info(void *arg, uint16_t topic, const uint8_t *data, size_t len)
{
	struct client *c = arg;

	if (topic == INFO_ENDING && len)
		on_ending(c, data[0]);
	else if (topic == INFO_SUBSCRIBE)
		on_subscribe(c, data, len);
	else if (topic == INFO_UNSUBSCRIBE)
		on_unsubscribe(c, data, len);
	else if (topic == INFO_COUNTERS)
		on_asked(c);
	else if (topic == INFO_EXPECT)
		on_expect(c, data, len);
}

/* The session may come back (where it can: in a cluster). Until then nothing moves, and nothing is lost. */
static void on_suspended(void *arg, const struct error *why)
{
	log_info("client: %s", why->text);
}

static void on_resumed(void *arg)
{
	log_info("client: the session is back");
}

static const struct mux_events mux_events = {
	.on_open = on_open, .on_info = on_info, .on_gone = on_gone, .on_suspended = on_suspended, .on_resumed = on_resumed
};

static void on_shortcut_gone(void *arg)
{
	log_debug("client: the keeper lends no more sockets");
}

/* It may be stopped, with a full queue: what the session would see soon by itself it looks for now. */
static void on_slow_program(void *arg)
{
	struct client *c = arg;

	mux_send_info(c->mux, INFO_SLOW, NULL, 0);
}

/* The session is on this machine: connections to its program need not go through it. */
static void on_offer(void *arg, int fd, int twin)
{
	struct client *c = arg;
	struct error err = { 0 };

	if (c->borrower) {
		close(fd);
		fd_closep(&twin);
		return;
	}
	c->twin_fd = twin;
	c->twin = twin < 0 ? NULL : sock_diag_over(twin, &err);
	c->borrower = borrower_new(c->services->loop, fd, fd_raise_limit(), on_shortcut_gone, c, &err);
	c->sockets = c->borrower ? socket_egress_new(c->services->loop, borrower_source(c->borrower)) : NULL;
	if (!c->sockets) {
		log_warn("client: borrow sockets from the keeper: %s", error_is_set(&err) ? err.text : "out of memory");
		return;
	}
	borrower_set_egress(c->borrower, c->sockets);
	socket_egress_on_slow(c->sockets, on_slow_program, c);
	split_egress_init(&c->shortcut, c->sockets, c->tunnel);
	subscriptions_look_again(c->services->subscriptions, &c->subscribers);
}

void client_transport_close(const struct client_transport *t)
{
	const int fds[] = { t->in, t->out == t->in ? -1 : t->out, t->lend, t->root };

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

struct client *client_new(const struct client_services *services, const struct client_transport *transport, struct error *err)
{
	_cleanup_fd_ int lend = -1, root = -1;
	struct client *c = calloc(1, sizeof(*c));

	if (!c) {
		client_transport_close(transport);
		error_set(err, ENOMEM, "serve a session");
		return NULL;
	}
	lend = transport->lend;
	root = transport->root;
	c->services = services;
	c->twin_fd = -1;
	c->unserved = services->target ? -1 : fd_steal(&lend);
	if (subscriber_set_init(&c->subscribers) < 0)
		error_set(err, ENOMEM, "serve a session");
	c->count.on_due = on_count;
	c->last.on_due = on_last;
	c->mux = mux_new(services->loop, MUX_AGENT, transport->in, transport->out, &mux_events, c, err);
	if (c->mux && services->target) {
		c->server = tunnel_server_new(services->loop, services->target);
		c->tunnel = tunnel_egress_new(services->loop, c->mux);
		c->unix_target = unix_target_new(services->loop, fd_steal(&root));
		if (!c->server || !c->tunnel || !c->unix_target)
			error_set(err, ENOMEM, "serve a session");
		else if (lend >= 0)
			c->lender = lender_new(services->loop, fd_steal(&lend), LEND_ALL, err);
	}
	if (c->lender)
		lender_on_offer(c->lender, on_offer, c);
	if (c->mux && !error_is_set(err))
		return c;
	client_free(c);
	return NULL;
}

void client_free(struct client *c)
{
	if (!c)
		return;
	list_remove(&c->ended.node);
	subscriptions_end_client(c->services->subscriptions, c, &c->subscribers);
	if (c->count.index)
		send_totals(c);
	loop_disarm(c->services->loop, &c->last);
	socket_egress_free(c->sockets);
	borrower_free(c->borrower);
	tunnel_egress_free(c->tunnel);
	tunnel_server_free(c->server);
	unix_target_free(c->unix_target);
	lender_free(c->lender);
	if (c->mux)
		mux_free(c->mux);
	sock_diag_close(c->twin);
	fd_closep(&c->twin_fd);
	fd_closep(&c->unserved);
	subscriber_set_fini(&c->subscribers);
	free(c->addresses);
	free(c);
}

bool client_resumes(const struct client *c, const struct hello *hello)
{
	return mux_resumes(c->mux, hello);
}

void client_resume(struct client *c, int in, int out, const struct hello *hello)
{
	mux_resume(c->mux, in, out, hello);
}

void client_give_up(struct client *c)
{
	if (mux_is_suspended(c->mux))
		client_end(c);
}

void client_drain(struct client *c, const char *why)
{
	if (subscriber_set_count(&c->subscribers))
		client_notice(c, "%s: new connections go to the target's own program, those in flight have %d seconds", why, CLIENT_DRAIN_S);
	c->draining = true;
	subscriptions_drop_all(c->services->subscriptions, &c->subscribers);
}

bool client_busy(const struct client *c)
{
	return (c->sockets && socket_egress_count(c->sockets)) || (c->tunnel && tunnel_egress_count(c->tunnel));
}

/* The session builds the twin of what it is told. */
static void keep_addresses(struct client *c, const uint8_t *data, size_t len)
{
	struct target_info info = { 0 };
	struct error err = { 0 };

	free(c->addresses);
	c->addresses = NULL;
	c->n_addresses = 0;
	if (target_info_decode(data, len, &info, &err) == 0 && info.n_addresses)
		c->addresses = calloc(info.n_addresses, sizeof(*c->addresses));
	for (size_t i = 0; c->addresses && i < info.n_addresses; i++)
		c->addresses[c->n_addresses++] = info.addresses[i].ip;
	target_info_fini(&info);
}

int client_tell_target(struct client *c, const uint8_t *info, size_t len)
{
	keep_addresses(c, info, len);
	return mux_send_info(c->mux, INFO_TARGET, info, len);
}

int client_tell_failure(struct client *c, const struct error *e)
{
	size_t len;
	uint8_t *data = failure_encode(e, &len);
	int rc = data ? mux_send_info(c->mux, INFO_FAILURE, data, len) : -ENOMEM;

	free(data);
	return rc;
}

void client_lose(struct client *c, uint32_t id, const struct error *why)
{
	answer(c, id, why);
}

void client_notice(struct client *c, const char *format, ...)
{
	char text[NOTICE_MAX + 1];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (n > 0)
		mux_send_info(c->mux, INFO_NOTICE, text, n < NOTICE_MAX ? (size_t)n : NOTICE_MAX);
}

void client_count(struct client *c, enum counter what, uint64_t n)
{
	c->totals[what] += n;
	if (!c->count.index)
		loop_arm(c->services->loop, &c->count, loop_now(c->services->loop) + COUNT_STEP);
}

struct sock_diag *client_twin(struct client *c)
{
	return c->sockets ? c->twin : NULL;
}

struct egress *client_program(struct client *c)
{
	return c->sockets ? &c->shortcut.egress : c->tunnel;
}
