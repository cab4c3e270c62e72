// SPDX-License-Identifier: MIT
/* The process between a session and its agent in a cluster.
 *
 *   STARTING  blocking calls: find the target, bring the agent, start it by exec. They give up when the session is gone.
 *   CARRYING  a loop between the session's socket and the exec stream. Meanwhile another process watches the target's pod (pod_watch.c); that it
 *             goes away is said to the session, which then has a process like this find the next one. Ends: the session is gone → ENDING; the
 *             agent ended, or the pod is no more → LOST, ENDING; the stream broke → AGAIN
 *   AGAIN     a new exec leads to the agent that runs (`mirrord-agent resume`). Ends: it does → CARRYING, with another socket for the session;
 *             it can't be, or not in time → LOST, ENDING
 *   ENDING    the agent has seen the end of its input; one that keeps its tunnel for a session that might come back is told that none will. When
 *             it ends in time, nobody else uses it, and its job is deleted; else the job stays, ends by itself, and goes by its ttl. */
#include "kube/tunnel.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "kube/deploy.h"
#include "kube/exec.h"
#include "kube/json.h"
#include "kube/open.h"
#include "kube/pod_watch.h"
#include "kube/probes.h"

#define END_TIME (3 * LOOP_SECOND)
#define DROP_TIME (300 * (uint64_t)LOOP_MS) /* until an agent that still runs is one that waits */
enum { NEXT_POD_MS = 60000, NEXT_MS = 600000, NEXT_READY_MS = 30000, NEXT_PAUSE_MS = 250, NEWS_MS = 3000 };
enum { AGAIN_MS = 30000, AGAIN_PAUSE_MS = 50, AGAIN_PAUSE_MAX_MS = 1000 };

struct tunnel {
	const struct kube_tunnel_options *options;
	int control;
	struct kube *kube;
	struct kube_place place;
	struct kube_agent agent;
	struct kube_exec *exec, *dropping;
	struct loop *loop;
	struct watch control_watch, pod_watch;
	int pod_fd; /* -1: nobody watches */
	struct timer end;
	unsigned int stream; /* the number of the exec stream */
	bool deployed, ended, session_gone, dropped;
	bool pod_goes, pod_gone; /* the target's; the session knows */
};

static void say(struct tunnel *t, enum kube_message_kind kind, const struct error *e, int fd)
{
	struct kube_message m = { .kind = kind, .stream = t->stream };

	if (e)
		m.error = *e;
	snprintf(m.pod, sizeof(m.pod), "%s", t->place.pod);
	snprintf(m.uid, sizeof(m.uid), "%s", t->place.uid);
	if (kind == KUBE_MESSAGE_TUNNEL)
		kube_probes_read(t->place.object, &m.probes);
	fd_send(t->control, &m, sizeof(m), fd >= 0 ? &fd : NULL, fd >= 0);
}

static void on_progress(void *arg, const char *line)
{
	struct tunnel *t = arg;

	if (t->options->progress)
		log_tell(0, "mirrord: agent: %s\n", line);
}

static bool session_waits(struct tunnel *t, int ms);

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void wait_for(int ms)
{
	const struct timespec pause = { .tv_nsec = ms * 1000000L };

	nanosleep(&pause, NULL);
}

int64_t kube_next_limit_ms(const struct target *t)
{
	return t->kind == TARGET_POD ? NEXT_POD_MS : NEXT_MS;
}

/* The pod that takes the place of one that goes: a ready one, or after a while one that runs. */
static int find_next(struct tunnel *t, const char *namespace, struct error *err)
{
	const struct target *target = t->options->target;
	int64_t begin = now_ms();

	for (; session_waits(t, 0); wait_for(NEXT_PAUSE_MS)) {
		int64_t now = now_ms();
		bool found;

		*err = (struct error){ 0 };
		found = kube_resolve(t->kube, target, namespace, &t->place, err) == 0;
		if (found && target->kind == TARGET_TARGETLESS)
			return 0;
		if (found && strcmp(t->place.uid, t->options->not_uid) != 0 && (t->place.ready || now - begin > NEXT_READY_MS))
			return 0;
		kube_place_fini(&t->place);
		if (now > t->options->until_ms)
			break;
	}
	error_set(err, 0, "target %s: its pod is gone, and no other came within %d seconds", target->text,
		  (int)(kube_next_limit_ms(target) / 1000));
	return error_hint(err, target->kind == TARGET_POD ? "name the workload instead (deployment/NAME …): then its other pods do as well" :
							    "`kubectl get pods -n %s` shows what keeps them", namespace);
}

