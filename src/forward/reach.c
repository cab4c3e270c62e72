// SPDX-License-Identifier: MIT
/* One address after the other. One that says nothing is given up after PATIENCE, but for the last, which has the kernel's own. */
#include "forward/reach.h"

#include <errno.h>
#include <string.h>

#define PATIENCE (3 * LOOP_SECOND)

static int try_next(struct reach *r);

static void finish(struct reach *r, int error)
{
	loop_disarm(r->loop, &r->timer);
	r->done(r->arg, error);
}

static void go_on(struct reach *r, int error)
{
	r->dial = NULL;
	if (++r->at < r->n)
		error = try_next(r);
	if (error != EINPROGRESS)
		finish(r, error);
}

static void on_dialed(void *arg, int error)
{
	struct reach *r = arg;

	if (error)
		go_on(r, error);
	else
		finish(r, 0);
}

static void on_timer(struct timer *t)
{
	struct reach *r = container_of(t, struct reach, timer);

	r->egress->ops->abandon(r->dial);
	go_on(r, ETIMEDOUT);
}

static int try_next(struct reach *r)
{
	int error = EHOSTUNREACH;

	for (; r->at < r->n; r->at++) {
		const struct endpoint to = { .ip = r->ips[r->at], .port = r->port }, any = { .ip = ip_is_v4(&to.ip) ? IP_ANY4 : IP_ANY6 };

		error = r->egress->ops->dial(r->egress, &any, &to, on_dialed, r, &r->dial);
		if (error == EINPROGRESS && r->at + 1 < r->n)
			loop_arm(r->loop, &r->timer, loop_now(r->loop) + PATIENCE);
		else
			loop_disarm(r->loop, &r->timer);
		if (error == 0 || error == EINPROGRESS)
			return error;
		r->dial = NULL;
	}
	return error;
}

void reach_set_addresses(struct reach *r, const struct ip *ips, size_t n)
{
	r->n = n < REACH_ADDRESSES ? n : REACH_ADDRESSES;
	memcpy(r->ips, ips, r->n * sizeof(*ips));
}

int reach_start(struct reach *r)
{
	r->at = 0;
	r->timer.on_due = on_timer;
	return try_next(r);
}

void reach_abandon(struct reach *r)
{
	if (r->loop)
		loop_disarm(r->loop, &r->timer);
	if (r->dial)
		r->egress->ops->abandon(r->dial);
	r->dial = NULL;
}
