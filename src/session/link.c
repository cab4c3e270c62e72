// SPDX-License-Identifier: MIT
/* One agent_link, with the agent's start before it and the agent's first words read.
 *
 *   starting ─► on_target ─► … a byte stream to a cluster breaks: another one is asked for, streams wait …
 *      └───────────┴───────► on_lost: once */
#include "session/link.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "kube/open.h"
#include "session/agent_link.h"
#include "session/agent_process.h"

struct link {
	struct loop *loop;
	const struct link_events *events;
	void *arg;
	struct agent_link *agent;
	struct timer timer;
	bool there, lost;
};

static void lose(struct link *l, const struct error *why)
{
	if (l->lost)
		return;
	l->lost = true;
	loop_disarm(l->loop, &l->timer);
	l->events->on_lost(l->arg, why);
}

static void on_target(struct link *l, const uint8_t *data, size_t len)
{
	struct target_info info = { 0 };
	struct error err = { 0 };

	if (l->there)
		return;
	if (target_info_decode(data, len, &info, &err) < 0) {
		lose(l, &err);
		return;
	}
	l->there = true;
	loop_disarm(l->loop, &l->timer);
	l->events->on_target(l->arg, &info);
	target_info_fini(&info);
}

static void on_info(void *arg, struct agent_link *agent, uint16_t topic, const uint8_t *data, size_t len)
{
	struct link *l = arg;
	struct error err = { 0 };

	if (l->lost)
		return;
	if (topic == INFO_TARGET) {
		on_target(l, data, len);
	} else if (topic == INFO_FAILURE) {
		if (failure_decode(data, len, &err) < 0)
			error_wrap(&err, "read the agent's error");
		lose(l, &err);
	} else if (l->events->on_info) {
		l->events->on_info(l->arg, topic, data, len);
	}
}

static void on_open(void *arg, struct agent_link *agent, struct stream *s, const struct stream_request *request)
{
	struct link *l = arg;

	if (l->events->on_open && !l->lost)
		l->events->on_open(l->arg, s, request);
	else
		stream_reset(s, ECONNREFUSED);
}

static void on_timer(struct timer *t)
{
	struct link *l = container_of(t, struct link, timer);
	struct error err = { 0 };

	error_set(&err, 0, "the agent did not answer within %d seconds", INFO_ANSWER_S);
	lose(l, &err);
}

static void await_target(struct link *l)
{
	l->timer.on_due = on_timer;
	loop_arm(l->loop, &l->timer, loop_now(l->loop) + INFO_ANSWER_S * LOOP_SECOND);
}

static void on_up(void *arg, struct agent_link *agent)
{
	await_target(arg);
}

static void on_gone(void *arg, struct agent_link *agent, const struct error *why)
{
	struct error err = *why;

	if (agent->mux)
		error_wrap(&err, "lost the agent");
	lose(arg, &err);
}

static const struct agent_link_events agent_events = {
	.on_up = on_up, .on_open = on_open, .on_info = on_info, .on_gone = on_gone
};

/* SIGINT is ignored by what is started here. */
static int start(struct link *l, const struct link_options *o, struct error *err)
{
	const struct kube_tunnel_options k = { .target = o->target, .settings = o->settings, .log_level = LOG_LEVEL_ERROR, .log_fd = -1,
					       .progress = o->progress, .steals = o->steals, .probes = o->probes };
	bool in_cluster = target_is_in_cluster(o->target);
	int tunnel = -1, lend = -1, rc;
	void (*before)(int);

	if (in_cluster && kube_let_ask(o->settings, err) < 0)
		return error_wrap(err, "target %s", o->target->text);
	before = signal(SIGINT, SIG_IGN);
	if (in_cluster)
		rc = agent_link_start_in_cluster(l->agent, &k, err);
	else
		rc = agent_process_start(o->target, false, LOG_LEVEL_ERROR, -1, &tunnel, &lend, err);
	signal(SIGINT, before);
	if (rc < 0 || in_cluster)
		return rc;
	await_target(l);
	return agent_link_start(l->agent, tunnel, err);
}

struct link *link_new(struct loop *loop, const struct link_options *options, const struct link_events *events, void *arg, struct error *err)
{
	struct link *l = calloc(1, sizeof(*l));

	if (l) {
		*l = (struct link){ .loop = loop, .events = events, .arg = arg };
		l->agent = agent_link_new(loop, &agent_events, l);
	}
	if (!l || !l->agent) {
		error_set(err, ENOMEM, "start the agent");
		free(l);
		return NULL;
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	if (start(l, options, err) == 0)
		return l;
	link_free(l);
	return NULL;
}

struct mux *link_mux(const struct link *l)
{
	return l->agent->mux;
}

const struct kube_probes *link_probes(const struct link *l)
{
	return &l->agent->probes;
}

void link_free(struct link *l)
{
	if (!l)
		return;
	l->lost = true;
	loop_disarm(l->loop, &l->timer);
	agent_link_free(l->agent);
	free(l);
}
