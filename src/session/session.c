// SPDX-License-Identifier: MIT
/* The session's life.
 *
 *   STARTING  keeper and agent come up at the same time. Ends: the agent described the target → the keeper builds, the launcher gets READY;
 *             any error → the launcher gets it, all processes end. In a cluster an agent that is lost here, and in READY, is replaced as in RUNNING
 *   READY     the launcher enters the twin. Ends: it sends its anchor → RUNNING; it is gone → all processes end
 *   RUNNING   flows pass. Ends: the anchor hangs up (no process is left in the twin) → DRAINING; agent or keeper are lost → FAILED
 *             In a cluster the target's pod may go away. Then a second link is brought to the pod that takes its place, and when that is up, the
 *             session moves there (move()): new flows leave from there, the program's listeners are subscribed there. What is open stays with
 *             the old link as long as that lasts. Between the end of the old one and the next, there is no network.
 *   FAILED    every flow was reset, new ones get ENETUNREACH at once, one line on stderr said why, the program got SIGTERM. Ends: the anchor
 *             hangs up
 *   DRAINING  what the program sent before it ended still goes out; stderr is closed here, in the agent and in the keeper, so nobody waits
 *             for us. Ends: no connection is left and, where the bytes go by the tunnel, the agent hung up behind the last; or DRAIN_TIME is over */
#include "session/session_internal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/orphan.h"
#include "net/loop.h"
#include "relay/lender.h"
#include "session/adapt.h"
#include "session/agent_process.h"
#include "session/handshake.h"
#include "tunnel/info.h"
#include "tunnel/mux.h"
#include "tunnel/subscription.h"
#include "twin/info_file.h"
#include "twin/keeper.h"
#include "twin/post.h"
#include "twin/privilege.h"

#define DRAIN_TIME (60 * LOOP_SECOND)
#define DRAIN_STEP (20 * (uint64_t)LOOP_MS)

static void quit_posts(struct session *s)
{
	if (s->keeper >= 0)
		post_quit(fd_steal(&s->keeper));
	if (s->guard >= 0)
		post_quit(fd_steal(&s->guard));
}

static void stop(struct session *s)
{
	quit_posts(s);
	if (s->loop)
		loop_stop(s->loop);
}

/* Before the program runs: the launcher says it, and all ends. */
static void give_up(struct session *s, const struct error *e)
{
	struct handshake h = { .kind = HANDSHAKE_FAILED, .error = *e };

	fd_send(s->launcher, &h, sizeof(h), NULL, 0);
	stop(s);
}

void session_fail(struct session *s, const struct error *why)
{
	if (s->state == STARTING || s->state == READY) {
		give_up(s, why);
		return;
	}
	if (s->state == DRAINING)
		stop(s);
	if (s->state != RUNNING)
		return;
	s->state = FAILED;
	follow_stop(s);
	log_info("session: %s", why->text);
	session_close_flows(s, ENETUNREACH);
	gate_flush(s->gate);
	if (s->keeper < 0 || post_cut(s->keeper) < 0)
		post_cut(s->guard);
	log_tell(LOG_LAST_WORDS, "mirrord: %s: the program has lost its network and is being terminated\n", why->text);
	if (s->program >= 0)
		syscall(SYS_pidfd_send_signal, s->program, SIGTERM, NULL, 0);
}

void session_say_ending(struct session *s, uint8_t what)
{
	mux_send_info(s->mux, INFO_ENDING, &what, sizeof(what));
}

/* What is over for us may still be on its way through the agent, who tells its end by hanging up. */
static void drain(struct session *s)
{
	bool over = !session_is_busy(s);

	if (over && session_agent_ends(s) && !s->last)
		session_say_ending(s, ENDING_LAST);
	s->last |= over;
	if ((over && !session_agent_ends(s)) || loop_now(s->loop) >= s->drain_until)
		stop(s);
	else
		loop_arm(s->loop, &s->timer, loop_now(s->loop) + DRAIN_STEP);
}

static void on_timer(struct timer *t)
{
	struct session *s = container_of(t, struct session, timer);
	struct error err = { 0 };

	if (s->state == DRAINING) {
		drain(s);
	} else if (s->state == STARTING) {
		error_set(&err, 0, "the agent did not answer within %d seconds", INFO_ANSWER_S);
		give_up(s, &err);
	}
}

