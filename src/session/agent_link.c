// SPDX-License-Identifier: MIT
/* A link's life: STARTING ─► up ─► (in a cluster) suspended and up again ─► gone.
 *
 * Most breaks are over before anybody notices. One that isn't is told, since connections that wait look like a server that doesn't answer. */
#include "session/agent_link.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "relay/tunnel_egress.h"
#include "session/cluster.h"

/* Longer than a connection that was made waits for the program's end of it (session/tcp.c). */
#define RETIRE_TIME (10 * LOOP_SECOND)
/* A break that is shorter is nobody's concern. */
#define PATIENCE (2 * LOOP_SECOND)

struct agent_link *agent_link_new(struct loop *loop, const struct agent_link_events *events, void *arg)
{
	struct agent_link *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	*l = (struct agent_link){ .loop = loop, .events = events, .arg = arg };
	list_init(&l->node);
	return l;
}

static void on_patience(struct timer *t)
{
	struct agent_link *l = container_of(t, struct agent_link, patience);

	if (l->going && !mux_stream_count(l->mux)) /* nothing waits there, and nothing will */
		return;
	l->told = true;
	log_tell(0, "mirrord: nothing leads to the agent%s%s: %s; connections wait while another way is looked for\n",
		 l->pod[0] ? " of pod " : "", l->pod, l->broke.text);
}

static void lose(struct agent_link *l, const struct error *why)
{
	struct error err = *why;

	if (l->gone)
		return;
	l->gone = true;
	loop_disarm(l->loop, &l->patience);
	if (l->cluster)
		cluster_why(l->cluster, &err);
	l->events->on_gone(l->arg, l, &err);
}

static void on_open(void *arg, struct stream *s, const struct stream_request *request)
{
	struct agent_link *l = arg;

	l->events->on_open(l->arg, l, s, request);
}

static void on_info(void *arg, uint16_t topic, const uint8_t *data, size_t len)
{
	struct agent_link *l = arg;

	l->events->on_info(l->arg, l, topic, data, len);
}

static void on_gone(void *arg, const struct error *why)
{
	lose(arg, why);
}

/* The byte stream to a cluster broke: connections wait until there is another one. */
static void on_suspended(void *arg, const struct error *why)
{
	struct agent_link *l = arg;

	log_info("session: %s; the tunnel waits for another byte stream", why->text);
	if (cluster_is_lost(l->cluster)) {
		lose(l, why);
		return;
	}
	if (!error_is_set(&l->broke)) {
		l->patience.on_due = on_patience;
		loop_arm(l->loop, &l->patience, loop_now(l->loop) + PATIENCE);
	}
	l->broke = *why;
	cluster_again(l->cluster);
}

static void on_resumed(void *arg)
{
	struct agent_link *l = arg;

	log_info("session: the tunnel goes on");
	loop_disarm(l->loop, &l->patience);
	if (l->told)
		log_tell(0, "mirrord: the agent%s%s is reached again: connections go on\n", l->pod[0] ? " of pod " : "", l->pod);
	l->told = false;
	l->broke = (struct error){ 0 };
}

static const struct mux_events mux_events = { .on_open = on_open, .on_info = on_info, .on_gone = on_gone };
static const struct mux_events cluster_mux_events = {
	.on_open = on_open, .on_info = on_info, .on_gone = on_gone, .on_suspended = on_suspended, .on_resumed = on_resumed
};

int agent_link_start(struct agent_link *l, int tunnel, struct error *err)
{
	l->mux = mux_new(l->loop, MUX_SESSION, tunnel, tunnel, l->cluster ? &cluster_mux_events : &mux_events, l, err);
	return l->mux ? 0 : -1;
}

static void on_tunnel(void *arg, int fd, const struct kube_message *m)
{
	struct agent_link *l = arg;
	struct error err = { 0 };

	memcpy(l->pod, m->pod, sizeof(l->pod));
	memcpy(l->uid, m->uid, sizeof(l->uid));
	l->probes = m->probes;
	if (l->gone)
		close(fd);
	else if (l->mux)
		mux_resume(l->mux, fd, fd, NULL);
	else if (agent_link_start(l, fd, &err) < 0)
		lose(l, &err);
	else if (l->events->on_up)
		l->events->on_up(l->arg, l);
}

static void on_going(void *arg, const struct kube_message *m)
{
	struct agent_link *l = arg;

	memcpy(l->uid, m->uid, sizeof(l->uid));
	l->going = true;
	if (!l->gone && l->events->on_going)
		l->events->on_going(l->arg, l);
}

/* What came before may still be unread, and say more: then it is the mux that tells the end. A pod that is no more ends it at once. */
static void on_failed(void *arg, const struct error *why)
{
	struct agent_link *l = arg;

	if (!l->mux || mux_is_suspended(l->mux))
		lose(l, why);
}

static const struct cluster_events cluster_events = { .on_tunnel = on_tunnel, .on_going = on_going, .on_failed = on_failed };

int agent_link_start_in_cluster(struct agent_link *l, const struct kube_tunnel_options *options, struct error *err)
{
	l->cluster = cluster_start(l->loop, options, &cluster_events, l, err);
	return l->cluster ? 0 : -1;
}

void agent_link_quiet(struct agent_link *l)
{
	if (l->cluster)
		cluster_quiet(l->cluster);
}

struct egress *agent_link_open_egress(struct agent_link *l)
{
	l->egress = tunnel_egress_new(l->loop, l->mux);
	return l->egress;
}

void agent_link_close_egress(struct agent_link *l)
{
	tunnel_egress_free(l->egress);
	l->egress = NULL;
}

static void on_retired(struct timer *t)
{
	agent_link_free(container_of(t, struct agent_link, retired));
}

/* Streams are told of it here. What has lost its stream stays in the egress until it is joined or abandoned. */
static void on_drop(struct deferred *d)
{
	struct agent_link *l = container_of(d, struct agent_link, drop);

	if (l->mux)
		mux_free(l->mux);
	l->mux = NULL;
	cluster_free(l->cluster);
	l->cluster = NULL;
}

void agent_link_retire(struct agent_link *l)
{
	l->gone = true;
	loop_disarm(l->loop, &l->patience);
	loop_defer(l->loop, &l->drop, on_drop);
	l->retired.on_due = on_retired;
	loop_arm(l->loop, &l->retired, loop_now(l->loop) + RETIRE_TIME);
}

void agent_link_free(struct agent_link *l)
{
	if (!l)
		return;
	list_remove(&l->drop.node);
	loop_disarm(l->loop, &l->patience);
	loop_disarm(l->loop, &l->retired);
	tunnel_egress_free(l->egress);
	if (l->mux)
		mux_free(l->mux);
	cluster_free(l->cluster);
	list_remove(&l->node);
	free(l);
}
