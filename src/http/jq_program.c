// SPDX-License-Identifier: MIT
/* Questions to jq programs.
 *
 *   jq_ask ──► waiting: first, … ──► the runner (jq_runner.c) ──► answered
 *
 * A program's questions wait in a row; the runner has the first. Who asks goes on with other things meanwhile. When there is no answer in time the
 * runner is killed, and another one is started at once, which compiles the program while nobody waits for it.
 *
 * So that requests which make the program fail again and again can't keep those behind them waiting again and again, there is a
 * rest after JQ_STRIKES failures in a row, in which every request is trouble at once; then a single failure is enough for the next rest, which is
 * twice as long, up to JQ_REST_MAX_MS. An answer in time ends all that.
 *
 * All runners are in one epoll descriptor: there is one thing to watch, however many programs come and go. */
#include "http/jq_program.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/list.h"
#include "http/jq_runner.h"

enum {
	JQ_STRIKES = 3,
	JQ_REST_MS = 1000,
	JQ_REST_MAX_MS = 64 * JQ_REST_MS,
	JQ_START_MS = 2000,
	JQ_WAIT_MS = 10000,
	JQ_INPUT_MAX = 8 * HTTP_HEAD_MAX,
};

struct jq_question {
	struct jq_question *next;   /* of the same request */
	struct list node;	    /* of the same program */
	struct jq *jq;		    /* NULL: it is gone */
	struct jq_answers *answers; /* NULL: nobody wants to know any more */
	int answer;
	char *text;
	size_t len, sent;
};

struct jq {
	struct list node; /* of all */
	char *text;
	struct jq_runner runner;
	struct list waiting, answered;
	uint64_t end_ms, spent_end_ms; /* of the first that waits */
	unsigned int strikes, rest_ms;
	uint64_t rest_until;
};

static struct list all = { &all, &all };

