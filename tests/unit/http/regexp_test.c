// SPDX-License-Identifier: MIT
/* Regular expressions: the flavour, and that no pattern and no subject takes longer than the limit. */
#include "http/regexp.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "tap.h"

static int search(const char *pattern, unsigned int flags, const char *subject)
{
	struct error err = { 0 };
	struct regex *r = regex_compile(span_of(pattern), flags, &err);
	int found = -2;

	if (r)
		found = regex_search(r, span_of(subject));
	else
		printf("# %s\n", err.text);
	regex_free(r);
	return found;
}

static void test_flavour(void)
{
	static const struct {
		const char *pattern;
		unsigned int flags;
		const char *subject;
		int found;
	} rows[] = {
		{ "a.c", 0, "xxabcxx", 1 },
		{ "a.c", 0, "xxABCxx", 0 },
		{ "a.c", REGEX_CASELESS, "xxABCxx", 1 },
		{ "\xc3\xa9", REGEX_CASELESS, "CAF\xc3\x89", 1 },
		{ "^.$", 0, "\xc3\xa9", 1 },
		{ "^.$", 0, "\xe9", 0 },
		{ "^\\w$", 0, "\xc3\xa9", 1 },
		{ "a$", 0, "a\n", 0 },
		{ "^a", 0, "b\na", 0 },
		{ "(?m)^a", 0, "b\na", 1 },
		{ "a.b", 0, "a\rb", 1 },
		{ "a.b", 0, "a\nb", 0 },
		{ "a.b", REGEX_NO_BREAKS, "a\rb", 0 },
		{ "a|ab", REGEX_WHOLE, "ab", 1 },
		{ "a|ab", REGEX_WHOLE, "abc", 0 },
		{ "(?P<x>a)(?P=x)", 0, "aa", 1 },
		{ "(?<!a)b", 0, "ab", 0 },
		{ "", 0, "", 1 },
		{ "(?i)X", 0, "x", 1 },
		{ "\\p{Lu}", 0, "aB", 1 },
		{ "(*NO_JIT)b", 0, "ab", 1 },
		{ "(*NO_JIT)(*UTF)b$", 0, "\xc3\xa9", 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		tap_int(search(rows[i].pattern, rows[i].flags, rows[i].subject), rows[i].found, "/%s/ flags %u on row %zu", rows[i].pattern,
			rows[i].flags, i);
}

static double cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)u.ru_utime.tv_sec * 1e6 + (double)u.ru_utime.tv_usec + (double)u.ru_stime.tv_sec * 1e6 + (double)u.ru_stime.tv_usec;
}

enum { TRIES = 5, TRIES_MAX = 200 };

/* The least of some tries is the pattern's own time: the others have that of the machine in them (its caches, its hypervisor), which may last a
 * while; so one that is over @limit is tried for longer. */
static double time_of(const struct regex *r, struct span subject, double limit)
{
	double least = 1e9;

	for (int i = 0; i < TRIES || (least >= limit && i < TRIES_MAX); i++) {
		double begin = cpu_us(), took;

		regex_search(r, subject);
		took = cpu_us() - begin;
		if (took < least)
			least = took;
	}
	return least;
}

static void test_limits(void)
{
	static const char *const patterns[] = {
		"(a+)+$", "(a|aa)+$", "(.*)*b", "^(([a-z])+.)+[A-Z]([a-z])+$", "x.*y.*z", "(?>.*)x", "(?:a?){30}a{30}", "(a*)*b", "a.*+b",
		"(\\w+\\s?)*!", "^(a+)+$", ".*.*.*=q", "(?=.*b)a", "(?=.*[bx])[ac](?=.*[xy])z", "(a)(?=(\\1*)*b)", "(x(?R)?y|a)*[kb]", "[^b]*[bx]y",
		"[a-c].*[a-c].*[xy]", "^.*[a-c].*[a-c].*[a-c].*[xy]", "^(?:.*a){3}.*[xy]", "^(?:[a-c]|ab|bc)*[xy]", "^(\\w*\\w*\\w*)[xy]",
		"(?:a|b|c|ab|bc|ca)*x", "(?<=a{200})q", "((a{0,20}){0,20}){0,20}[xy]", "(?:(?=(a+))a*b\\1)x", "\\b(?:\\w+\\W*)+[xy]$",
	};
	static char a[65000], mixed[65000], ends[65000];
	static const size_t sizes[] = { 30, 200, 1000, 8000, 30000, 65000 };
	const double limit = getenv("ASAN_OPTIONS") ? 20000 : 2000; /* twice what is promised, for a machine half as fast */

	memset(a, 'a', sizeof(a));
	memset(ends, 'a', sizeof(ends));
	for (size_t i = 0; i < sizeof(mixed); i++)
		mixed[i] = "abcabacb"[(i * 7 + i / 3) % 8];
	ends[sizeof(ends) - 1] = 'b';
	for (size_t i = 0; i < sizeof(patterns) / sizeof(*patterns); i++) {
		struct error err = { 0 };
		struct regex *r = regex_compile(span_of(patterns[i]), REGEX_CASELESS, &err);
		double most = 0;

		for (size_t k = 0; r && k < sizeof(sizes) / sizeof(*sizes); k++) {
			const struct span subjects[] = { { a, sizes[k] }, { mixed, sizes[k] }, { ends + sizeof(ends) - sizes[k], sizes[k] } };

			for (size_t s = 0; s < 3; s++) {
				double took = time_of(r, subjects[s], limit);

				most = took > most ? took : most;
			}
		}
		tap_ok(r && most < limit, "/%s/ takes %.0f us at most", patterns[i], most);
		regex_free(r);
	}
}

/* A long subject alone is no reason to give up. */
static void test_long_subjects(void)
{
	static char text[60000];
	struct span subject = { text, sizeof(text) };
	static const char *const patterns[] = { "needle", "session=[a-z]+;", "^cookie: .*needle", "(?:session|token)=abc", "e.{2}le$", "[n]eed" };
	struct error err = { 0 };
	int found;

	memset(text, '-', sizeof(text));
	memcpy(text, "cookie: ", 8);
	memcpy(text + sizeof(text) - 20, "session=abc;--needle", 20);
	for (size_t i = 0; i < sizeof(patterns) / sizeof(*patterns); i++) {
		struct regex *r = regex_compile(span_of(patterns[i]), REGEX_CASELESS, &err);

		found = REGEX_TOO_LONG;
		for (int k = 0; k < TRIES_MAX && found == REGEX_TOO_LONG; k++) /* the machine's part of the time again */
			found = regex_search(r, subject);
		tap_int(found, 1, "/%s/ is found at the end of %zu bytes", patterns[i], sizeof(text));
		regex_free(r);
	}
	tap_int(search("^(a|b|ab)*c$", 0, "abababababababababababababababababababababc"), 1, "a pattern that could explode, where it doesn't");
}

int main(void)
{
	struct error err = { 0 };

	test_flavour();
	tap_ok(!regex_compile(span_of("a(b"), 0, &err), "a pattern that is none");
	tap_str(err.text, "offset 3: missing closing parenthesis", "where, and why");
	test_limits();
	test_long_subjects();
	return tap_done();
}