static int find_target(struct tunnel *t, struct error *err)
{
	const struct kube_settings *s = t->options->settings;
	const char *namespace = s->namespace;

	t->kube = kube_open(s, err);
	if (!t->kube)
		return error_wrap(err, "target %s", t->options->target->text);
	kube_set_cancel(t->kube, t->control);
	if (!namespace)
		namespace = kube_access_of(t->kube)->namespace;
	return t->options->not_uid ? find_next(t, namespace, err) : kube_resolve(t->kube, t->options->target, namespace, &t->place, err);
}

/* Such a pod's ports are the node's. */
static int check_host_network(const struct tunnel *t, struct error *err)
{
	if (!t->options->steals || t->options->settings->allow_host_network || !json_is_true(kube_dig(t->place.object, "spec.hostNetwork")))
		return 0;
	error_set(err, 0, "target %s: pod %s has the network of its node (hostNetwork), where stealing concerns more than this pod",
		  t->options->target->text, t->place.pod);
	return error_hint(err, "mirror instead, or set agent.allow_host_network to true if the node's port may be taken");
}

/* A program that doesn't know what the kubelet asks for would get the pod out of service, or its containers restarted. */
static void warn_of_probes(const struct tunnel *t)
{
	char probes[600];

	if (!t->options->steals)
		return;
	kube_probes_print(t->place.object, probes, sizeof(probes));
	if (!probes[0])
		return;
	log_info("kube: the kubelet probes port %s: that %s", probes, t->options->probes ? "is stolen, too" : "stays with the pod");
	if (t->options->probes && t->options->progress)
		log_tell(0,
			"mirrord: the kubelet probes port %s of this pod: when your program takes that port, it has to answer, or the pod goes "
			"out of service\n",
			probes);
}

static int open_exec(struct tunnel *t, struct error *err)
{
	bool in_pod = t->agent.way != KUBE_WAY_JOB, has_target = t->agent.way != KUBE_WAY_TARGETLESS;
	const char *command[16] = { t->agent.program, "--target", t->options->target->text, "--log", log_level_name(t->options->agent_log_level),
				    "--idle", t->agent.container };
	const struct kube_exec_target target = { t->agent.namespace, t->agent.pod, t->agent.container, command };
	size_t n = 7;

	if (in_pod) { /* its network is the one that we want */
		command[n++] = "--netns";
		command[n++] = "/proc/self/ns/net";
	}
	if (has_target) {
		command[n++] = "--container-id";
		command[n++] = t->place.container_id;
	}
	t->exec = kube_exec_start(t->kube, &target, err);
	return t->exec ? 0 : -1;
}

static void on_stderr(void *arg, const char *text, size_t len)
{
	struct tunnel *t = arg;

	log_write(t->options->log_fd >= 0 ? t->options->log_fd : STDERR_FILENO, 0, text, len);
}

static void on_end(void *arg, const struct error *why)
{
	struct tunnel *t = arg;

	t->ended = true;
	loop_stop(t->loop);
}

static const struct kube_exec_events exec_events = { .on_stderr = on_stderr, .on_end = on_end };

/* Another exec into the agent's container, beside the agent. NULL with @err and what the server answered. */
static struct kube_exec *open_beside(struct tunnel *t, const char *option, long *ret_status, struct error *err)
{
	const char *const command[] = { t->agent.program, "resume", "--idle", t->agent.container, option, NULL };
	const struct kube_exec_target target = { t->agent.namespace, t->agent.pod, t->agent.container, command };

	return kube_exec_open(t->kube, &target, ret_status, err);
}

static void on_dropped(void *arg, const struct error *why)
{
	struct tunnel *t = arg;

	if (!t->exec)
		loop_stop(t->loop);
}

/* The agent is told that its session won't come back. */
static void drop(struct tunnel *t)
{
	static const struct kube_exec_events events = { .on_stderr = on_stderr, .on_end = on_dropped };
	struct error err = { 0 };
	int pair[2] = { -1, -1 };
	long status = 0;

	t->dropped = true;
	kube_set_cancel(t->kube, -1);
	t->dropping = open_beside(t, "--drop", &status, &err);
	if (t->dropping && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0)
		kube_exec_join(t->dropping, t->loop, pair[0], &events, t, &err);
	fd_closep(&pair[1]);
	if (error_is_set(&err))
		log_debug("kube: tell the agent that the session is gone: %s", err.text);
}

