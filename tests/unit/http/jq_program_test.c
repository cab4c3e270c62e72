// SPDX-License-Identifier: MIT
/* jq programs: what they decide, and that none of them holds us up or takes our memory. */
#include "http/jq_program.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "make_request.h"
#include "tap.h"

static const char lines[] = "GET /\nx-user: alice\nx-tag: b";

static int run(const char *program)
{
	struct error err = { 0 };
	struct jq *jq = jq_compile_text(span_of(program), &err);
	struct made_request m;
	int r = -2;

	make_request(&m, lines);
	if (jq)
		r = jq_any(jq, m.request.fields, m.request.n_fields);
	else
		printf("# %s\n", err.text);
	jq_free(jq);
	return r;
}

/* Processor time of the processes that are gone. */
static double spent_ms(void)
{
	struct rusage u;

	getrusage(RUSAGE_CHILDREN, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

static void test_rest(void)
{
	struct error err = { 0 };
	struct jq *jq = jq_compile_text(span_of("def f: f; f"), &err);
	struct made_request m;
	double begin;

	make_request(&m, lines);
	for (int i = 0; i < 3; i++)
		tap_int(jq_any(jq, m.request.fields, 2), JQ_TROUBLE, "an endless program, again");
	begin = spent_ms();
	for (int i = 0; i < 100; i++)
		if (jq_any(jq, m.request.fields, 2) != JQ_TROUBLE)
			tap_ok(false, "an endless program is trouble each time");
	tap_ok(spent_ms() - begin < 50 * JQ_LIMIT_MS, "after that it isn't tried for a while");
	begin = spent_ms();
	while (spent_ms() - begin < JQ_LIMIT_MS) {
		usleep(10000);
		jq_any(jq, m.request.fields, 2);
	}
	begin = spent_ms();
	for (int i = 0; i < 100; i++)
		jq_any(jq, m.request.fields, 2);
	tap_ok(spent_ms() - begin < 2 * JQ_LIMIT_MS, "then once, and not for a longer while");
	jq_free(jq);
}

int main(void)
{
	struct error err = { 0 };

	setenv("HOME", "/nonexistent", 1);
	tap_int(run("test(\"^x-user: \")"), 1, "a regular expression");
	tap_int(run("startswith(\"x-tag: \")"), 1, "of the second line alone");
	tap_int(run("test(\"bob\")"), 0, "of none");
	tap_int(run("1, \"a\", true"), 1, "the first boolean decides: true");
	tap_int(run("1, false, true"), 0, "the first boolean decides: false");
	tap_int(run("empty"), 0, "no result");
	tap_int(run(".a"), 0, "an error of the program's is no match");
	tap_str(getenv("HOME"), "/nonexistent", "the environment is as before");
	tap_int(run("def f: f; f"), JQ_TROUBLE, "an endless program");
	tap_int(run("[range(1e9)] | length == 0"), JQ_TROUBLE, "a program that eats memory");
	tap_int(run("(\"x\" * 1000000000) == \"\""), JQ_TROUBLE, "in one go");
	tap_int(run("input"), 0, "there is no other input");
	tap_ok(!jq_compile_text(span_of("}"), &err) && error_is_set(&err), "a program that doesn't compile");
	test_rest();
	return tap_done();
}
