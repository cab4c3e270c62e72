// SPDX-License-Identifier: MIT
/* The process between a session and its agent in a cluster.
 *
 *   STARTING  blocking calls: find the target, bring the agent, start it by exec. They give up when the session is gone.
 *   CARRYING  a loop between the session's socket and the exec stream. Ends: the session is gone → ENDING; the stream broke → LOST, ENDING
 *   ENDING    the agent has seen the end of its input. When it ends in time, nobody else uses it, and its job is deleted; else the job stays,
 *             ends by itself, and goes by its ttl. */
#include "kube/tunnel.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "kube/deploy.h"
#include "kube/exec.h"
#include "kube/open.h"
#include "kube/probes.h"

#define END_TIME (3 * LOOP_SECOND)
enum { EXEC_ATTEMPTS = 20, EXEC_PAUSE_MS = 100 };

struct tunnel {
	const struct kube_tunnel_options *options;
	int control;
	struct kube *kube;
	struct kube_place place;
	struct kube_agent agent;
	struct kube_exec *exec;
	struct loop *loop;
	struct watch control_watch;
	struct timer end;
	bool deployed, ended, session_gone;
};

static void say(struct tunnel *t, enum kube_message_kind kind, const struct error *e, int fd)
{
	struct kube_message m = { .kind = kind };

	if (e)
		m.error = *e;
	fd_send(t->control, &m, sizeof(m), fd >= 0 ? &fd : NULL, fd >= 0);
}

static void on_progress(void *arg, const char *line)
{
	struct tunnel *t = arg;

	if (t->options->progress)
		dprintf(STDERR_FILENO, "mirrord: agent: %s\n", line);
}

static int find_target(struct tunnel *t, struct error *err)
{
	const struct kube_settings *s = t->options->settings;

	t->kube = kube_open(s, err);
	if (!t->kube)
		return error_wrap(err, "target %s", t->options->target->text);
	kube_set_cancel(t->kube, t->control);
	return kube_resolve(t->kube, t->options->target, s->namespace ? s->namespace : kube_access_of(t->kube)->namespace, &t->place, err);
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
	log_warn("kube: the kubelet probes port %s", probes);
	if (t->options->progress)
		dprintf(STDERR_FILENO,
			"mirrord: the kubelet probes port %s of this pod: when your program takes that port, it has to answer, or the pod goes "
			"out of service\n",
			probes);
}

/* A container that the kubelet has reported as running may still be unknown to exec for a moment. */
static struct kube_exec *start_agent(struct tunnel *t, const char *const *command, struct error *err)
{
	const struct kube_exec_target target = { t->agent.namespace, t->agent.pod, t->agent.container, command };
	struct kube_exec *e = NULL;
	long status = 0;

	for (int i = 0; i < EXEC_ATTEMPTS && !e; i++) {
		const struct timespec pause = { .tv_nsec = EXEC_PAUSE_MS * 1000000L };

		if (i > 0 && status != 404 && status != 400 && status != 500 && status != 429)
			break;
		if (i > 0)
			nanosleep(&pause, NULL);
		e = kube_exec_open(t->kube, &target, &status, err);
	}
	return e;
}

static int open_exec(struct tunnel *t, struct error *err)
{
	bool in_pod = t->agent.way != KUBE_WAY_JOB, has_target = t->agent.way != KUBE_WAY_TARGETLESS;
	const char *command[16] = { "mirrord-agent", "--target", t->options->target->text, "--log", log_level_name(t->options->log_level), "--idle",
				    t->agent.container };
	size_t n = 7;

	if (in_pod) { /* its network is the one that we want */
		command[n++] = "--netns";
		command[n++] = "/proc/self/ns/net";
	}
	if (has_target) {
		command[n++] = "--container-id";
		command[n++] = t->place.container_id;
	}
	t->exec = start_agent(t, command, err);
	return t->exec ? 0 : -1;
}

static void on_stderr(void *arg, const char *text, size_t len)
{
	struct tunnel *t = arg;

	(void)!write(t->options->log_fd >= 0 ? t->options->log_fd : STDERR_FILENO, text, len);
}

static void on_end(void *arg, const struct error *why)
{
	struct tunnel *t = arg;

	t->ended = true;
	if (!t->session_gone && error_is_set(why))
		say(t, KUBE_MESSAGE_LOST, why, -1);
	loop_stop(t->loop);
}

static const struct kube_exec_events exec_events = { .on_stderr = on_stderr, .on_end = on_end };

static void on_end_time(struct timer *timer)
{
	loop_stop(container_of(timer, struct tunnel, end)->loop);
}

static void on_control(struct watch *w, uint32_t events)
{
	struct tunnel *t = container_of(w, struct tunnel, control_watch);
	struct kube_message m;
	size_t n;
	ssize_t len = fd_receive(w->fd, &m, sizeof(m), NULL, 0, &n, MSG_DONTWAIT);

	if (len < 0 && errno == EAGAIN)
		return;
	if (len == (ssize_t)sizeof(m)) {
		if (m.kind == KUBE_MESSAGE_QUIET)
			fd_drop_stderr();
		return;
	}
	t->session_gone = true;
	loop_unwatch(t->loop, w);
	loop_arm(t->loop, &t->end, loop_now(t->loop) + END_TIME);
}

static int carry(struct tunnel *t, struct error *err)
{
	int pair[2], r;

	t->loop = loop_new(err);
	if (!t->loop)
		return -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set(err, errno, "make the tunnel");
	if (kube_exec_join(t->exec, t->loop, pair[0], &exec_events, t, err) < 0) {
		close(pair[1]);
		return -1;
	}
	say(t, KUBE_MESSAGE_TUNNEL, NULL, pair[1]);
	close(pair[1]);
	t->end.on_due = on_end_time;
	r = loop_watch(t->loop, &t->control_watch, t->control, EPOLLIN | EPOLLRDHUP, on_control);
	if (r < 0)
		return error_set(err, -r, "watch the session");
	return loop_run(t->loop, err);
}

void kube_tunnel_run(const struct kube_tunnel_options *options, int control)
{
	struct tunnel t = { .options = options, .control = control };
	struct error err = { 0 };

	prctl(PR_SET_NAME, "mirrord-kube");
	signal(SIGCHLD, SIG_DFL); /* the credential plugin's */
	log_init("mirrord-kube", options->log_level, options->log_fd >= 0 ? options->log_fd : STDERR_FILENO);
	if (find_target(&t, &err) == 0) {
		warn_of_probes(&t);
		t.deployed = kube_agent_deploy(t.kube, options->settings, options->target, &t.place, on_progress, &t, &t.agent, &err) == 0;
	}
	if (t.deployed && open_exec(&t, &err) == 0)
		carry(&t, &err);
	if (error_is_set(&err))
		say(&t, KUBE_MESSAGE_FAILED, &err, -1);
	kube_exec_free(t.exec);
	if (t.deployed && (t.ended || !t.exec)) {
		kube_set_cancel(t.kube, -1);
		kube_agent_remove(t.kube, &t.agent);
	}
	_exit(0);
}