static void on_end_time(struct timer *timer)
{
	struct tunnel *t = container_of(timer, struct tunnel, end);

	if (t->dropped) {
		loop_stop(t->loop);
		return;
	}
	drop(t);
	loop_arm(t->loop, timer, loop_now(t->loop) + END_TIME);
}

/* Returns whether there was something. */
static bool take_control(struct tunnel *t)
{
	struct kube_message m;
	size_t n;
	ssize_t len = fd_receive(t->control, &m, sizeof(m), NULL, 0, &n, MSG_DONTWAIT);

	if (len < 0 && errno == EAGAIN)
		return false;
	if (len != (ssize_t)sizeof(m)) {
		t->session_gone = true;
		return false;
	}
	if (m.kind == KUBE_MESSAGE_QUIET)
		fd_drop_stderr();
	if (m.kind == KUBE_MESSAGE_AGAIN && m.stream == t->stream && t->loop && !t->ended) {
		kube_exec_hang_up(t->exec);
		log_debug("kube: the session hears nothing of exec stream %u", t->stream);
	}
	return true;
}

static void on_control(struct watch *w, uint32_t events)
{
	struct tunnel *t = container_of(w, struct tunnel, control_watch);

	take_control(t);
	if (!t->session_gone)
		return;
	loop_unwatch(t->loop, w);
	loop_arm(t->loop, &t->end, loop_now(t->loop) + DROP_TIME);
}

/* The session gets the other end of a new exec stream. */
static int join(struct tunnel *t, struct error *err)
{
	int pair[2];

	t->ended = false;
	if (fd_bulk_pair(pair) < 0)
		return error_set(err, errno, "make the tunnel");
	if (kube_exec_join(t->exec, t->loop, pair[0], &exec_events, t, err) < 0) {
		close(pair[1]);
		return -1;
	}
	t->stream++;
	say(t, KUBE_MESSAGE_TUNNEL, NULL, pair[1]);
	close(pair[1]);
	return 0;
}

static bool session_waits(struct tunnel *t, int ms)
{
	struct pollfd p = { .fd = t->control, .events = POLLIN };

	if (!t->session_gone && poll(&p, 1, ms) > 0)
		while (take_control(t))
			;
	return !t->session_gone;
}

/* A kubelet that has just been started doesn't know its pods yet, and answers exec as if there were none. */
static bool agent_is_gone(struct tunnel *t)
{
	struct kube_call call = { 0 };
	struct error err = { 0 };
	bool gone;

	kube_path(call.path, sizeof(call.path), "/api/v1/namespaces/%s/pods/%s", t->agent.namespace, t->agent.pod);
	if (kube_perform(t->kube, &call, 1, &err) < 0)
		return false;
	gone = call.status == 404;
	kube_call_fini(&call);
	return gone;
}

/* The exec stream broke: another one. -1 with @err when there will be none. */
static int again(struct tunnel *t, struct error *err)
{
	int64_t until = now_ms() + AGAIN_MS;
	int pause = 0;

	kube_exec_free(t->exec);
	t->exec = NULL;
	kube_forget_connections(t->kube);
	while (session_waits(t, pause)) {
		long status = 0;

		*err = (struct error){ 0 };
		t->exec = open_beside(t, NULL, &status, err);
		if (t->exec)
			return join(t, err);
		log_debug("kube: exec again: %s", err->text);
		if (status == 401 || status == 403 || now_ms() > until || (status == 404 && agent_is_gone(t)))
			break;
		pause = pause * 2 < AGAIN_PAUSE_MS ? AGAIN_PAUSE_MS : pause * 2 < AGAIN_PAUSE_MAX_MS ? pause * 2 : AGAIN_PAUSE_MAX_MS;
	}
	return -1;
}

static void note_pod(struct tunnel *t, int news)
{
	if (news > 0 && !t->pod_goes) {
		t->pod_goes = true;
		log_info("kube: pod %s of the target %s", t->place.pod,
			 news == KUBE_POD_RESTARTED ? "has started its container anew" : "is going away");
		if (news == KUBE_POD_RESTARTED)
			t->place.uid[0] = '\0'; /* the next one may be the same */
		say(t, KUBE_MESSAGE_GOING, NULL, -1);
	}
	t->pod_gone |= news == KUBE_POD_GONE;
}

