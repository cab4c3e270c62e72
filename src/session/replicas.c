// SPDX-License-Identifier: MIT
/* The replicas of a target.
 *
 *   a pod is told (kube/replicas.h) ─► STARTING: a link brings an agent there ─► its agent describes it ─► SERVING: what the program listens on is
 *   subscribed there ─► the pod is gone, the agent ended: forgotten. A link that fails is forgotten as well, and as pods are told again and
 *   again, another attempt follows, each after a longer pause.
 *
 * A client meant the address of its pod, which the twin hasn't got: its connection is led to the address that the twin has. */
#include "session/replicas.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/backoff.h"
#include "base/fd.h"
#include "base/log.h"
#include "kube/replicas.h"
#include "session/agent_link.h"
#include "session/session_internal.h"
#include "session/sources.h"
#include "tunnel/info.h"
#include "twin/layout.h"

#define PAUSE_MIN LOOP_SECOND
enum { REPLICAS_MAX = 256, PAUSE_DOUBLINGS = 6 };

struct replica {
	struct list node;
	struct replicas *owner;
	struct kube_replica who;
	struct agent_link *link; /* NULL: the last one failed */
	struct source *source;	 /* NULL before it serves */
	bool told_last;
	unsigned int failures;
	uint64_t again_at;
};

struct replicas {
	struct loop *loop;
	const struct session_options *options;
	int log_fd;
	struct incoming *incoming;
	const struct routing *routing;
	struct list all;
	size_t n;
	struct watch pods;
	bool draining;
};

static void say(const struct replica *r, const char *text)
{
	log_info("session: replica %s %s", r->who.pod, text);
	if (r->owner->options->incoming.show)
		log_tell(0, "mirrord: pod %s %s\n", r->who.pod, text);
}

/* It is told again when it is still there. */
static void forget(struct replica *r)
{
	list_remove(&r->node);
	r->owner->n--;
	free(r);
}

static void drop_source(struct replica *r)
{
	if (r->source)
		incoming_drop(r->owner->incoming, r->source);
	r->source = NULL;
}

static void drop_link(struct replica *r)
{
	struct agent_link *link = r->link;

	drop_source(r);
	r->link = NULL;
	link->arg = NULL;
	agent_link_retire(link);
}

/* A listen() may wait for it. */
static void say_why(const struct replica *r, const struct error *why)
{
	log_tell(0, "mirrord: no agent for pod %s yet: %s; it is tried again\n", r->who.pod, why->text);
	if (why->hint[0])
		log_tell(0, "  %s\n", why->hint);
}

static void fail(struct replica *r, const struct error *why)
{
	log_warn("session: replica %s: %s", r->who.pod, why->text);
	if (!r->source && r->failures == 0)
		say_why(r, why);
	if (r->link)
		drop_link(r);
	r->again_at = loop_now(r->owner->loop) + backoff(PAUSE_MIN, r->failures++, PAUSE_DOUBLINGS);
}

static void serve(struct replica *r)
{
	struct error err = { 0 };

	if (r->source)
		return;
	r->source = incoming_add(r->owner->incoming, &r->link->mux, &r->link->probes);
	r->failures = 0;
	if (r->source)
		say(r, "is one of those whose traffic comes here");
	else
		fail(r, (error_set(&err, ENOMEM, "take what comes to it"), &err));
}

static void on_info(void *arg, struct agent_link *link, uint16_t topic, const uint8_t *data, size_t len)
{
	struct replica *r = arg;
	struct error err = { 0 };

	if (!r || r->owner->draining)
		return;
	if (topic == INFO_TARGET) {
		serve(r);
	} else if (topic == INFO_FAILURE) {
		if (failure_decode(data, len, &err) < 0)
			error_wrap(&err, "read the agent's error");
		fail(r, &err);
	} else if (r->source) {
		incoming_on_info(r->owner->incoming, r->source, topic, data, len);
	}
}

/* @ip, or the address of the twin's that stands for it. */
static struct ip in_twin(const struct routing *routing, const struct ip *ip)
{
	struct ip meant = loopback_from_alias(ip);

	if (routing_is_local(routing, &meant))
		return *ip;
	for (size_t i = 0; i < routing->n_own; i++)
		if (ip_is_v4(&routing->own[i]) == ip_is_v4(ip))
			return routing->own[i];
	return *ip;
}

static void on_open(void *arg, struct agent_link *link, struct stream *s, const struct stream_request *request)
{
	struct replica *r = arg;
	struct stream_request here = *request;

	if (!r || !r->source) {
		stream_reset(s, ECONNREFUSED);
		return;
	}
	here.remote.ip = in_twin(r->owner->routing, &request->remote.ip);
	incoming_on_open(r->owner->incoming, s, &here);
}

static void on_gone(void *arg, struct agent_link *link, const struct error *why)
{
	struct replica *r = arg;

	if (!r)
		return;
	if (!r->source) {
		fail(r, why);
		return;
	}
	if (!r->owner->draining)
		say(r, "is gone");
	drop_link(r);
	forget(r);
}

