// SPDX-License-Identifier: MIT
/* Following a target from pod to pod.
 *
 *   the pod is going away ─► another link looks for the next one (kube/tunnel.c) and brings an agent there ─► its agent describes it ─► move()
 *                                ▲                                                                     │
 *                                └── after a pause, until the time is over ◄── fails: that one has gone, too, or the cluster is in trouble
 *
 * Meanwhile all is as it was, as long as the old pod lasts; when it is gone first, there is no network until the move, and the user is told so,
 * and why no other agent comes, whatever stderr is. The move: the twin gets the new pod's addresses, routes and host name beside the old
 * addresses; new flows leave by the new link; what the program listens on is subscribed there. What is open stays with the old link, whose
 * agent serves it until it is over or its pod is gone.
 *
 * The same when the agent alone is lost, killed or with its own pod, or when nothing led to it for too long. Then the next one may be beside the same
 * pod. One that was brought so and is lost again soon isn't replaced: it would go on for ever.
 *
 * The program's environment and the target's files in the twin stay those of the first pod: nobody can change what a process has read. */
#include "session/session_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/backoff.h"
#include "base/fd.h"
#include "base/log.h"
#include "tunnel/info.h"
#include "twin/info_file.h"
#include "twin/keeper.h"

#define PAUSE_MIN   (250 * (uint64_t)LOOP_MS)
#define PROVEN_TIME (30 * LOOP_SECOND)
enum { PAUSE_DOUBLINGS = 5 };

/* On a terminal; and on any stderr when the network is gone, or is there again. */
static void say_move(const struct session *s, const char *text, const char *pod, bool tell)
{
	const char *what = pod[0] ? "pod " : "the agent's own pod"; /* without a target */

	log_info("session: %s%s %s", what, pod, text);
	if (tell || s->options->incoming.show)
		log_tell(0, "mirrord: %s%s %s\n", what, pod, text);
}

static void on_timer(struct timer *t);

static void end_search(struct session *s)
{
	loop_disarm(s->loop, &s->search.timer);
	s->search.on = false;
}

static void set_timer(struct session *s, uint64_t due)
{
	s->search.timer.on_due = on_timer;
	loop_arm(s->loop, &s->search.timer, due);
}

void follow_failed(struct session *s, const struct error *why)
{
	uint64_t pause = backoff(PAUSE_MIN, s->search.failures++, PAUSE_DOUBLINGS);

	s->next = NULL;
	log_warn("session: follow: %s", why->text);
	if (loop_now(s->loop) < s->search.until) {
		if (!s->mux && !s->search.told)
			log_tell(0, "mirrord: no other agent yet: %s; it is tried again\n", why->text);
		s->search.told |= !s->mux;
		set_timer(s, loop_now(s->loop) + pause);
		return;
	}
	end_search(s);
	if (!s->mux)
		session_fail(s, why);
}

static void look(struct session *s)
{
	struct error err = { 0 };

	s->next = agent_link_new(s->loop, &session_link_events, s);
	if (!s->next)
		error_set(&err, ENOMEM, "bring another agent");
	else if (session_start_in_cluster(s, s->next, &s->search, &err) == 0)
		return;
	agent_link_free(s->next);
	follow_failed(s, &err);
}

static void drop_next(struct session *s, const struct error *why)
{
	struct agent_link *link = s->next;

	follow_failed(s, why);
	agent_link_retire(link);
}

static void on_timer(struct timer *t)
{
	struct session *s = container_of(t, struct session, search.timer);
	struct error err = { 0 };

	if (!s->next) {
		look(s);
		return;
	}
	error_set(&err, 0, "the agent in pod %s did not answer within %d seconds", s->next->pod, INFO_ANSWER_S);
	drop_next(s, &err);
}

void follow_on_up(struct session *s)
{
	set_timer(s, loop_now(s->loop) + INFO_ANSWER_S * LOOP_SECOND);
}

/* @not_uid: the pod that won't do. */
static void begin_search(struct session *s, const char *not_uid, bool replaces)
{
	s->search = (struct search){ .on = true, .replaces = replaces,
				     .until = loop_now(s->loop) + (uint64_t)kube_next_limit_ms(&s->options->target) * LOOP_MS };
	snprintf(s->search.not_uid, sizeof(s->search.not_uid), "%s", not_uid);
	look(s);
}

void follow_on_going(void *arg, struct agent_link *link)
{
	struct session *s = arg;

	if (link != s->link || s->search.on || s->state != RUNNING)
		return;
	say_move(s,
		 link->uid[0] ? "is going away: another one is looked for" :
				"has started its container anew, which ended the agent: another one is brought",
		 link->pod, false);
	begin_search(s, link->uid, false);
}

