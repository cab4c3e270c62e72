// SPDX-License-Identifier: MIT
/* Several agents that are asked for the same: what all of them together say, while they come and go. */
#include "session/sources.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "tap.h"

static const struct incoming_options options = { .mode = INCOMING_STEAL, .who = "ann" };
static const struct kube_probes probes;
static const struct mux_events events;

/* A tunnel whose other end nobody reads. */
static struct mux *a_mux(struct loop *loop)
{
	struct error err = { 0 };
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		abort();
	return mux_new(loop, MUX_SESSION, pair[0], pair[0], &events, NULL, &err);
}

/* What an agent says to its subscription @id. */
static void answer(struct source *source, uint32_t id, bool refused)
{
	struct subscribed s = { .id = id };
	uint8_t *data;
	size_t len = 0;

	if (refused)
		error_set(&s.refused, EADDRINUSE, "bob has it");
	data = subscribed_encode(&s, &len);
	wants_on_answer(source->wants, data, len);
	free(data);
}

static struct wanted port(uint16_t local, uint16_t target)
{
	struct wanted w = { .port = target };

	w.socket.protocol = IPPROTO_TCP;
	w.socket.local.ip = IP_ANY4;
	w.socket.local.port = local;
	return w;
}

static void test_states(struct mux **mux)
{
	struct wanted w = port(3000, 80);
	struct source *source[2];
	struct sources s;

	sources_init(&s);
	tap_int(sources_state(&s, IPPROTO_TCP, 80), 0, "nobody is asked and nobody awaited");
	s.awaited = true;
	tap_int(sources_state(&s, IPPROTO_TCP, 80), EINPROGRESS, "somebody is awaited");
	tap_ok(!sources_has(&s, IPPROTO_TCP, 80), "nobody has it");
	for (int i = 0; i < 2; i++)
		source[i] = sources_add(&s, mux, &options, &probes);
	sources_update(&s, &w, 1);
	tap_int(sources_count(&s), 2, "both are asked");
	tap_ok(sources_has(&s, IPPROTO_TCP, 80) && sources_listens(&s, IPPROTO_TCP, 3000) && !sources_listens(&s, IPPROTO_TCP, 80), "for the port");
	answer(source[0], 1, true);
	tap_int(sources_state(&s, IPPROTO_TCP, 80), EINPROGRESS, "one has answered");
	answer(source[1], 1, false);
	tap_int(sources_state(&s, IPPROTO_TCP, 80), 0, "one refuses, one gives it");
	sources_drop(&s, source[1]);
	tap_int(sources_state(&s, IPPROTO_TCP, 80), EADDRINUSE, "the one that is left refuses");
	source[1] = sources_add(&s, mux, &options, &probes);
	tap_ok(!sources_has(&s, IPPROTO_TCP, 80), "one that has come has it not");
	sources_update(&s, &w, 1);
	tap_int(sources_state(&s, IPPROTO_TCP, 80), EINPROGRESS, "and is asked");
	sources_fini(&s);
	tap_ok(sources_used(&s), "something was subscribed once");
}

static void test_counters(struct mux **mux)
{
	uint64_t totals[COUNTERS] = { 0 };
	struct source *source[2], *left;
	struct sources s;
	uint8_t data[512];

	sources_init(&s);
	for (int i = 0; i < 2; i++) {
		source[i] = sources_add(&s, mux, &options, &probes);
		for (unsigned int turn = 1; turn <= 2; turn++) {
			totals[0] = turn * (i ? 100 : 1);
			sources_on_counters(source[i], data, counters_encode(totals, data, sizeof(data)));
		}
	}
	tap_int(sources_counter(&s, 0), 202, "each one's last word");
	sources_drop(&s, source[0]);
	tap_int(sources_counter(&s, 0), 202, "also of one that is gone");
	left = sources_move(&s, source[1], mux);
	tap_int(sources_counter(&s, 0), 202, "and of an agent that another one follows");
	sources_on_counters(source[1], data, counters_encode(totals, data, sizeof(data)));
	tap_int(sources_counter(&s, 0), 402, "which counts from the start");
	totals[0] = 207;
	sources_on_counters(left, data, counters_encode(totals, data, sizeof(data)));
	tap_int(sources_counter(&s, 0), 409, "while the one before counts on");
	sources_drop(&s, left);
	tap_int(sources_counter(&s, 0), 409, "until it is gone");
	tap_ok(!sources_move(&s, source[1], NULL), "one that is gone isn't heard any more");
	tap_int(sources_counter(&s, 0), 409, "but counts");
	sources_fini(&s);
}

static void test_asked_for_counters(struct mux **mux)
{
	static const uint64_t once[COUNTERS] = { [COUNTER_ASKED] = 1, [COUNTER_STOLEN] = 5 }, before[COUNTERS] = { [COUNTER_STOLEN] = 4 };
	static const uint64_t twice[COUNTERS] = { [COUNTER_ASKED] = 2, [COUNTER_STOLEN] = 6 };
	struct mux *lost = NULL;
	struct source *source, *left;
	struct sources s;
	uint8_t data[512];

	sources_init(&s);
	source = sources_add(&s, mux, &options, &probes);
	sources_add(&s, &lost, &options, &probes);
	sources_ask_counters(&s);
	sources_on_counters(source, data, counters_encode(before, data, sizeof(data)));
	tap_ok(!sources_have_told(&s), "what was on its way is no answer");
	sources_on_counters(source, data, counters_encode(once, data, sizeof(data)));
	tap_ok(sources_have_told(&s) && sources_counter(&s, COUNTER_STOLEN) == 5, "an answer; nobody waits for one that is lost");
	left = sources_move(&s, source, mux);
	sources_ask_counters(&s);
	sources_on_counters(source, data, counters_encode(once, data, sizeof(data)));
	tap_ok(!sources_have_told(&s), "one that was left is asked, too");
	sources_on_counters(left, data, counters_encode(twice, data, sizeof(data)));
	tap_ok(sources_have_told(&s) && sources_counter(&s, COUNTER_STOLEN) == 5 + 6, "and all have answered");
	sources_fini(&s);
}

int main(void)
{
	struct error err = { 0 };
	struct loop *loop = loop_new(&err);
	struct mux *mux = loop ? a_mux(loop) : NULL;

	if (!mux)
		return 1;
	test_states(&mux);
	test_counters(&mux);
	test_asked_for_counters(&mux);
	mux_free(mux);
	loop_free(loop);
	return tap_done();
}
