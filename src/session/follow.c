// SPDX-License-Identifier: MIT
/* Following a target from pod to pod.
 *
 *   the pod is going away ─► another link looks for the next one (kube/tunnel.c) and brings an agent there ─► its agent describes it ─► move()
 *
 * Meanwhile all is as it was, as long as the old pod lasts; when it is gone first, there is no network until the move. Which is: the twin gets the
 * new pod's addresses, routes and host name beside the old addresses; new flows leave by the new link; what the program listens on is
 * subscribed there. What is open stays with the old link, whose agent serves it until it is over or its pod is gone.
 *
 * The program's environment and the target's files in the twin stay those of the first pod: nobody can change what a process has read. */
#include "session/session_internal.h"

#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "tunnel/info.h"
#include "twin/info_file.h"
#include "twin/keeper.h"

static void say_move(const struct session *s, const char *text, const char *pod)
{
	log_info("session: pod %s %s", pod, text);
	if (s->options->incoming.show)
		log_tell(0, "mirrord: pod %s %s\n", pod, text);
}

void follow_on_going(void *arg, struct agent_link *link)
{
	struct session *s = arg;
	struct error err = { 0 };

	if (link != s->link || s->next || s->state != RUNNING)
		return;
	say_move(s,
		 link->uid[0] ? "is going away: another one is looked for" :
				"has started its container anew, which ended the agent: another one is brought",
		 link->pod);
	s->next = agent_link_new(s->loop, &session_link_events, s);
	if (s->next && session_start_in_cluster(s, s->next, link->uid, &err) == 0)
		return;
	log_warn("session: follow: %s", s->next ? err.text : strerror(ENOMEM));
	agent_link_free(s->next);
	s->next = NULL;
}

/* The next link's target takes the place of the last one's. What the old link has goes on; it is retired when its agent ends. */
static void change_links(struct session *s, struct egress *egress)
{
	struct agent_link *old = s->link;
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
	if (s->incoming)
		incoming_move(s->incoming);
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
	say_move(s, "is the target from here on", s->link->pod);
	return 0;
}

bool follow_lost(struct session *s)
{
	if (!s->next || s->state != RUNNING)
		return false;
	say_move(s, "is gone: there is no network until there is another one", s->link->pod);
	background_move(s->background);
	s->tunnel = s->exits[EXIT_TARGET] = NULL;
	s->link = NULL;
	s->mux = NULL;
	return true;
}

void follow_failed(struct session *s, const struct error *why)
{
	s->next = NULL;
	log_warn("session: follow: %s", why->text);
	if (!s->mux)
		session_fail(s, why);
}

void follow_on_info(struct session *s, uint16_t topic, const uint8_t *data, size_t len)
{
	struct agent_link *link = s->next;
	struct error err = { 0 };

	if (topic == INFO_TARGET && move(s, data, len, &err) == 0)
		return;
	if (topic == INFO_FAILURE && failure_decode(data, len, &err) < 0)
		error_wrap(&err, "read the agent's error");
	if (!error_is_set(&err))
		return;
	follow_failed(s, &err);
	agent_link_retire(link);
}

void follow_stop(struct session *s)
{
	if (s->next)
		agent_link_retire(s->next);
	s->next = NULL;
}