static const struct agent_link_events events = { .on_open = on_open, .on_info = on_info, .on_gone = on_gone };

static void start(struct replica *r)
{
	const struct session_options *o = r->owner->options;
	struct target target = { .kind = TARGET_POD };
	struct kube_tunnel_options k = session_tunnel_options(o, r->owner->log_fd);
	struct error err = { 0 };

	snprintf(target.name, sizeof(target.name), "%s", r->who.pod);
	snprintf(target.container, sizeof(target.container), "%s", o->target.container);
	snprintf(target.text, sizeof(target.text), "pod/%.250s", r->who.pod);
	k.target = &target;
	r->link = agent_link_new(r->owner->loop, &events, r);
	if (!r->link)
		error_set(&err, ENOMEM, "bring an agent");
	else if (agent_link_start_in_cluster(r->link, &k, &err) == 0)
		return;
	agent_link_free(r->link);
	r->link = NULL;
	fail(r, &err);
}

static struct replica *find(const struct replicas *all, const struct kube_replica *who)
{
	for (struct list *l = all->all.next; l != &all->all; l = l->next)
		if (strcmp(container_of(l, struct replica, node)->who.uid, who->uid) == 0)
			return container_of(l, struct replica, node);
	return NULL;
}

/* Pods that failed and aren't told any more. */
static void forget_failed(struct replicas *all)
{
	for (struct list *l = all->all.next, *next; l != &all->all; l = next) {
		struct replica *r = container_of(l, struct replica, node);

		next = l->next;
		if (!r->link && loop_now(all->loop) > r->again_at + (PAUSE_MIN << PAUSE_DOUBLINGS))
			forget(r);
	}
}

static void on_pod(struct replicas *all, const struct kube_replica *who)
{
	struct replica *r = find(all, who);

	if (!r) {
		forget_failed(all);
		r = all->n < REPLICAS_MAX ? calloc(1, sizeof(*r)) : NULL;
		if (!r)
			return;
		r->owner = all;
		r->who = *who;
		list_append(&all->all, &r->node);
		all->n++;
	}
	if (!r->link && loop_now(all->loop) >= r->again_at)
		start(r);
}

static void on_pods(struct watch *w, uint32_t ready)
{
	struct replicas *all = container_of(w, struct replicas, pods);
	struct kube_replica who;
	ssize_t n = recv(w->fd, &who, sizeof(who), MSG_DONTWAIT);

	if (n == (ssize_t)sizeof(who))
		on_pod(all, &who);
	else if (n == 0 || errno != EAGAIN)
		loop_unwatch(all->loop, w);
}

void replicas_quiet(struct replicas *all)
{
	for (struct list *l = all->all.next; l != &all->all; l = l->next)
		if (container_of(l, struct replica, node)->link)
			agent_link_quiet(container_of(l, struct replica, node)->link);
}

struct replicas *replicas_new(struct loop *loop, const struct session_options *options, int log_fd, struct incoming *incoming,
			      const struct routing *routing, struct error *err)
{
	const struct kube_replicas_options k = { &options->target, &options->kube, options->log_level, log_fd };
	struct replicas *all = calloc(1, sizeof(*all));
	int fd = -1, r;

	if (!all) {
		error_set(err, ENOMEM, "follow the target's replicas");
		return NULL;
	}
	*all = (struct replicas){ .loop = loop, .options = options, .log_fd = log_fd, .incoming = incoming, .routing = routing };
	list_init(&all->all);
	if (kube_replicas_start(&k, &fd, err) < 0) {
		free(all);
		return NULL;
	}
	r = loop_watch(loop, &all->pods, fd, EPOLLIN, on_pods);
	if (r == 0)
		return all;
	error_set(err, -r, "watch the target's replicas");
	close(fd);
	free(all);
	return NULL;
}

static void stop_watching(struct replicas *all)
{
	if (all->pods.fd < 0)
		return;
	loop_unwatch(all->loop, &all->pods);
	fd_closep(&all->pods.fd);
}

void replicas_drain(struct replicas *all)
{
	all->draining = true;
	stop_watching(all);
	for (struct list *l = all->all.next, *next; l != &all->all; l = next) {
		struct replica *r = container_of(l, struct replica, node);

		next = l->next;
		if (r->source)
			continue;
		if (r->link)
			drop_link(r);
		forget(r);
	}
}

size_t replicas_busy(struct replicas *all)
{
	static const uint8_t last = ENDING_LAST;

	for (struct list *l = all->all.next; l != &all->all; l = l->next) {
		struct replica *r = container_of(l, struct replica, node);

		if (r->told_last || !r->link->mux || mux_stream_count(r->link->mux))
			continue;
		mux_send_info(r->link->mux, INFO_ENDING, &last, sizeof(last));
		r->told_last = true;
	}
	return all->n;
}

void replicas_free(struct replicas *all)
{
	if (!all)
		return;
	stop_watching(all);
	while (!list_empty(&all->all)) {
		struct replica *r = container_of(all->all.next, struct replica, node);

		if (r->link)
			drop_link(r);
		forget(r);
	}
	free(all);
}
