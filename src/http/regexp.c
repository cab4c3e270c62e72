// SPDX-License-Identifier: MIT
/* How a search is bounded.
 *
 * PCRE2's match limit counts steps of backtracking, and starts anew at each place of the subject where a match may begin. Some steps
 * aren't counted at all: `(?=.*b)` runs to the end of the subject from each place, which is quadratic without a single step back. So
 * the limit alone bounds nothing. Here a search goes slice by slice: some of the places are tried at a time (the offset limit), so few
 * that with all of its steps used up, and all of the subject run over from each place, a slice takes a fraction of REGEX_LIMIT_US; and
 * between them the clock is read. Most searches are one slice. When one uses up its steps, its places are tried again one by one, each
 * with all the steps for itself: a long header value isn't given up only because its length makes the slices poor.
 *
 * Of a long subject each slice has a few places only, and a call for each costs more than the search. So places whose byte no match begins
 * with are passed over before: PCRE2 knows these bytes of most patterns. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "http/regexp.h"

#include <assert.h>
#include <errno.h>
#include <pcre2.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	SLICE_STEPS = 100000, /* 1 to 4 ns each */
	SLICE_BYTES = 400000, /* run over, by half on average, 0.5 ns each */
	SLOWER = 16,	      /* by so much is the interpreter, for a kernel that forbids the JIT */
	DEPTH_MAX = 1000,     /* these two for the interpreter */
	HEAP_MAX = 512,	      /* KiB */
	STACK_MIN = 32 << 10, /* of the JIT's code, one for all */
	STACK_MAX = 512 << 10,
	PATTERN_MAX = 64 << 10,
	UNWATCHED = 8,	      /* searches between two looks at the clock */
};

struct regex {
	pcre2_code *code;
	bool anchored, jit;
	bool has_first;	   /* each match begins with a byte that `first` has */
	bool first[256];
};

/* Shared by all: nothing of a search is kept. */
static pcre2_match_context *context;
static pcre2_match_data *match_data;
static pcre2_jit_stack *stack;

static bool prepare(void)
{
	if (stack)
		return true;
	if (!context)
		context = pcre2_match_context_create(NULL);
	if (!match_data)
		match_data = pcre2_match_data_create(1, NULL);
	if (!context || !match_data)
		return false;
	stack = pcre2_jit_stack_create(STACK_MIN, STACK_MAX, NULL);
	if (!stack)
		return false;
	pcre2_jit_stack_assign(context, NULL, stack);
	pcre2_set_depth_limit(context, DEPTH_MAX);
	pcre2_set_heap_limit(context, HEAP_MAX);
	return true;
}

static pcre2_code *compile(struct span pattern, unsigned int flags, struct error *err)
{
	uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C |
			   PCRE2_USE_OFFSET_LIMIT;
	pcre2_compile_context *c = pcre2_compile_context_create(NULL);
	pcre2_code *code;
	uint8_t why[256];
	PCRE2_SIZE offset;
	int error;

	if (!c) {
		error_set(err, ENOMEM, "compile a regular expression");
		return NULL;
	}
	pcre2_set_max_pattern_length(c, PATTERN_MAX);
	pcre2_set_newline(c, flags & REGEX_NO_BREAKS ? PCRE2_NEWLINE_ANYCRLF : PCRE2_NEWLINE_LF);
	if (flags & REGEX_WHOLE)
		options |= PCRE2_ANCHORED | PCRE2_ENDANCHORED;
	if (flags & REGEX_CASELESS)
		options |= PCRE2_CASELESS;
	code = pcre2_compile((const uint8_t *)pattern.at, pattern.len, options, &error, &offset, c);
	pcre2_compile_context_free(c);
	if (!code) {
		pcre2_get_error_message(error, why, sizeof(why));
		error_set(err, 0, "offset %zu: %s", offset, (const char *)why);
	}
	return code;
}

/* pcre2api(3), PCRE2_INFO_FIRSTCODETYPE and PCRE2_INFO_FIRSTBITMAP. Whether case counts for the first code unit isn't told, so it never does
 * here; a letter that has a third case (k, s) is none. */
static void learn_first_bytes(struct regex *r)
{
	const uint8_t *bitmap = NULL;
	uint32_t type = 0, unit = 0;

	pcre2_pattern_info(r->code, PCRE2_INFO_FIRSTCODETYPE, &type);
	pcre2_pattern_info(r->code, PCRE2_INFO_FIRSTCODEUNIT, &unit);
	pcre2_pattern_info(r->code, PCRE2_INFO_FIRSTBITMAP, &bitmap);
	if (type == 1 && unit < 128) {
		r->first[unit] = true;
		if ((unit | 0x20) >= 'a' && (unit | 0x20) <= 'z')
			r->first[unit ^ 0x20] = true;
		r->has_first = true;
	} else if (type == 0 && bitmap) {
		for (size_t i = 0; i < 256; i++)
			r->first[i] = bitmap[i / 8] & 1u << i % 8;
		r->has_first = true;
	}
}

