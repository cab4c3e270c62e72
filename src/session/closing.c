// SPDX-License-Identifier: MIT
/* The program has ended. Others may still be in the twin, but stderr was that of the program: who waits for its end waits for none of us, but for
 * what the agents have counted until now, and that not long. */
#include <unistd.h>

#include "base/fd.h"
#include "net/loop.h"
#include "session/session_internal.h"
#include "tunnel/info.h"
#include "twin/post.h"

#define COUNTING_TIME (500 * (uint64_t)LOOP_MS)

static void quiet_links(struct session *s)
{
	if (s->link)
		agent_link_quiet(s->link);
	if (s->next)
		agent_link_quiet(s->next);
	for (struct list *n = s->leaving.next; n != &s->leaving; n = n->next)
		agent_link_quiet(container_of(n, struct agent_link, node));
	if (s->replicas)
		replicas_quiet(s->replicas);
}

static void quiet_others(struct session *s)
{
	if (s->keeper >= 0)
		post_quiet(s->keeper);
	if (s->guard >= 0)
		post_quiet(s->guard);
	quiet_links(s);
	if (s->log_fd < 0 && s->mux)
		session_say_ending(s, ENDING_QUIET);
}

static void be_quiet(struct session *s)
{
	s->quiet = true;
	loop_disarm(s->loop, &s->counting);
	if (s->incoming)
		incoming_say_counters(s->incoming);
	fd_drop_stderr();
}

static void on_told(void *arg)
{
	struct session *s = arg;

	if (!s->quiet)
		be_quiet(s);
}

static void on_time(struct timer *t)
{
	be_quiet(container_of(t, struct session, counting));
}

void closing_begin(struct session *s)
{
	if (s->quiet || s->counting.index)
		return;
	loop_unwatch(s->loop, &s->program_watch);
	if (s->incoming && incoming_ask_counters(s->incoming, on_told, s)) {
		s->counting.on_due = on_time;
		loop_arm(s->loop, &s->counting, loop_now(s->loop) + COUNTING_TIME);
	} else {
		be_quiet(s);
	}
	quiet_others(s);
}

void closing_end(struct session *s)
{
	if (s->counting.index)
		be_quiet(s);
}
