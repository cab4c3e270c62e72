// SPDX-License-Identifier: MIT
/* What bounds a mux: credit, budget, the send queue, turns; and what it does about it. */
#include "tunnel/pair.h"

#include <malloc.h>

static bool got_all(void *arg)
{
	struct end *e = arg;

	return e->received == (size_t)e->errors;
}

/* More than the socket takes, from streams that each spend all their credit at once and then have nothing to say: nothing but the
 * transport itself tells the mux to go on. */
static void test_blocked(void)
{
	struct pair *p = pair_new(4);
	struct end *ends = calloc(4, sizeof(*ends));
	size_t sum = 0;

	for (unsigned int i = 0; i < 4; i++)
		end_open(p, SESSION, &ends[i], STREAM_TCP, i);
	pair_wait(p, 50, NULL, NULL);
	for (unsigned int i = 0; i < 4; i++) {
		ends[i].to_send = 64 << 10;
		end_push(&ends[i]);
	}
	tap_ok(p->sides[SESSION].mux->blocked, "the socket is full");
	pair_wait(p, 100, NULL, NULL);
	for (unsigned int i = 0; i < 4; i++)
		sum += p->sides[AGENT].ends[i].received;
	tap_int(sum, 4 * 64 << 10, "what it didn't take at once goes out later");
	pair_free(p);
	free(ends);
}

/* One stream's receiver never consumes; another's goes on. */
static void test_unread(void)
{
	struct pair *p = pair_new(2);
	struct end *ends = calloc(2, sizeof(*ends)), *held, *other;

	p->sides[AGENT].like = (struct end){ .hold = true };
	end_open(p, SESSION, &ends[0], STREAM_TCP, 1);
	pair_wait(p, 1000, end_is_opened, &ends[0]);
	p->sides[AGENT].like.hold = false;
	end_open(p, SESSION, &ends[1], STREAM_TCP, 2);
	pair_wait(p, 1000, end_is_opened, &ends[1]);
	held = &p->sides[AGENT].ends[0];
	other = &p->sides[AGENT].ends[1];
	ends[0].to_send = 1u << 30;
	end_push(&ends[0]);
	ends[1].to_send = 100 << 20;
	other->errors = 100 << 20;
	end_push(&ends[1]);
	tap_ok(pair_wait(p, 60000, got_all, other), "100 MiB pass a stream that nobody reads");
	tap_int(other->wrong, 0, "unchanged");
	tap_ok(held->received <= MUX_WINDOW && held->received == ends[0].sent, "which stands still at its window (%zu)", held->received);
	tap_int(p->sides[AGENT].mux->streams.n, 2, "and is open");
	held->hold = false;
	stream_consumed(held->s, held->unconsumed);
	held->unconsumed = 0;
	ends[0].to_send = held->errors = 10 << 20;
	tap_ok(pair_wait(p, 10000, got_all, held), "when it is read it goes on");
	tap_int(held->wrong, 0, "unchanged");
	pair_free(p);
	free(ends);
}

static struct stream *only_stream(struct mux *m)
{
	return container_of(table_first(&m->streams), struct stream, node);
}

static void test_window(bool fast)
{
	struct pair *p = pair_new(1);
	struct end *e = calloc(1, sizeof(*e)), *f = p->sides[AGENT].ends;

	p->sides[AGENT].like = (struct end){ .hold = true };
	end_open(p, SESSION, e, STREAM_TCP, 1);
	pair_wait(p, 1000, end_is_opened, e);
	f->hold = !fast;
	e->to_send = 4 << 20;
	end_push(e);
	for (int i = 0; i < 200 && !fast; i++) {
		pair_wait(p, 2, NULL, NULL);
		stream_consumed(f->s, f->unconsumed / 2);
		f->unconsumed -= f->unconsumed / 2;
	}
	f->errors = 4 << 20;
	if (fast)
		tap_ok(pair_wait(p, 5000, got_all, f), "a fast reader gets all");
	tap_int(only_stream(p->sides[AGENT].mux)->window, fast ? MUX_WINDOW : 64 << 10, fast ? "its window grew" : "a slow reader's didn't");
	pair_free(p);
	free(e);
}

static bool all_received(void *arg)
{
	struct pair *p = arg;

	for (unsigned int i = 0; i < p->sides[AGENT].n_ends; i++)
		if (p->sides[AGENT].ends[i].received != (size_t)p->sides[AGENT].ends[i].errors)
			return false;
	return true;
}

/* Every busy stream sends @bytes more, one after the other. */
static bool push_all(struct pair *p, struct end *ends, unsigned int n, unsigned int bytes)
{
	bool all = true;

	for (unsigned int i = 0; i < n; i++) {
		ends[i].to_send += bytes;
		p->sides[AGENT].ends[i].errors += (int)bytes;
		end_push(&ends[i]);
		all &= pair_wait(p, 60000, all_received, p);
	}
	return all;
}

/* Busy streams get as much of the budget as streams may. When they have gone idle, more new ones come than what is left is enough
 * for: the idle ones' credit is called back, and the budget is never exceeded. */
static void test_budget(void)
{
	enum { BUSY = 120, NEW = 20000, MORE = 2 << 20 };
	struct pair *p = pair_new(BUSY + NEW);
	struct end *ends = calloc(BUSY + NEW, sizeof(*ends));
	struct mux *agent = p->sides[AGENT].mux;
	size_t most = 0, opened = 0, wrong = 0;

	for (unsigned int i = 0; i < BUSY; i++)
		end_open(p, SESSION, &ends[i], STREAM_TCP, i);
	pair_wait(p, 50, NULL, NULL);
	tap_ok(push_all(p, ends, BUSY, MORE), "%d busy streams", BUSY);
	tap_ok(agent->budget_used > MUX_BUDGET / 2 && agent->budget_used <= MUX_BUDGET / 4 * 3, "have %zu MiB of the budget",
	       agent->budget_used >> 20);
	pair_wait(p, 1100, NULL, NULL);
	for (unsigned int i = BUSY; i < BUSY + NEW; i++) {
		end_open(p, SESSION, &ends[i], STREAM_TCP, i);
		if (i % 100 == 0)
			pair_wait(p, 1, NULL, NULL);
		most = agent->budget_used > most ? agent->budget_used : most;
	}
	pair_wait(p, 200, NULL, NULL);
	for (unsigned int i = 0; i < BUSY + NEW; i++)
		opened += ends[i].opened && !ends[i].reset;
	tap_int(opened, BUSY + NEW, "%d new ones open beside them when they are idle", NEW);
	tap_ok(most <= MUX_BUDGET, "the budget is never exceeded (%zu MiB)", most >> 20);
	tap_ok(push_all(p, ends, BUSY, 1 << 20), "those that gave credit back go on");
	for (unsigned int i = 0; i < BUSY; i++)
		wrong += p->sides[AGENT].ends[i].wrong;
	tap_int(wrong, 0, "with the right bytes");
	tap_ok(agent->budget_used <= MUX_BUDGET, "within the budget");
	for (unsigned int i = 0; i < BUSY + NEW; i++)
		stream_close(ends[i].s);
	pair_wait(p, 300, NULL, NULL);
	tap_int(p->sides[SESSION].mux->budget_used + agent->budget_used, 0, "closed, all give it back");
	tap_ok(!p->sides[0].gone && !p->sides[1].gone, "the tunnel lives");
	pair_free(p);
	free(ends);
}

int main(void)
{
	test_blocked();
	test_unread();
	test_window(true);
	test_window(false);
	test_budget();
	return tap_done();
}