struct regex *regex_compile(struct span pattern, unsigned int flags, struct error *err)
{
	struct regex *r = prepare() ? calloc(1, sizeof(*r)) : NULL;
	uint32_t options;
	size_t size;

	if (!r) {
		error_set(err, ENOMEM, "compile a regular expression");
		return NULL;
	}
	r->code = compile(pattern, flags, err);
	if (!r->code) {
		free(r);
		return NULL;
	}
	r->jit = pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE) == 0 && pcre2_pattern_info(r->code, PCRE2_INFO_JITSIZE, &size) == 0 &&
		 size; /* none when the pattern begins with (*NO_JIT) */
	pcre2_pattern_info(r->code, PCRE2_INFO_ALLOPTIONS, &options);
	r->anchored = options & PCRE2_ANCHORED;
	learn_first_bytes(r);
	return r;
}

void regex_free(struct regex *r)
{
	if (!r)
		return;
	pcre2_code_free(r->code);
	free(r);
}

static uint64_t clock_us(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* The time that a search has, or several. On a busy machine some of it is others': only processor time counts. Reading that clock is a system call,
 * so it is read when the other one, which is cheap, says that the time may be up. */
static void time_begin(struct regex_budget *t, unsigned int us)
{
	t->end = clock_us(CLOCK_MONOTONIC) + us;
	t->cpu_end = clock_us(CLOCK_THREAD_CPUTIME_ID) + us;
}

static bool time_is_up(struct regex_budget *t)
{
	uint64_t now = clock_us(CLOCK_MONOTONIC), cpu;

	if (now <= t->end)
		return false;
	cpu = clock_us(CLOCK_THREAD_CPUTIME_ID);
	if (cpu > t->cpu_end)
		return true;
	t->end = now + (t->cpu_end - cpu);
	return false;
}

/* Most requests don't get to the first look. */
bool regex_budget_is_spent(struct regex_budget *b)
{
	if (b->spent || ++b->searches % UNWATCHED)
		return b->spent;
	if (!b->end)
		time_begin(b, REGEX_BUDGET_US);
	b->spent = time_is_up(b);
	return b->spent;
}

/* Tries the places from @from on, before @to, each with @steps. */
static int try_places(const struct regex *r, struct span subject, size_t from, size_t to, size_t steps)
{
	const uint8_t *text = (const uint8_t *)(subject.at ? subject.at : "");
	int n;

	pcre2_set_offset_limit(context, to - 1);
	pcre2_set_match_limit(context, (uint32_t)steps);
	if (r->jit)
		n = pcre2_jit_match(r->code, text, subject.len, from, 0, match_data, context);
	else
		n = pcre2_match(r->code, text, subject.len, from, 0, match_data, context);
	if (n >= 0)
		return 1;
	return n == PCRE2_ERROR_NOMATCH ? 0 : REGEX_TOO_LONG;
}

/* The places from @from on, before @to, one by one. */
static int try_each(const struct regex *r, struct span subject, size_t from, size_t to, size_t steps, struct regex_budget *limit)
{
	for (size_t at = from; at < to; at++) {
		int found = try_places(r, subject, at, at + 1, steps);

		if (found)
			return found;
		if (time_is_up(limit))
			return REGEX_TOO_LONG;
	}
	return 0;
}

/* The next place from @from on where a match may begin, before @places; @places when there is none. */
static size_t next_place(const struct regex *r, struct span subject, size_t from, size_t places)
{
	if (!r->has_first || r->anchored)
		return from;
	while (from < subject.len && !r->first[(uint8_t)subject.at[from]])
		from++;
	return from < subject.len ? from : places;
}

int regex_search(const struct regex *r, struct span subject)
{
	size_t places = r->anchored ? 1 : subject.len + 1;
	size_t steps = r->jit ? SLICE_STEPS : SLICE_STEPS / SLOWER;
	size_t slice = SLICE_BYTES / (subject.len + 1) + 1;
	struct regex_budget limit = { 0 };
	int found = 0;

	if (slice > places)
		slice = places;
	assert(slice > 0);
	for (size_t at = next_place(r, subject, 0, places), to; at < places && !found; at = next_place(r, subject, to, places)) {
		to = at + slice < places ? at + slice : places;
		found = try_places(r, subject, at, to, steps / slice + 1);
		if (found == 1 || (found == 0 && to == places) || places == 1)
			break;
		if (!limit.end)
			time_begin(&limit, REGEX_LIMIT_US);
		if (found == REGEX_TOO_LONG)
			found = try_each(r, subject, at, to, steps, &limit);
		if (!found && time_is_up(&limit))
			return REGEX_TOO_LONG;
	}
	return found;
}