int jq_descriptor(void)
{
	static int epoll = -1;

	if (epoll < 0)
		epoll = epoll_create1(EPOLL_CLOEXEC);
	return epoll;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

struct jq *jq_compile_text(struct span text, struct error *err)
{
	struct jq *jq;

	if (memchr(text.at, '\0', text.len)) {
		error_set(err, 0, "a jq program can't have a NUL in it");
		return NULL;
	}
	jq = calloc(1, sizeof(*jq));
	if (!jq || !(jq->text = strndup(text.at, text.len))) {
		free(jq);
		error_set(err, ENOMEM, "compile a jq program");
		return NULL;
	}
	jq->runner.sock = -1;
	list_init(&jq->waiting);
	list_init(&jq->answered);
	list_append(&all, &jq->node);
	if (jq_runner_check(jq->text, err) == 0)
		return jq;
	jq_free(jq);
	return NULL;
}

/* The runner */

static void watch(struct jq *jq, int operation, uint32_t events)
{
	struct epoll_event event = { .events = events };

	epoll_ctl(jq_descriptor(), operation, jq->runner.sock, &event);
}

static void start(struct jq *jq)
{
	if (jq->runner.pid)
		return;
	jq_runner_start(&jq->runner, jq->text);
	if (jq->runner.pid)
		watch(jq, EPOLL_CTL_ADD, EPOLLIN);
}

static void stop(struct jq *jq)
{
	if (jq->runner.pid)
		watch(jq, EPOLL_CTL_DEL, 0);
	jq_runner_stop(&jq->runner);
}

static struct jq_question *first_of(struct jq *jq)
{
	return list_empty(&jq->waiting) ? NULL : container_of(jq->waiting.next, struct jq_question, node);
}

/* A runner that isn't ready yet has time to become so. */
static void begin_time(struct jq *jq)
{
	jq->end_ms = now_ms() + JQ_WAIT_MS;
	jq->spent_end_ms = jq_runner_spent_ms(&jq->runner) + (jq->runner.ready ? JQ_LIMIT_MS : JQ_START_MS);
}

static bool time_is_up(const struct jq *jq)
{
	return now_ms() >= jq->end_ms || jq_runner_spent_ms(&jq->runner) >= jq->spent_end_ms;
}

/* What doesn't go now follows when there is room. What is wrong with the runner is seen when its answer is read. */
static void push(struct jq *jq, struct jq_question *q)
{
	ssize_t n = send(jq->runner.sock, q->text + q->sent, q->len - q->sent, MSG_NOSIGNAL);

	q->sent += n > 0 ? (size_t)n : 0;
	watch(jq, EPOLL_CTL_MOD, q->sent < q->len ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* The first question is the runner's now. */
static void begin(struct jq *jq)
{
	struct jq_question *q = first_of(jq);

	if (!q)
		return;
	start(jq);
	begin_time(jq);
	if (jq->runner.pid)
		push(jq, q);
}

static void question_free(struct jq_question *q)
{
	list_remove(&q->node);
	free(q->text);
	free(q);
}

static void give(struct jq_question *q, int answer)
{
	struct jq_answers *a = q->answers;

	if (!a) {
		question_free(q);
		return;
	}
	list_remove(&q->node);
	if (q->jq)
		list_append(&q->jq->answered, &q->node);
	free(q->text);
	q->text = NULL;
	q->answer = answer;
	if (--a->pending == 0 && a->on_answers)
		a->on_answers(a);
}

static bool is_resting(struct jq *jq)
{
	if (jq->rest_until && now_ms() >= jq->rest_until)
		jq->rest_until = 0;
	return jq->rest_until;
}

/* The first question has no answer. */
static void trouble(struct jq *jq)
{
	stop(jq);
	start(jq);
	if (++jq->strikes >= JQ_STRIKES) {
		jq->rest_ms = !jq->rest_ms ? JQ_REST_MS : jq->rest_ms < JQ_REST_MAX_MS ? 2 * jq->rest_ms : JQ_REST_MAX_MS;
		jq->rest_until = now_ms() + jq->rest_ms;
	}
	do
		give(first_of(jq), JQ_TROUBLE);
	while (is_resting(jq) && first_of(jq));
	begin(jq);
}

/* A byte of the runner's. */
static void take(struct jq *jq, char c)
{
	if (c == '!') {
		jq->runner.ready = true;
		begin_time(jq);
	} else if (first_of(jq)) {
		jq->strikes = jq->rest_ms = 0;
		give(first_of(jq), c == '1');
		begin(jq);
	}
}

/* Its answers are taken. False: it is gone. */
static bool listen_to(struct jq *jq)
{
	ssize_t n = 1;
	char c;

	while (jq->runner.pid && n == 1) {
		n = recv(jq->runner.sock, &c, 1, 0);
		if (n == 1)
			take(jq, c);
	}
	return jq->runner.pid && n < 0 && errno == EAGAIN;
}

static void work(struct jq *jq)
{
	bool alive = listen_to(jq);
	struct jq_question *q = first_of(jq);

	jq_runner_reap(&jq->runner);
	if (q && (!alive || time_is_up(jq)))
		trouble(jq);
	else if (!alive)
		stop(jq);
	else if (q && q->sent < q->len)
		push(jq, q);
}

bool jq_work(void)
{
	bool pending = false;

	for (struct list *n = all.next; n != &all; n = n->next) {
		struct jq *jq = container_of(n, struct jq, node);

		work(jq);
		pending |= first_of(jq) || jq->runner.dying;
	}
	return pending;
}

/* Asking */

/* Fields beyond JQ_INPUT_MAX bytes in all aren't looked at. */
static bool write_text(struct jq_question *q, const struct http_field *fields, size_t n)
{
	size_t room = sizeof(uint32_t), at = sizeof(uint32_t);
	uint32_t count = 0;

	while (count < n && room + sizeof(uint32_t) + fields[count].len <= JQ_INPUT_MAX)
		room += sizeof(uint32_t) + fields[count++].len;
	q->text = malloc(room);
	if (!q->text)
		return false;
	memcpy(q->text, &count, sizeof(count));
	for (uint32_t i = 0; i < count; i++) {
		memcpy(q->text + at, &fields[i].len, sizeof(uint32_t));
		memcpy(q->text + at + sizeof(uint32_t), fields[i].line, fields[i].len);
		at += sizeof(uint32_t) + fields[i].len;
	}
	q->len = room;
	return true;
}

static struct jq_question *question_new(struct jq *jq, struct jq_answers *a)
{
	struct jq_question *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->jq = jq;
	q->answers = a;
	q->next = a->first;
	a->first = q;
	return q;
}

static int ask(struct jq *jq, struct jq_answers *a, const struct http_field *fields, size_t n)
{
	struct jq_question *q = question_new(jq, a);

	if (!q)
		return JQ_TROUBLE;
	if (is_resting(jq) || !write_text(q, fields, n)) {
		list_append(&jq->answered, &q->node);
		return JQ_TROUBLE;
	}
	q->answer = JQ_PENDING;
	a->pending++;
	list_append(&jq->waiting, &q->node);
	if (q == first_of(jq))
		begin(jq);
	return JQ_PENDING;
}

int jq_ask(struct jq *jq, struct jq_answers *a, const struct http_field *fields, size_t n)
{
	for (struct jq_question *q = a->first; q; q = q->next) {
		int answer = q->answer;

		if (q->jq != jq)
			continue;
		if (answer == JQ_TROUBLE)
			q->answer = 0;
		return answer;
	}
	return ask(jq, a, fields, n);
}

void jq_answers_fini(struct jq_answers *a)
{
	while (a->first) {
		struct jq_question *q = a->first;

		a->first = q->next;
		q->answers = NULL;
		if (!q->jq || q->answer != JQ_PENDING || q != first_of(q->jq)) /* the runner has that one */
			question_free(q);
	}
	a->pending = 0;
}

int jq_any(struct jq *jq, const struct http_field *fields, size_t n)
{
	struct pollfd p = { .fd = jq_descriptor(), .events = POLLIN };
	struct jq_answers a = { 0 };
	int answer;

	while ((answer = jq_ask(jq, &a, fields, n)) == JQ_PENDING) {
		poll(&p, 1, JQ_STEP_MS);
		jq_work();
	}
	jq_answers_fini(&a);
	return answer;
}

void jq_free(struct jq *jq)
{
	struct list *n;

	if (!jq)
		return;
	stop(jq);
	jq_runner_fini(&jq->runner);
	while ((n = list_pop(&jq->answered)))
		container_of(n, struct jq_question, node)->jq = NULL;
	while ((n = list_pop(&jq->waiting))) {
		struct jq_question *q = container_of(n, struct jq_question, node);

		q->jq = NULL;
		give(q, JQ_TROUBLE);
	}
	list_remove(&jq->node);
	free(jq->text);
	free(jq);
}
