// SPDX-License-Identifier: MIT
/* Serving sessions.
 *
 *   SERVING ─► (the last session goes) LEAVING: no connection is taken any more; what is on its way to the target's program still
 *              arrives, LEAVE_TIME at most ─► the loop is stopped
 *   LEAVING ─► (another session comes) SERVING
 *   SERVING ─► (told to end) DRAINING: as LEAVING, with sessions, who keep the connections that they have; no session is taken any more
 *
 * A session that came through another process drains alone when that one is told to end.
 *
 * Several sessions, one log: it goes to the standard error of the session that has been here longest. */
#include "agent/agent.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/capture_stream.h"
#include "agent/mirror.h"
#include "agent/steal.h"
#include "agent/steal_route.h"
#include "base/fd.h"
#include "base/log.h"
#include "relay/sockets.h"
#include "tunnel/greeting.h"

#define LEAVE_TIME (CLIENT_DRAIN_S * LOOP_SECOND)
#define LEAVE_STEP (20 * (uint64_t)LOOP_MS)

struct agent {
	struct loop *loop;
	struct client_services services;
	struct mirror *mirror;
	struct steal *steal;
	struct attach_listener *listener; /* NULL: nobody can come */
	struct list sessions;		  /* the oldest first */
	struct list streams;		  /* that haven't said yet which session they are of */
	struct timer leave;
	uint64_t leave_until;
	bool draining;
};

struct session {
	struct list node;
	struct watch watch; /* of who brought it */
	struct agent *agent;
	struct client *client;
	int sock, log; /* -1: the first one's */
	struct timer leave;
	uint64_t leave_until;
};

struct stream_taken {
	struct list node;
	struct agent *agent;
	struct greeting *greeting;
};

static struct session *session_of(struct agent *a, const struct client *c)
{
	for (struct list *n = a->sessions.next; n != &a->sessions; n = n->next)
		if (container_of(n, struct session, node)->client == c)
			return container_of(n, struct session, node);
	return NULL;
}

/* The log goes where somebody still reads it. */
static void choose_log(struct agent *a)
{
	for (struct list *n = a->sessions.next; n != &a->sessions; n = n->next) {
		int log = container_of(n, struct session, node)->log;

		if (log < 0)
			continue;
		dup2(log, STDERR_FILENO);
		return;
	}
	fd_drop_stderr();
}

static void forget_log(struct session *s)
{
	if (s->log < 0)
		return;
	fd_closep(&s->log);
	choose_log(s->agent);
}

static bool busy(struct agent *a)
{
	for (struct list *n = a->sessions.next; n != &a->sessions; n = n->next)
		if (client_busy(container_of(n, struct session, node)->client))
			return true;
	return steal_busy(a->steal);
}

/* Whether nothing is on its way any more, or has had its time; else it is looked again in a moment. */
static bool may_leave(struct loop *loop, struct timer *t, bool busy, uint64_t until)
{
	if (!busy || loop_now(loop) >= until)
		return true;
	loop_arm(loop, t, loop_now(loop) + LEAVE_STEP);
	return false;
}

static void on_leave(struct timer *t)
{
	struct agent *a = container_of(t, struct agent, leave);

	if ((list_empty(&a->sessions) || a->draining) && may_leave(a->loop, t, busy(a), a->leave_until))
		loop_stop(a->loop);
}

static void leave(struct agent *a)
{
	a->leave_until = loop_now(a->loop) + LEAVE_TIME;
	loop_arm(a->loop, &a->leave, loop_now(a->loop));
}

static void session_end(struct session *s)
{
	struct agent *a = s->agent;

	client_free(s->client);
	loop_unwatch(a->loop, &s->watch);
	loop_disarm(a->loop, &s->leave);
	fd_closep(&s->sock);
	list_remove(&s->node);
	forget_log(s);
	free(s);
	if (list_empty(&a->sessions) && !a->draining)
		leave(a);
}

static void on_end(void *arg, struct client *c)
{
	session_end(session_of(arg, c));
}

static int check(void *arg, const struct subscription *want, struct error *err)
{
	return steal_check(((struct agent *)arg)->steal, want, err);
}

static void on_quiet(void *arg, struct client *c)
{
	forget_log(session_of(arg, c));
}

static void on_session_leave(struct timer *t)
{
	struct session *s = container_of(t, struct session, leave);

	if (may_leave(s->agent->loop, t, client_busy(s->client), s->leave_until))
		session_end(s);
}

/* Who brought the session is told to end; or has ended, and with it the session, as far as its starter can see. */
static void on_bringer(struct watch *w, uint32_t events)
{
	struct session *s = container_of(w, struct session, watch);
	struct loop *loop = s->agent->loop;
	char why[ATTACH_WHY];

	if (!attach_read_end(w->fd, why)) {
		session_end(s);
		return;
	}
	if (s->leave.index)
		return;
	client_drain(s->client, why);
	s->leave_until = loop_now(loop) + LEAVE_TIME;
	loop_arm(loop, &s->leave, loop_now(loop));
}

