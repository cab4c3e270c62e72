// SPDX-License-Identifier: MIT
/* Answers of jq programs, which run beside the agent: nobody waits for them but the requests that asked. */
#include "agent/http_internal.h"
#include "http/jq_program.h"

static struct loop *loop;
static struct watch answers;
static struct timer step;

static void work(void)
{
	if (jq_work())
		loop_arm(loop, &step, loop_now(loop) + JQ_STEP_MS * (uint64_t)LOOP_MS);
	else
		loop_disarm(loop, &step);
}

static void on_answers(struct watch *w, uint32_t events)
{
	work();
}

static void on_step(struct timer *t)
{
	work();
}

void http_jq_expect(struct loop *l)
{
	loop = l;
	step.on_due = on_step;
	if (!answers.added)
		loop_watch(loop, &answers, jq_descriptor(), EPOLLIN, on_answers);
	if (!step.index)
		loop_arm(loop, &step, loop_now(loop) + JQ_STEP_MS * (uint64_t)LOOP_MS);
}
