// SPDX-License-Identifier: MIT
/* The session's life.
 *
 *   STARTING  keeper and agent come up at the same time. Ends: the agent described the target → the keeper builds, the launcher gets READY;
 *             any error → the launcher gets it, all processes end
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
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/orphan.h"
#include "net/loop.h"
#include "relay/lender.h"
#include "relay/sockets.h"
#include "session/adapt.h"
#include "session/agent_check.h"
#include "session/agent_process.h"
#include "session/background.h"
#include "session/calls.h"
#include "session/datagram.h"
#include "session/dns_local.h"
#include "session/dns_rules.h"
#include "session/dns_stream.h"
#include "session/gate.h"
#include "session/handshake.h"
#include "session/incoming.h"
#include "session/reconcile.h"
#include "session/resolver.h"
#include "session/routing.h"
#include "session/tcp.h"
#include "session/unix_streams.h"
#include "tunnel/info.h"
#include "tunnel/mux.h"
#include "tunnel/subscription.h"
#include "twin/info_file.h"
#include "twin/keeper.h"
#include "twin/post.h"
#include "twin/privilege.h"

#define START_TIME (15 * LOOP_SECOND)
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

/* Before the egresses go: it has ports there. */
static void close_dns(struct session *s)
{
	background_free(s->background);
	dns_local_free(s->dns);
	dns_streams_free(s->dns_streams);
	resolver_free(s->resolver);
	s->background = NULL;
	s->dns = NULL;
	s->dns_streams = NULL;
	s->resolver = NULL;
}

/* Every connection is reset; those that wait for an answer get @error, unless it is 0. */
static void close_flows(struct session *s, int error)
{
	if (s->tcp)
		tcp_end_all(s->tcp, error);
	if (s->datagrams)
		datagrams_close_all(s->datagrams);
	if (s->incoming)
		incoming_end(s->incoming);
	if (s->unix_streams)
		unix_streams_end(s->unix_streams, error ? error : ENETUNREACH);
	if (s->calls && !s->unix_streams)
		calls_end(s->calls);
	close_dns(s);
	if (s->borrower)
		borrower_set_egress(s->borrower, NULL); /* it may hear of the agent's end later than we do */
	for (int i = 0; i < EXITS; i++) {
		struct egress *e = s->exits[i];

		s->exits[i] = NULL;
		if (!e)
			continue;
		if (e != s->tunnel)
			socket_egress_free(e);
	}
	s->tunnel = NULL;
	for (struct list *n; (n = list_pop(&s->leaving));)
		agent_link_close_egress(container_of(n, struct agent_link, node));
	if (s->link)
		agent_link_close_egress(s->link);
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
	close_flows(s, ENETUNREACH);
	gate_flush(s->gate);
	if (s->keeper < 0 || post_cut(s->keeper) < 0)
		post_cut(s->guard);
	log_tell(LOG_LAST_WORDS, "mirrord: %s: the program has lost its network and is being terminated\n", why->text);
	if (s->program >= 0)
		syscall(SYS_pidfd_send_signal, s->program, SIGTERM, NULL, 0);
}

/* The agent has what is ours, and ends when that is over. */
static bool agent_ends(const struct session *s)
{
	return !s->borrower || (s->incoming && incoming_used(s->incoming)) || (s->unix_streams && unix_streams_used(s->unix_streams));
}

static bool busy(const struct session *s)
{
	size_t target = s->borrower ? socket_egress_count(s->exits[EXIT_TARGET]) : 0;
	size_t streams = agent_ends(s) ? mux_stream_count(s->mux) : 0;

	for (const struct list *n = s->leaving.next; n != &s->leaving; n = n->next) {
		const struct agent_link *l = container_of(n, const struct agent_link, node);

		streams += l->mux ? mux_stream_count(l->mux) : 0;
	}

	return tcp_pending(s->tcp) || target || streams || socket_egress_count(s->exits[EXIT_HOST]) ||
	       (s->incoming && incoming_busy(s->incoming));
}