static void on_anchor(struct watch *w, uint32_t events)
{
	struct session *s = container_of(w, struct session, anchor_watch);

	loop_unwatch(s->loop, w);
	if (s->state == FAILED) {
		stop(s);
		return;
	}
	s->state = DRAINING;
	closing_begin(s);
	follow_stop(s);
	session_drain_flows(s);
	loop_unwatch(s->loop, &s->keeper_watch);
	quit_posts(s);
	s->drain_until = loop_now(s->loop) + DRAIN_TIME;
	if (s->mux)
		drain(s);
	else
		stop(s);
}

static void on_program(struct watch *w, uint32_t events)
{
	closing_begin(container_of(w, struct session, program_watch));
}

static void on_keeper(struct watch *w, uint32_t events)
{
	struct session *s = container_of(w, struct session, keeper_watch);
	struct error err = { 0 };

	loop_unwatch(s->loop, w);
	fd_closep(&s->keeper);
	if (s->calls)
		calls_without_keeper(s->calls);
	error_set(&err, 0, "the keeper died");
	session_fail(s, &err);
}

static void run_program(struct session *s, int fds[ANCHOR_FDS])
{
	const struct handshake go = { .kind = HANDSHAKE_GO };
	struct error err = { 0 };
	int rc;

	s->anchor = fds[ANCHOR_LISTENER];
	s->program = fds[ANCHOR_PIDFD];
	s->guard = fds[ANCHOR_GUARD];
	s->state = RUNNING;
	loop_disarm(s->loop, &s->timer);
	rc = loop_watch(s->loop, &s->program_watch, s->program, EPOLLIN, on_program);
	if (rc == 0)
		rc = loop_watch(s->loop, &s->anchor_watch, s->anchor, 0, on_anchor);
	if (rc < 0)
		error_set(&err, -rc, "watch the program");
	if (rc < 0 || post_arm(s->guard, s->program, -1, &err) < 0 || post_arm(s->keeper, s->program, s->guard, &err) < 0 ||
	    session_start_calls(s, &err) < 0 ||
	    (s->options->sudo && privilege_become(s->options->uid, s->options->gid, &err) < 0) ||
	    fd_send(s->launcher, &go, sizeof(go), NULL, 0) < 0) {
		s->state = READY;
		give_up(s, &err);
	} else if (s->link && s->link->going) {
		follow_on_going(s, s->link);
	}
}

static void on_launcher(struct watch *w, uint32_t events)
{
	struct session *s = container_of(w, struct session, launcher_watch);
	struct handshake h;
	int fds[ANCHOR_FDS];
	size_t n = 0;
	ssize_t len = fd_receive(w->fd, &h, sizeof(h), fds, ANCHOR_FDS, &n, MSG_DONTWAIT);

	if (len < 0 && errno == EAGAIN)
		return;
	if (len == (ssize_t)sizeof(h) && h.kind == HANDSHAKE_ANCHOR && n == ANCHOR_FDS && s->state == READY) {
		run_program(s, fds);
		return;
	}
	loop_unwatch(s->loop, w);
	fd_closep(&s->launcher);
	if (s->state == STARTING || s->state == READY)
		stop(s);
}

static int send_ready(struct session *s, const struct target_info *info, struct error *err)
{
	struct handshake h = { .kind = HANDSHAKE_READY, .has_user_ns = s->twin.user_ns >= 0 };
	_cleanup_fd_ int memfd = target_info_memfd(info, err), self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	const int fds[READY_FDS] = { [READY_NET_NS] = s->twin.net_ns, [READY_UTS_NS] = s->twin.uts_ns, [READY_INFO] = memfd,
				     [READY_SESSION] = self, [READY_USER_NS] = s->twin.user_ns };

	if (memfd < 0)
		return -1;
	if (self < 0)
		return error_set(err, errno, "open a pidfd");
	if (fd_send(s->launcher, &h, sizeof(h), fds, h.has_user_ns ? READY_FDS : READY_FDS - 1) < 0)
		return error_set(err, errno, "talk to the launcher");
	return 0;
}