/* The next link's target takes the place of the last one's. What the old link has goes on; it is retired when its agent ends. */
static void change_links(struct session *s, struct egress *egress)
{
	struct agent_link *old = s->link;
	struct source *moved;
	bool lost = !s->mux;

	background_move(s->background);
	datagrams_close_all(s->datagrams);
	if (!lost)
		session_say_ending(s, ENDING_LAST);
	if (!lost)
		list_append(&s->leaving, &old->node);
	s->link = s->next;
	s->next = NULL;
	s->mux = s->link->mux;
	s->probes = s->link->probes;
	s->tunnel = s->exits[EXIT_TARGET] = egress;
	moved = s->incoming ? incoming_move(s->incoming, lost ? NULL : &old->mux) : NULL;
	if (!lost)
		old->source = moved;
}

static int readdress(struct session *s, const struct target_info *info, struct error *err)
{
	struct target_info before = { 0 };
	_cleanup_fd_ int described = target_info_memfd(info, err);
	int rc = -1;

	if (described >= 0 && target_info_from_fd(s->described, &before, err) == 0)
		rc = keeper_readdress(s->keeper, info, &before, err);
	target_info_fini(&before);
	if (rc < 0 || routing_set_own(&s->routing, info) < 0)
		return rc < 0 ? rc : error_set(err, ENOMEM, "note the target's addresses");
	fd_closep(&s->described);
	s->described = fd_steal(&described);
	return 0;
}

/* Returns 0, or -1 with @err, and then all is as it was. */
static int move(struct session *s, const uint8_t *data, size_t len, struct error *err)
{
	struct target_info info = { 0 };
	struct egress *egress = NULL;
	bool lost = !s->mux;
	int rc = target_info_decode(data, len, &info, err);

	if (rc == 0)
		rc = session_adapt(s, &info, err);
	if (rc == 0 && !(egress = agent_link_open_egress(s->next)))
		rc = error_set(err, ENOMEM, "make the egresses");
	if (rc == 0)
		rc = readdress(s, &info, err);
	target_info_fini(&info);
	if (rc < 0)
		return -1;
	change_links(s, egress);
	if (s->search.replaces)
		s->unproven_until = loop_now(s->loop) + PROVEN_TIME;
	end_search(s);
	say_move(s, "is the target from here on", s->link->pod, lost);
	if (s->link->going)
		follow_on_going(s, s->link);
	return 0;
}

/* Has another agent brought in the place of @s->link's. */
static bool replace(struct session *s, const struct error *why)
{
	if (!s->link->cluster || loop_now(s->loop) < s->unproven_until)
		return false;
	log_info("session: lost the agent: %s; another one is brought", why->text);
	log_tell(0, "mirrord: lost the agent: %s; there is no network until there is another one\n", why->text);
	begin_search(s, "", true);
	return true;
}

/* The agent didn't come to describing its target: it went with another user's session, whose agent had taken ours. */
static bool start_again(struct session *s, const struct error *why)
{
	struct agent_link *another;
	struct error err = { 0 };

	if (!s->mux || !s->link->cluster || loop_now(s->loop) < s->unproven_until)
		return false;
	another = agent_link_new(s->loop, &session_link_events, s);
	if (!another || session_start_in_cluster(s, another, NULL, &err) < 0) {
		agent_link_free(another);
		return false;
	}
	log_info("session: lost the agent before it described its target: %s; another one is brought", why->text);
	loop_disarm(s->loop, &s->timer);
	agent_check_fini(&s->check);
	s->unproven_until = loop_now(s->loop) + PROVEN_TIME;
	s->link = another;
	s->mux = NULL;
	return true;
}

bool follow_lost(struct session *s, const struct error *why)
{
	if (s->state == STARTING)
		return start_again(s, why);
	if (s->state != RUNNING && s->state != READY)
		return false;
	if (s->search.on)
		say_move(s, "is gone: there is no network until there is another one", s->link->pod, true);
	else if (!replace(s, why))
		return false;
	background_move(s->background);
	s->tunnel = s->exits[EXIT_TARGET] = NULL;
	s->link = NULL;
	s->mux = NULL;
	return true;
}

void follow_on_info(struct session *s, uint16_t topic, const uint8_t *data, size_t len)
{
	struct error err = { 0 };

	if (topic == INFO_TARGET && move(s, data, len, &err) == 0)
		return;
	if (topic == INFO_FAILURE && failure_decode(data, len, &err) < 0)
		error_wrap(&err, "read the agent's error");
	if (error_is_set(&err))
		drop_next(s, &err);
}

void follow_stop(struct session *s)
{
	end_search(s);
	if (s->next)
		agent_link_retire(s->next);
	s->next = NULL;
}
