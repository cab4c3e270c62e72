// SPDX-License-Identifier: MIT
/* With the last filter goes the reason to look at requests, and maybe the agent itself: connections have to end, in a moment that does no harm.
 *
 * HTTP/1 has no word for it but a header, and no answer is changed. A client may just then send its next request, and see a reset. So a
 * connection ends when it has been quiet from one look to the next; one that never is, between two of its requests at last.
 * HTTP/2 says GOAWAY, first without a number: a stream that the client opens before it has heard that is served still (RFC 9113 §6.8). */
#include "agent/http_internal.h"

/* True when it is to be looked at again. */
static bool look_at(struct http_conn *c, bool late)
{
	bool quiet = c->quiet;

	if (!c->leaving || (c->stage != HTTP_DIVIDES && c->stage != HTTP_MULTIPLEXES))
		return false;
	if (late || c->stage == HTTP_MULTIPLEXES)
		c->leaving = HTTP_GOES;
	c->quiet = http_is_idle(c);
	if (c->stage == HTTP_DIVIDES && quiet && c->quiet)
		http_end(c);
	else if (c->leaving == HTTP_GOES)
		http_run(c);
	return c->stage == HTTP_DIVIDES && c->leaving == HTTP_LEAVES;
}

static void look_later(struct http_port *p)
{
	loop_arm(p->loop, &p->leave, loop_now(p->loop) + HTTP_QUIET_MS * (uint64_t)LOOP_MS);
}

static void on_due(struct timer *t)
{
	struct http_port *p = container_of(t, struct http_port, leave);
	bool any = false;

	for (struct list *n = p->conns.next, *next; n != &p->conns; n = next) {
		next = n->next;
		any |= look_at(container_of(n, struct http_conn, node), loop_now(p->loop) >= p->leave_until);
	}
	if (any)
		look_later(p);
}

void http_leave(struct http_port *p)
{
	for (struct list *n = p->conns.next, *next; n != &p->conns; n = next) {
		struct http_conn *c = container_of(n, struct http_conn, node);

		next = n->next;
		c->leaving = c->leaving ? c->leaving : HTTP_LEAVES;
		c->quiet = false;
		http_run(c);
	}
	p->leave.on_due = on_due;
	p->leave_until = loop_now(p->loop) + HTTP_BUSY_MS * (uint64_t)LOOP_MS;
	look_later(p);
}