static void on_greeted(void *arg, int in, int out, const struct hello *hello)
{
	struct stream_taken *t = arg;
	struct agent *a = t->agent;

	list_remove(&t->node);
	free(t);
	for (struct list *n = a->sessions.next; hello && n != &a->sessions; n = n->next) {
		struct client *c = container_of(n, struct session, node)->client;

		if (!client_resumes(c, hello))
			continue;
		client_resume(c, in, out, hello);
		return;
	}
	greeting_refuse(in, out);
}

void agent_take_stream(struct agent *a, int in, int out)
{
	struct stream_taken *t = calloc(1, sizeof(*t));

	if (t)
		t->greeting = greeting_new(a->loop, in, out, on_greeted, t);
	if (!t || !t->greeting) {
		free(t);
		greeting_refuse(in, out);
		return;
	}
	t->agent = a;
	list_append(&a->streams, &t->node);
}

static void on_stream(void *arg, int in, int out)
{
	agent_take_stream(arg, in, out);
}

void agent_drain(struct agent *a, const char *why)
{
	if (a->draining)
		return;
	a->draining = true;
	if (a->listener)
		attach_refuse(a->listener);
	for (struct list *n = a->sessions.next; n != &a->sessions; n = n->next)
		client_drain(container_of(n, struct session, node)->client, why);
	leave(a);
}

void agent_drop_own(struct agent *a)
{
	for (struct list *n = a->sessions.next; n != &a->sessions; n = n->next)
		if (container_of(n, struct session, node)->sock < 0)
			client_give_up(container_of(n, struct session, node)->client);
}

struct agent *agent_new(struct loop *loop, const struct agent_place *place, struct error *err)
{
	struct agent *a = calloc(1, sizeof(*a));

	if (!a) {
		error_set(err, ENOMEM, "serve the target");
		return NULL;
	}
	a->loop = loop;
	a->leave.on_due = on_leave;
	list_init(&a->sessions);
	list_init(&a->streams);
	a->services = (struct client_services){ .loop = loop, .on_end = on_end, .on_quiet = on_quiet, .check = check, .arg = a };
	a->services.subscriptions = subscriptions_new(client_lose);
	if (a->services.subscriptions) {
		a->mirror = mirror_new(loop, a->services.subscriptions);
		a->steal = steal_new(loop, a->services.subscriptions, place->alone, place->root, place->lookup);
	}
	if (place->have_target) {
		a->services.target = socket_egress_new(loop, NULL);
		a->services.captures = capture_streams_new(loop);
	}
	if (a->mirror && a->steal && (!place->have_target || a->services.target))
		return a;
	error_set(err, ENOMEM, "serve the target");
	agent_free(a);
	return NULL;
}

void agent_free(struct agent *a)
{
	if (!a)
		return;
	attach_listener_free(a->listener);
	while (!list_empty(&a->sessions))
		session_end(container_of(a->sessions.next, struct session, node));
	while (!list_empty(&a->streams)) {
		struct stream_taken *t = container_of(a->streams.next, struct stream_taken, node);

		greeting_free(t->greeting);
		list_remove(&t->node);
		free(t);
	}
	loop_disarm(a->loop, &a->leave);
	steal_free(a->steal);
	mirror_free(a->mirror);
	capture_streams_free(a->services.captures);
	subscriptions_free(a->services.subscriptions);
	socket_egress_free(a->services.target);
	free(a);
}

struct client *agent_serve(struct agent *a, const struct attach_session *session, int sock, struct error *err)
{
	struct session *s = calloc(1, sizeof(*s));
	int log = session->log, r = 0;

	if (!s) {
		client_transport_close(&session->transport);
		fd_closep(&log);
		fd_closep(&sock);
		error_set(err, ENOMEM, "serve a session");
		return NULL;
	}
	*s = (struct session){ .agent = a, .sock = sock, .log = log, .leave.on_due = on_session_leave };
	list_append(&a->sessions, &s->node);
	s->client = client_new(&a->services, &session->transport, err);
	if (s->client && session->info)
		r = client_tell_target(s->client, session->info, session->info_len);
	if (s->client && sock >= 0 && r == 0)
		r = loop_watch(a->loop, &s->watch, sock, EPOLLIN | EPOLLRDHUP, on_bringer);
	if (s->client && r == 0)
		return s->client;
	if (s->client)
		error_set(err, -r, "serve a session");
	session_end(s);
	return NULL;
}

static void on_session(void *arg, const struct attach_session *session, int sock)
{
	struct agent *a = arg;
	struct error err = { 0 };

	if (!agent_serve(a, session, sock, &err))
		log_warn("attach: %s", err.text);
	free(session->info);
}

int agent_listen(struct agent *a, int sock, struct error *err)
{
	const struct attach_listener_events events = { .on_session = on_session, .on_stream = on_stream, .arg = a };

	a->listener = attach_listen(a->loop, sock, &events, err);
	if (!a->listener)
		return -1;
	steal_route_clear(); /* what one that was killed left; nobody else is at work here */
	return 0;
}