int session_adapt(const struct session *s, struct target_info *info, struct error *err)
{
	const struct host_network host = host_network();

	return target_info_adapt(info, s->options->config, &host) < 0 ? error_set(err, ENOMEM, "note the target's routes") : 0;
}

static void on_target(struct session *s, const uint8_t *data, size_t len)
{
	struct target_info info = { 0 };
	struct error err = { 0 };

	if (target_info_decode(data, len, &info, &err) < 0 || session_adapt(s, &info, &err) < 0 ||
	    (s->described = target_info_memfd(&info, &err)) < 0 ||
	    keeper_build(s->keeper, &info, s->options->target.text, &s->twin, &err) < 0 ||
	    session_open_flows(s, &info, &err) < 0 || send_ready(s, &info, &err) < 0) {
		give_up(s, &err);
	} else {
		s->state = READY;
		log_debug("session: the program may start");
	}
	target_info_fini(&info);
}

/* The agent is in the target. */
static void on_entered(struct session *s, const uint8_t *data, size_t len)
{
	struct error err = { 0 };
	int r = agent_check_ask(&s->check, &s->options->incoming, s->mux, data, len, &err);

	if (r < 0)
		give_up(s, &err);
	else if (r == 0)
		on_target(s, data, len);
}

static void on_checked(struct session *s, const uint8_t *data, size_t len)
{
	struct error err = { 0 };

	if (agent_check_answer(&s->check, data, len, &err) < 0)
		give_up(s, &err);
	else
		on_target(s, s->check.info, s->check.len);
	agent_check_fini(&s->check);
}

/* The agent is there, and is to describe its target. */
static void await_target(struct session *s)
{
	s->mux = s->link->mux;
	s->probes = s->link->probes;
	loop_arm(s->loop, &s->timer, loop_now(s->loop) + INFO_ANSWER_S * LOOP_SECOND);
}

static void on_gone(void *arg, struct agent_link *link, const struct error *why)
{
	struct session *s = arg;
	struct error err = *why;

	if (link == s->link && !follow_lost(s, why)) {
		if (link->mux) /* else there was none yet */
			error_wrap(&err, "lost the agent");
		session_fail(s, &err);
		s->link = NULL;
		s->mux = NULL;
	} else if (link == s->next) {
		follow_failed(s, why);
	} else {
		list_remove(&link->node);
		if (link->source)
			incoming_drop(s->incoming, link->source);
		link->source = NULL;
	}
	agent_link_retire(link);
}

static void on_info(void *arg, struct agent_link *link, uint16_t topic, const uint8_t *data, size_t len)
{
	struct session *s = arg;
	struct error err = { 0 };

	if (link == s->next)
		follow_on_info(s, topic, data, len);
	if (link != s->link) {
		if (link->source && topic == INFO_COUNTERS)
			incoming_on_info(s->incoming, link->source, topic, data, len);
		return;
	}
	if ((s->incoming && incoming_on_info(s->incoming, NULL, topic, data, len)) || s->state != STARTING)
		return;
	if (topic == INFO_TARGET) {
		on_entered(s, data, len);
	} else if (topic == INFO_SUBSCRIBED && s->check.info) {
		on_checked(s, data, len);
	} else if (topic == INFO_FAILURE) {
		if (failure_decode(data, len, &err) < 0)
			error_wrap(&err, "read the agent's error");
		give_up(s, &err);
	}
}

static void on_open(void *arg, struct agent_link *link, struct stream *stream, const struct stream_request *request)
{
	struct session *s = arg;

	if (s->incoming)
		incoming_on_open(s->incoming, stream, request);
	else
		stream_reset(stream, ECONNREFUSED);
}

static void on_up(void *arg, struct agent_link *link)
{
	struct session *s = arg;

	if (link == s->link)
		await_target(s);
	else if (link == s->next)
		follow_on_up(s);
}

const struct agent_link_events session_link_events = {
	.on_up = on_up, .on_open = on_open, .on_info = on_info, .on_going = follow_on_going, .on_gone = on_gone
};

