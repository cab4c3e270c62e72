// SPDX-License-Identifier: MIT
/* A link's life.
 *
 *   starting ─► on_target ─► … a byte stream to a cluster breaks: another one is asked for, streams wait …
 *      └───────────┴───────► on_lost: once */
#include "session/link.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "session/agent_process.h"
#include "session/cluster.h"

#define START_TIME (15 * LOOP_SECOND)

struct link {
	struct loop *loop;
	const struct link_events *events;
	void *arg;
	struct cluster *cluster; /* of a target in a cluster */
	struct kube_probes probes;
	struct mux *mux;
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

static void on_info(void *arg, uint16_t topic, const uint8_t *data, size_t len)
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

static void on_open(void *arg, struct stream *s, const struct stream_request *request)
{
	struct link *l = arg;

	if (l->events->on_open && !l->lost)
		l->events->on_open(l->arg, s, request);
	else
		stream_reset(s, ECONNREFUSED);
}

static void on_gone(void *arg, const struct error *why)
{
	struct link *l = arg;
	struct error err = *why;

	if (l->cluster)
		cluster_why(l->cluster, &err);
	error_wrap(&err, "lost the agent");
	lose(l, &err);
}

static void on_suspended(void *arg, const struct error *why)
{
	struct link *l = arg;

	if (cluster_is_lost(l->cluster))
		on_gone(l, why);
	else
		cluster_again(l->cluster);
}

static const struct mux_events mux_events = { .on_open = on_open, .on_info = on_info, .on_gone = on_gone };
static const struct mux_events cluster_mux_events = { .on_open = on_open, .on_info = on_info, .on_gone = on_gone, .on_suspended = on_suspended };

static void on_timer(struct timer *t)
{
	struct link *l = container_of(t, struct link, timer);
	struct error err = { 0 };

	error_set(&err, 0, "the agent did not answer within %d seconds", (int)(START_TIME / LOOP_SECOND));
	lose(l, &err);
}

static int take_tunnel(struct link *l, int fd, struct error *err)
{
	l->mux = mux_new(l->loop, MUX_SESSION, fd, fd, l->cluster ? &cluster_mux_events : &mux_events, l, err);
	l->timer.on_due = on_timer;
	loop_arm(l->loop, &l->timer, loop_now(l->loop) + START_TIME);
	return l->mux ? 0 : -1;
}

static void on_tunnel(void *arg, int fd, const struct kube_message *m)
{
	struct link *l = arg;
	struct error err = { 0 };

	l->probes = m->probes;
	if (l->mux)
		mux_resume(l->mux, fd, fd, NULL);
	else if (take_tunnel(l, fd, &err) < 0)
		lose(l, &err);
}

/* What came before may still be unread, and say more: then it is the mux that tells the end. */
static void on_failed(void *arg, const struct error *why)
{
	struct link *l = arg;

	if (!l->mux)
		lose(l, why);
	else if (mux_is_suspended(l->mux))
		on_gone(l, why);
}

static const struct cluster_events cluster_events = { .on_tunnel = on_tunnel, .on_failed = on_failed };

/* SIGINT is ignored by what is started here. */
static int start(struct link *l, const struct link_options *o, struct error *err)
{
	const struct kube_tunnel_options k = { .target = o->target, .settings = o->settings, .log_level = LOG_LEVEL_ERROR, .log_fd = -1,
					       .progress = o->progress, .steals = o->steals, .probes = o->probes };
	void (*before)(int) = signal(SIGINT, SIG_IGN);
	int tunnel = -1, lend = -1, rc = 0;

	if (target_is_in_cluster(o->target)) {
		l->cluster = cluster_start(l->loop, &k, &cluster_events, l, err);
		rc = l->cluster ? 0 : -1;
	} else {
		rc = agent_process_start(o->target, false, LOG_LEVEL_ERROR, -1, &tunnel, &lend, err);
	}
	signal(SIGINT, before);
	return rc == 0 && !l->cluster ? take_tunnel(l, tunnel, err) : rc;
}

struct link *link_new(struct loop *loop, const struct link_options *options, const struct link_events *events, void *arg, struct error *err)
{
	struct link *l = calloc(1, sizeof(*l));

	if (!l) {
		error_set(err, ENOMEM, "start the agent");
		return NULL;
	}
	*l = (struct link){ .loop = loop, .events = events, .arg = arg };
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	if (start(l, options, err) == 0)
		return l;
	link_free(l);
	return NULL;
}

struct mux *link_mux(const struct link *l)
{
	return l->mux;
}

const struct kube_probes *link_probes(const struct link *l)
{
	return &l->probes;
}

void link_free(struct link *l)
{
	if (!l)
		return;
	l->lost = true;
	loop_disarm(l->loop, &l->timer);
	if (l->mux)
		mux_free(l->mux);
	cluster_free(l->cluster);
	free(l);
}
