// SPDX-License-Identifier: MIT
/* jq programs on header lines. libjq has no limits of its own, and ends its process without memory; so a program runs in a process of its
 * own, which is started when it is first needed and has no descriptor but its way to us. */
#pragma once

#include "base/error.h"
#include "http/request.h"

struct jq;
struct jq_question;

enum {
	JQ_LIMIT_MS = 50,
	JQ_STEP_MS = 10,
	JQ_MEMORY = 64 << 20,
	JQ_TROUBLE = -1,
	JQ_PENDING = -2,
};

/* What jq programs say of one request. Embedded, zero-initialised. */
struct jq_answers {
	struct jq_question *first;
	size_t pending;
	/* The last one that was pending is there; may be NULL. Only to be taken note of: nothing of jq's may be called in it. */
	void (*on_answers)(struct jq_answers *a);
};

/* Checks the program. NULL with @err: no libjq here, or what is wrong with the program. */
struct jq *jq_compile_text(struct span text, struct error *err);
/* Questions that are open are trouble. */
void jq_free(struct jq *jq);
/* Runs the program on each line as a JSON string; its first boolean result decides. 1: true of one line; 0: of none; JQ_TROUBLE: it took
 * more than JQ_LIMIT_MS of processor time or JQ_MEMORY bytes, or there is no process to run it in. JQ_PENDING: to be asked again after
 * on_answers. An answer is kept in @a: trouble is told once, and is no match from then on. */
int jq_ask(struct jq *jq, struct jq_answers *a, const struct http_field *fields, size_t n);
/* Nobody wants to know any more. */
void jq_answers_fini(struct jq_answers *a);
/* The same, waiting for it. */
int jq_any(struct jq *jq, const struct http_field *fields, size_t n);

/* For who doesn't wait: a descriptor that is readable when jq_work() has something to do; -1 with errno. */
int jq_descriptor(void);
/* Takes answers. True while something is pending: then it is to be called after JQ_STEP_MS at the latest, too. */
bool jq_work(void);