static void on_lender_gone(void *arg)
{
	struct session *s = arg;
	struct error err = { 0 };

	error_set(&err, 0, "lost the agent: it ended");
	session_fail(s, &err);
}

struct kube_tunnel_options session_tunnel_options(const struct session_options *o, int log_fd)
{
	return (struct kube_tunnel_options){ .target = &o->target, .settings = &o->kube, .log_level = o->log_level,
					     .agent_log_level = o->agent_log_level, .log_fd = log_fd,
					     .steals = o->incoming.mode == INCOMING_STEAL, .probes = o->incoming.steal_probes };
}

int session_start_in_cluster(struct session *s, struct agent_link *link, const struct search *search, struct error *err)
{
	struct kube_tunnel_options k = session_tunnel_options(s->options, s->log_fd);

	k.progress = s->options->progress && !search;
	if (search) {
		k.not_uid = search->not_uid;
		k.until_ms = (int64_t)(search->until / LOOP_MS);
	}
	return agent_link_start_in_cluster(link, &k, err);
}

/* On this machine an agent is there at once; one in a cluster takes its time, and its own process keeps an eye on that. */
static int start_agent(struct session *s, struct error *err)
{
	const struct session_options *o = s->options;
	int tunnel;

	s->timer.on_due = on_timer;
	s->link = agent_link_new(s->loop, &session_link_events, s);
	if (!s->link)
		return error_set(err, ENOMEM, "start the agent");
	if (target_is_in_cluster(&o->target))
		return session_start_in_cluster(s, s->link, NULL, err);
	if (agent_process_start(&o->target, !o->force_tunnel, o->agent_log_level, s->log_fd, &tunnel, &s->lend, err) < 0)
		return -1;
	if (agent_link_start(s->link, tunnel, err) < 0)
		return -1;
	await_target(s);
	return 0;
}

static int start(struct session *s, struct error *err)
{
	const struct session_options *o = s->options;
	const struct twin_owner owner = { .user_ns = s->user_ns, .uid = o->uid, .gid = o->gid };
	int rc;

	s->loop = loop_new(err);
	if (!s->loop || keeper_start(&owner, &s->keeper, err) < 0)
		return -1;
	fd_closep(&s->user_ns);
	privilege_drop();
	if (start_agent(s, err) < 0)
		return -1;
	if (s->lend >= 0 && !(s->borrower = borrower_new(s->loop, s->lend, s->descriptors, on_lender_gone, s, err)))
		return -1;
	rc = loop_watch(s->loop, &s->launcher_watch, s->launcher, EPOLLIN, on_launcher);
	if (rc == 0)
		rc = loop_watch(s->loop, &s->keeper_watch, s->keeper, EPOLLRDHUP, on_keeper);
	if (rc < 0)
		return error_set(err, -rc, "watch launcher and keeper");
	return 0;
}

void session_run(const struct session_options *options, int launcher)
{
	struct session s = { .options = options, .keeper = -1, .guard = -1, .lend = -1, .anchor = -1, .program = -1, .described = -1,
			     .twin = TWIN_NONE };
	struct error err = { 0 };
	int kept[] = { launcher, options->log_fd, options->user_ns };

	list_init(&s.leaving);
	if (orphan_settle("mirrord-session", kept, 3) < 0)
		_exit(1);
	s.launcher = kept[0];
	s.log_fd = kept[1];
	s.user_ns = kept[2];
	log_init("mirrord-session", options->log_level, s.log_fd >= 0 ? s.log_fd : STDERR_FILENO);
	s.descriptors = fd_raise_limit();
	if (start(&s, &err) < 0)
		give_up(&s, &err);
	else if (loop_run(s.loop, &err) < 0)
		session_fail(&s, &err);
	closing_end(&s);
	session_close_flows(&s, 0);
	incoming_free(s.incoming);
	unix_streams_free(s.unix_streams);
	calls_free(s.calls);
	agent_check_fini(&s.check);
	gate_free(s.gate);
	sock_diag_close(s.diag);
	agent_link_free(s.next);
	for (struct list *n; (n = list_pop(&s.leaving));)
		agent_link_free(container_of(n, struct agent_link, node));
	agent_link_free(s.link);
	_exit(0);
}