void session_say_ending(struct session *s, uint8_t what)
{
	mux_send_info(s->mux, INFO_ENDING, &what, sizeof(what));
}

/* What is over for us may still be on its way through the agent, who tells its end by hanging up. */
static void drain(struct session *s)
{
	bool over = !busy(s);

	if (over && agent_ends(s) && !s->last)
		session_say_ending(s, ENDING_LAST);
	s->last |= over;
	if ((over && !agent_ends(s)) || loop_now(s->loop) >= s->drain_until)
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
		error_set(&err, 0, "the agent did not answer within %d seconds", (int)(START_TIME / LOOP_SECOND));
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
	follow_stop(s);
	if (s->incoming)
		incoming_drain(s->incoming);
	if (s->calls)
		calls_drain(s->calls);
	loop_unwatch(s->loop, &s->keeper_watch);
	quit_posts(s);
	s->drain_until = loop_now(s->loop) + DRAIN_TIME;
	gate_read_all(s->gate);
	datagrams_close_all(s->datagrams);
	close_dns(s);
	if (s->mux)
		drain(s);
	else
		stop(s);
}

/* Others may still be in the twin, but stderr was that of the program: who waits for its end waits for none of us. */
static void on_program(struct watch *w, uint32_t events)
{
	struct session *s = container_of(w, struct session, program_watch);

	loop_unwatch(s->loop, w);
	if (s->incoming)
		incoming_say_counters(s->incoming);
	fd_drop_stderr();
	if (s->keeper >= 0)
		post_quiet(s->keeper);
	if (s->guard >= 0)
		post_quiet(s->guard);
	if (s->log_fd < 0 && s->mux)
		session_say_ending(s, ENDING_QUIET);
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

static void on_call(void *arg, const struct notify_event *e, int fd)
{
	struct session *s = arg;

	if (e->kind >= NOTIFY_CONNECTS && s->unix_streams)
		unix_streams_on_event(s->unix_streams, e, fd);
	else if (e->kind < NOTIFY_CONNECTS && s->incoming && s->state == RUNNING)
		incoming_on_event(s->incoming, e);
	else if (e->kind < NOTIFY_UNSEEN)
		calls_answer(s->calls, &(struct notify_verdict){ .id = e->id });
}

static void on_calls_without_keeper(void *arg)
{
	struct session *s = arg;

	if (s->incoming)
		incoming_answer_all(s->incoming);
	if (s->unix_streams)
		unix_streams_answer_all(s->unix_streams);
}

static int start_calls(struct session *s, struct error *err)
{
	const struct calls_events events = { .on_event = on_call, .on_keeper_gone = on_calls_without_keeper, .arg = s };

	if (s->incoming || s->unix_streams)
		s->calls = calls_new(s->loop, s->keeper, s->anchor, s->twin.diag, &events, err);
	if ((s->incoming || s->unix_streams) && !s->calls)
		return -1;
	return s->incoming ? incoming_start(s->incoming, s->keeper, err) : 0;
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
	    start_calls(s, &err) < 0 ||
	    (s->options->sudo && privilege_become(s->options->uid, s->options->gid, &err) < 0) ||
	    fd_send(s->launcher, &go, sizeof(go), NULL, 0) < 0) {
		s->state = READY;
		give_up(s, &err);
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

static void on_packet(void *arg, const struct packet *p)
{
	struct session *s = arg;

	if (s->incoming && p->protocol != IPPROTO_TCP && incoming_on_packet(s->incoming, p))
		return;
	if (p->protocol != IPPROTO_TCP)
		datagrams_on_packet(s->datagrams, p);
	else if ((p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN)
		tcp_on_syn(s->tcp, p);
	if (tcp_pending(s->tcp))
		reconciler_poke(s->reconciler);
}

static void on_connection(void *arg, int fd, const struct endpoint *from)
{
	struct session *s = arg;

	tcp_on_connection(s->tcp, fd, from);
}

static const struct gate_events gate_events = { .on_packet = on_packet, .on_connection = on_connection };

/* Without the target's names, the twin uses the host's resolv.conf. */
static int open_routing(struct session *s, const struct target_info *info, struct error *err)
{
	_cleanup_fd_ int fd = s->options->config->dns_enabled ? -1 : open("/etc/resolv.conf", O_RDONLY | O_CLOEXEC);
	char *host = fd < 0 ? NULL : fd_read_all(fd, INFO_FILE_MAX, NULL);
	int rc = routing_init(&s->routing, s->options->config, s->options->config->dns_enabled ? info->resolv_conf : host);

	free(host);
	if (rc < 0 || routing_set_own(&s->routing, info) < 0 || dns_rules_init(&s->dns_rules, s->options->config, s->routing.rules.search) < 0)
		return error_set(err, ENOMEM, "keep the rules for outgoing traffic");
	return 0;
}

static void on_local_answer(void *arg, const struct dns_asker *who, const uint8_t *message, size_t len)
{
	struct session *s = arg;

	if (who->connection)
		dns_streams_on_answer(s->dns_streams, who, message, len);
	else if (len)
		datagrams_on_answer(s->datagrams, who, message, len);
}

/* Where this machine answers some names, its resolver is asked beside us. */
static int open_dns(struct session *s, struct error *err)
{
	struct dns_local_context c = { .loop = s->loop, .rules = &s->dns_rules, .host = &s->exits[EXIT_HOST],
				       .on_answer = on_local_answer, .arg = s };

	if (s->dns_rules.side == FILTER_NONE && s->routing.rules.side == FILTER_NONE)
		return 0;
	s->resolver = c.resolver = resolver_new(s->loop, s->options->uid, s->options->gid, err);
	if (!s->resolver)
		return -1;
	s->dns = dns_local_new(&c);
	s->dns_streams = dns_streams_new(s->loop, &s->dns, s->routing.names);
	return s->dns && s->dns_streams ? 0 : error_set(err, ENOMEM, "answer names from this machine");
}

static int open_background(struct session *s, const struct target_info *info, struct error *err)
{
	const struct background_context c = { .loop = s->loop, .rules = &s->routing.rules, .dns = &s->dns_rules, .remote_dns = s->routing.remote_dns,
					      .names = s->routing.names, .resolver = s->resolver, .target = &s->exits[EXIT_TARGET],
					      .server = s->routing.n_name_servers ? &s->routing.name_servers[0] : NULL };

	s->background = background_new(&c, s->routing.remote_dns ? info->hosts : NULL);
	return s->background ? 0 : error_set(err, ENOMEM, "look up the filter's names");
}

static int open_exits(struct session *s, struct error *err)
{
	s->exits[EXIT_HOST] = socket_egress_new(s->loop, NULL);
	s->tunnel = agent_link_open_egress(s->link);
	if (s->borrower)
		s->exits[EXIT_TARGET] = socket_egress_new(s->loop, borrower_source(s->borrower));
	else
		s->exits[EXIT_TARGET] = s->tunnel;
	if (!s->tunnel || !s->exits[EXIT_HOST] || !s->exits[EXIT_TARGET])
		return error_set(err, ENOMEM, "make the egresses");
	if (s->borrower)
		borrower_set_egress(s->borrower, s->exits[EXIT_TARGET]);
	return 0;
}

static int open_incoming(struct session *s, const struct target_info *info, struct error *err)
{
	const struct incoming_context c = { .loop = s->loop, .gate = &s->gate, .mux = &s->mux, .calls = &s->calls, .options = &s->options->incoming,
					    .probes = &s->probes, .diag = s->twin.diag, .descriptors = s->descriptors, .agent = s->borrower,
					    .target = &s->exits[EXIT_TARGET] };

	if (incoming_wanted(c.options))
		s->incoming = incoming_new(&c, info, err);
	return s->incoming || !incoming_wanted(c.options) ? 0 : -1;
}

static int open_unix_streams(struct session *s, struct error *err)
{
	const struct unix_streams_context c = { .loop = s->loop, .tunnel = &s->tunnel, .calls = &s->calls,
						.patterns = &s->options->config->outgoing_unix_streams };

	if (c.patterns->n)
		s->unix_streams = unix_streams_new(&c, err);
	return s->unix_streams || !c.patterns->n ? 0 : -1;
}

static int open_flows(struct session *s, const struct target_info *info, struct error *err)
{
	struct tcp_context c = { .loop = s->loop, .gate = &s->gate, .routing = &s->routing, .exits = s->exits,
				 .dns_streams = &s->dns_streams, .dns = &s->dns };

	if (open_routing(s, info, err) < 0 || open_exits(s, err) < 0 || open_dns(s, err) < 0 || open_background(s, info, err) < 0)
		return -1;
	if (!(s->gate = gate_new(s->loop, &s->twin, &gate_events, s, err)) || !(s->tcp = tcp_new(&c, err)) ||
	    !(s->datagrams = datagrams_new(&c, err)))
		return -1;
	s->reconciler = reconciler_new(s->loop, s->twin.diag, s->tcp, s->datagrams, err);
	return s->reconciler && open_unix_streams(s, err) == 0 ? open_incoming(s, info, err) : -1;
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
	return target_info_adapt(info, s->options->config) < 0 ? error_set(err, ENOMEM, "note the target's routes") : 0;
}

static void on_target(struct session *s, const uint8_t *data, size_t len)
{
	struct target_info info = { 0 };
	struct error err = { 0 };

	if (target_info_decode(data, len, &info, &err) < 0 || session_adapt(s, &info, &err) < 0 ||
	    (s->described = target_info_memfd(&info, &err)) < 0 ||
	    keeper_build(s->keeper, &info, s->options->target.text, &s->twin, &err) < 0 ||
	    open_flows(s, &info, &err) < 0 || send_ready(s, &info, &err) < 0)
		give_up(s, &err);
	else
		s->state = READY;
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
	loop_arm(s->loop, &s->timer, loop_now(s->loop) + START_TIME);
}

static void on_gone(void *arg, struct agent_link *link, const struct error *why)
{
	struct session *s = arg;
	struct error err = *why;

	if (link == s->link && !follow_lost(s)) {
		error_wrap(&err, "lost the agent");
		session_fail(s, &err);
		s->link = NULL;
		s->mux = NULL;
	} else if (link == s->next) {
		follow_failed(s, why);
	} else {
		list_remove(&link->node);
	}
	agent_link_retire(link);
}

static void on_info(void *arg, struct agent_link *link, uint16_t topic, const uint8_t *data, size_t len)
{
	struct session *s = arg;
	struct error err = { 0 };

	if (link == s->next)
		follow_on_info(s, topic, data, len);
	if (link != s->link)
		return;
	if ((s->incoming && incoming_on_info(s->incoming, topic, data, len)) || s->state != STARTING)
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

int session_start_in_cluster(struct session *s, struct agent_link *link, const char *not_uid, struct error *err)
{
	const struct session_options *o = s->options;
	const struct kube_tunnel_options k = { .target = &o->target, .settings = &o->kube, .log_level = o->log_level,
					       .agent_log_level = o->agent_log_level, .log_fd = s->log_fd,
					       .progress = o->progress && !not_uid, .steals = o->incoming.mode == INCOMING_STEAL,
					       .probes = o->incoming.steal_probes, .not_uid = not_uid };

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
			     .twin = { .user_ns = -1, .net_ns = -1, .uts_ns = -1, .relay_ns = -1, .packet_in = -1, .packet_out = -1,
				       .listeners = { -1, -1 }, .diag = -1 } };
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
	close_flows(&s, 0);
	incoming_free(s.incoming);
	unix_streams_free(s.unix_streams);
	calls_free(s.calls);
	agent_check_fini(&s.check);
	gate_free(s.gate);
	agent_link_free(s.next);
	for (struct list *n; (n = list_pop(&s.leaving));)
		agent_link_free(container_of(n, struct agent_link, node));
	agent_link_free(s.link);
	_exit(0);
}