static void on_pod(struct watch *w, uint32_t events)
{
	struct tunnel *t = container_of(w, struct tunnel, pod_watch);
	char news;
	ssize_t n = recv(t->pod_fd, &news, 1, MSG_DONTWAIT);

	if (n == 1)
		note_pod(t, news);
	else if (n == 0 || errno != EAGAIN) {
		loop_unwatch(t->loop, w);
		fd_closep(&t->pod_fd);
	}
	if (t->pod_gone && !t->session_gone)
		loop_stop(t->loop);
}

/* Without it the session doesn't follow; that is all. */
static void watch_pod(struct tunnel *t)
{
	struct error err = { 0 };
	int r = 0;

	t->pod_fd = -1;
	if (!t->place.pod[0])
		return;
	if (kube_pod_watch_start(t->kube, &t->place, t->options->log_level, t->options->log_fd, &t->pod_fd, &err) == 0)
		r = loop_watch(t->loop, &t->pod_watch, t->pod_fd, EPOLLIN, on_pod);
	if (error_is_set(&err) || r < 0)
		log_warn("kube: the target's pod is not watched: %s", r < 0 ? strerror(-r) : err.text);
}

/* There won't be another byte stream to this agent. A pod that ends, or a container, takes an agent in it along, before the cluster tells of
 * it. */
static void lose(struct tunnel *t, struct error *why)
{
	int64_t until = now_ms() + (t->agent.way == KUBE_WAY_JOB ? 0 : NEWS_MS);

	while (t->place.pod[0] && !t->pod_goes && session_waits(t, 0)) {
		note_pod(t, kube_pod_look(t->kube, &t->place));
		if (now_ms() >= until)
			break;
		wait_for(NEXT_PAUSE_MS);
	}
	say(t, KUBE_MESSAGE_LOST, why, -1);
	*why = (struct error){ 0 };
}

/* The loop stops when the stream has ended, or the time of ENDING is over. */
static int carry_on(struct tunnel *t, struct error *err)
{
	while (loop_run(t->loop, err) == 0) {
		struct error why = *kube_exec_why(t->exec);

		if (t->session_gone)
			return 0;
		if (!t->ended)
			error_set(&why, 0, "pod %s is gone", t->place.pod);
		if (!t->ended || !kube_exec_broke(t->exec)) {
			if (!error_is_set(&why))
				error_set(&why, 0, "it ended");
			lose(t, &why);
			return 0;
		}
		log_info("kube: the exec stream broke: %s", why.text);
		if (again(t, err) == 0)
			continue;
		if (!t->session_gone) {
			lose(t, err);
			return 0;
		}
		*err = (struct error){ 0 };
		loop_unwatch(t->loop, &t->control_watch);
		loop_arm(t->loop, &t->end, 0);
		return loop_run(t->loop, err);
	}
	return -1;
}

static int carry(struct tunnel *t, struct error *err)
{
	int r;

	t->loop = loop_new(err);
	if (!t->loop || join(t, err) < 0)
		return -1;
	t->end.on_due = on_end_time;
	r = loop_watch(t->loop, &t->control_watch, t->control, EPOLLIN | EPOLLRDHUP, on_control);
	if (r < 0)
		return error_set(err, -r, "watch the session");
	watch_pod(t);
	return carry_on(t, err);
}

void kube_tunnel_run(const struct kube_tunnel_options *options, int control)
{
	struct tunnel t = { .options = options, .control = control };
	struct error err = { 0 };

	signal(SIGCHLD, SIG_DFL); /* the credential plugin's */
	log_init("mirrord-kube", options->log_level, options->log_fd >= 0 ? options->log_fd : STDERR_FILENO);
	if (find_target(&t, &err) == 0 && check_host_network(&t, &err) == 0) {
		warn_of_probes(&t);
		t.deployed = kube_agent_deploy(t.kube, options->settings, options->target, &t.place, on_progress, &t, &t.agent, &err) == 0;
	}
	if (t.deployed && open_exec(&t, &err) == 0)
		carry(&t, &err);
	if (error_is_set(&err))
		say(&t, KUBE_MESSAGE_FAILED, &err, -1);
	kube_exec_free(t.dropping);
	kube_exec_free(t.exec);
	if (t.deployed && (t.ended || t.pod_gone || !t.stream)) {
		kube_set_cancel(t.kube, -1);
		kube_agent_remove(t.kube, &t.agent);
	}
	_exit(0);
}
