// SPDX-License-Identifier: MIT
/* Streams between two muxes: open, accept, refuse, bytes, half-closes, resets, datagrams, messages. */
#include "tunnel/pair.h"

static bool has_round_trip(void *arg)
{
	return ((struct mux *)arg)->round_trip > 0;
}

static void test_hello(void)
{
	struct pair *p = pair_new(0);

	tap_ok(pair_wait(p, 1000, both_ready, p), "both are ready");
	tap_ok(pair_wait(p, 1000, has_round_trip, p->sides[SESSION].mux), "the round trip is measured at once");
	mux_free(p->sides[AGENT].mux);
	p->sides[AGENT].mux = NULL;
	tap_ok(pair_wait(p, 1000, any_gone, p), "the end of one is noticed by the other");
	tap_str(p->sides[SESSION].why.text, "tunnel: the agent ended it", "as an orderly one");
	pair_free(p);
}

/* A stream with @bytes of echo, opened by @opener. */
static void test_echo(int opener, size_t bytes)
{
	struct pair *p = pair_new(1);
	struct side *acceptor = &p->sides[!opener];
	struct end *e = calloc(1, sizeof(*e)), *f = acceptor->ends;

	e->to_send = bytes;
	e->end_after = e->close_at_end = true;
	acceptor->like = (struct end){ .echo = true, .close_at_end = true };
	end_open(p, opener, e, STREAM_TCP, 7);
	tap_ok(pair_wait(p, 10000, end_is_over, e), "echo of %zu bytes opened by the %s", bytes, opener == SESSION ? "session" : "agent");
	pair_wait(p, 20, NULL, NULL);
	tap_int(acceptor->request.kind, STREAM_TCP, "kind");
	tap_int(acceptor->request.local.port, 4000, "local port");
	tap_int(acceptor->request.remote.ip.b[12], 10, "remote address");
	tap_int(e->opened, 1, "opened once");
	tap_int(e->received, bytes, "all came back");
	tap_int(e->wrong + f->wrong, 0, "unchanged");
	tap_int(e->ended + f->ended, 2, "both half-closes came");
	tap_int(e->reset + f->reset, 0, "no reset");
	tap_ok(f->done, "closed on the other side too");
	for (int i = 0; i < 2; i++) {
		tap_int(mux_stream_count(p->sides[i].mux), 0, "no stream is left");
		tap_int(p->sides[i].mux->budget_used, 0, "the budget is whole again");
	}
	pair_free(p);
	free(e);
}

static bool got_end(void *arg)
{
	return ((struct end *)arg)->ended;
}

/* The acceptor half-closes first, at once; the opener's bytes still come. */
static void test_half_close(void)
{
	struct pair *p = pair_new(1);
	struct side *agent = &p->sides[AGENT];
	struct end *e = calloc(1, sizeof(*e)), *f = agent->ends;

	agent->like = (struct end){ .end_after = true, .to_send = 5, .close_at_end = true };
	end_open(p, SESSION, e, STREAM_TCP, 1);
	tap_ok(pair_wait(p, 1000, got_end, e), "the acceptor's half-close comes");
	tap_int(e->received, 5, "behind its data");
	tap_ok(!e->reset && !f->reset && !f->ended, "the other direction stays open");
	e->to_send = 300000;
	e->end_after = e->close_at_end = true;
	end_push(e);
	tap_ok(pair_wait(p, 1000, end_is_over, f), "and carries data for long");
	tap_int(f->received, 300000, "all of it");
	tap_int(f->wrong, 0, "unchanged");
	pair_wait(p, 20, NULL, NULL);
	tap_ok(!e->reset && e->done, "no reset is seen");
	pair_free(p);
	free(e);
}

/* Who closes behind both half-closes ends nothing for the other, who still has bytes to get rid of. */
static void test_close(void)
{
	struct pair *p = pair_new(1);
	struct end *e = calloc(1, sizeof(*e)), *f = p->sides[AGENT].ends;

	p->sides[AGENT].like = (struct end){ .end_after = true, .hold = true };
	e->to_send = 1000;
	e->end_after = e->close_at_end = true;
	end_open(p, SESSION, e, STREAM_TCP, 1);
	tap_ok(pair_wait(p, 1000, end_is_over, e), "closed on one side");
	tap_ok(pair_wait(p, 1000, got_end, f), "half-closed on the other");
	pair_wait(p, 20, NULL, NULL);
	tap_int(mux_stream_count(p->sides[SESSION].mux), 0, "gone from one");
	tap_ok(!f->reset && f->received == 1000, "which isn't reset");
	tap_int(p->sides[AGENT].mux->budget_used, 1000, "and has no more of the budget than it holds");
	stream_consumed(f->s, 400);
	tap_int(p->sides[AGENT].mux->budget_used, 600, "and less as it goes");
	stream_reset(f->s, EPIPE);
	pair_wait(p, 20, NULL, NULL);
	tap_ok(!e->reset && !p->sides[SESSION].gone, "its reset comes too late for the one, and is no error");
	pair_free(p);
	free(e);
}

static void test_refuse(void)
{
	struct pair *p = pair_new(0);
	struct end *e = calloc(1, sizeof(*e));

	p->sides[AGENT].refuse = ECONNREFUSED;
	end_open(p, SESSION, e, STREAM_TCP, 1);
	tap_ok(pair_wait(p, 1000, end_is_over, e), "refused");
	tap_int(e->reset, ECONNREFUSED, "with the errno");
	tap_int(e->opened, 0, "never opened");
	*e = (struct end){ 0 };
	p->sides[AGENT].later = true;
	end_open(p, SESSION, e, STREAM_TCP, 1);
	pair_wait(p, 20, NULL, NULL);
	tap_ok(!e->reset && !e->opened, "an answer may take its time");
	stream_reset(p->sides[AGENT].offered, ETIMEDOUT);
	pair_wait(p, 1000, end_is_over, e);
	tap_int(e->reset, ETIMEDOUT, "and come later");
	pair_free(p);
	free(e);
}

/* A reset by @from in the middle of data reaches the other side behind what was sent before. */
static void test_reset(int from)
{
	struct pair *p = pair_new(1);
	struct end *e = calloc(1, sizeof(*e)), *f = p->sides[AGENT].ends, *resetter, *other;

	end_open(p, SESSION, e, STREAM_TCP, 3);
	pair_wait(p, 1000, end_is_opened, e);
	resetter = from == SESSION ? e : f;
	other = from == SESSION ? f : e;
	other->to_send = 10;
	end_push(other);
	resetter->to_send = 50000;
	end_push(resetter);
	tap_int(resetter->sent, 50000, "data is sent");
	resetter->done = true;
	stream_reset(resetter->s, ECONNRESET);
	tap_ok(pair_wait(p, 1000, end_is_over, other), "a reset by the %s", from == SESSION ? "opener" : "acceptor");
	tap_int(other->reset, ECONNRESET, "with its errno");
	tap_int(other->received, 50000, "behind the data");
	pair_wait(p, 20, NULL, NULL);
	tap_int(resetter->reset, 0, "is not answered");
	tap_ok(!p->sides[0].gone && !p->sides[1].gone, "late frames are no error");
	tap_int(p->sides[from].mux->budget_used + p->sides[!from].mux->budget_used, 0, "the budget is whole again");
	pair_free(p);
	free(e);
}

/* The opener gives up before the acceptor has answered: attached owners are told, others find out when they accept. */
static void test_give_up(bool attach)
{
	struct pair *p = pair_new(0);
	struct end *e = calloc(1, sizeof(*e)), *f = calloc(1, sizeof(*f));

	p->sides[AGENT].later = true;
	end_open(p, SESSION, e, STREAM_TCP, 3);
	pair_wait(p, 20, NULL, NULL);
	if (attach)
		stream_attach(p->sides[AGENT].offered, &end_events, f);
	stream_close(e->s);
	pair_wait(p, 20, NULL, NULL);
	tap_int(f->reset, attach ? ECONNRESET : 0, attach ? "an attached owner is told" : "without an owner nobody is");
	tap_int(mux_stream_count(p->sides[AGENT].mux), 0, "no stream is left");
	if (!attach) {
		stream_accept(p->sides[AGENT].offered, &end_events, f);
		pair_wait(p, 20, NULL, NULL);
		tap_int(f->reset, ECONNRESET, "who accepts too late is told then");
	}
	pair_free(p);
	free(e);
	free(f);
}

static void test_datagrams(void)
{
	static const size_t lens[] = { 0, 1, 1472, 9000, 65507, 65535 };
	struct pair *p = pair_new(1);
	struct end *e = calloc(1, sizeof(*e)), *f = p->sides[AGENT].ends;
	struct endpoint peer = { .ip = ip_from_v6("\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"), .port = 5353 };
	struct icmp_error icmp = { .offender = peer.ip, .type = 3, .code = 4, .info = 1400 };
	uint8_t *data = malloc(65536);

	for (size_t i = 0; i < 65536; i++)
		data[i] = pattern(9, i);
	p->sides[AGENT].like = (struct end){ .echo = true };
	end_open(p, SESSION, e, STREAM_UDP, 3);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		e->datagram_len = 1;
		stream_send_datagram(e->s, &peer, (struct packet_marks){ .ttl = 63, .tos = 0x2e }, data, lens[i]);
		pair_wait(p, 20, NULL, NULL);
		tap_int(e->datagrams, i + 1, "a datagram of %zu bytes comes and goes", lens[i]);
		tap_ok(e->datagram_len == lens[i] && !memcmp(last_datagram, data, lens[i]), "unchanged");
		tap_ok(endpoint_equal(&e->peer, &peer) && e->marks.ttl == 63 && e->marks.tos == 0x2e, "with its marks");
	}
	stream_send_datagram(e->s, &peer, (struct packet_marks){ 0 }, data, 65536);
	stream_send_error(f->s, &peer, &icmp, data, 100);
	pair_wait(p, 20, NULL, NULL);
	tap_int(f->datagrams, 6, "one that can't be is not sent");
	tap_int(e->errors, 1, "an ICMP error comes");
	tap_ok(e->datagram_len == 100 && !memcmp(last_datagram, data, 100) && e->icmp.info == 1400 && e->icmp.type == 3 &&
	       e->icmp.code == 4 && ip_equal(&e->icmp.offender, &icmp.offender) && endpoint_equal(&e->peer, &peer), "whole");
	tap_int(stream_room(e->s), 0, "there is no room for bytes on it");
	stream_close(e->s);
	pair_wait(p, 20, NULL, NULL);
	tap_int(f->reset, ECONNRESET, "its end is a reset");
	pair_free(p);
	free(data);
	free(e);
}

static bool got_info(void *arg)
{
	struct side *side = arg;

	return side->infos == (size_t)side->refuse;
}

static void test_info(void)
{
	static const size_t lens[] = { 0, 1, 65536, 65537, 1 << 20, MUX_INFO_MAX };
	struct pair *p = pair_new(0);
	uint8_t *data = malloc(MUX_INFO_MAX);

	for (size_t i = 0; i < MUX_INFO_MAX; i++)
		data[i] = pattern(9, i);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		tap_int(mux_send_info(p->sides[AGENT].mux, (uint16_t)(10 + i), data, lens[i]), 0, "a message of %zu bytes", lens[i]);
		p->sides[SESSION].refuse = (int)i + 1;
		pair_wait(p, 5000, got_info, &p->sides[SESSION]);
		tap_int(p->sides[SESSION].infos, i + 1, "comes once");
		tap_int(p->sides[SESSION].info_topic, 10 + i, "with its topic");
		tap_ok(p->sides[SESSION].info_len == lens[i] && !memcmp(p->sides[SESSION].info, data, lens[i]), "whole");
	}
	tap_int(mux_send_info(p->sides[AGENT].mux, 1, data, MUX_INFO_MAX + 1), -EMSGSIZE, "a longer one isn't sent");
	mux_send_info(p->sides[AGENT].mux, 77, data, 1000);
	mux_free(p->sides[AGENT].mux);
	p->sides[AGENT].mux = NULL;
	pair_wait(p, 1000, any_gone, p);
	tap_int(p->sides[SESSION].info_topic, 77, "the last words before the end come");
	pair_free(p);
	free(data);
}

static bool all_over(void *arg)
{
	struct end *ends = arg;

	for (int i = 0; i < 1000; i++)
		if (!end_is_over(&ends[i]))
			return false;
	return true;
}

static void test_many(void)
{
	struct pair *p = pair_new(1000);
	struct end *ends = calloc(1000, sizeof(*ends));
	size_t wrong = 0, short_ = 0;

	p->sides[AGENT].like = (struct end){ .echo = true, .close_at_end = true };
	for (unsigned int i = 0; i < 1000; i++) {
		ends[i].to_send = i * 200;
		ends[i].end_after = ends[i].close_at_end = true;
		end_open(p, SESSION, &ends[i], STREAM_TCP, i);
	}
	tap_ok(pair_wait(p, 60000, all_over, ends), "1,000 streams at once end");
	for (unsigned int i = 0; i < 1000; i++) {
		wrong += ends[i].wrong + p->sides[AGENT].ends[i].wrong + (size_t)ends[i].reset;
		short_ += ends[i].received != i * 200;
	}
	tap_int(wrong, 0, "with the right bytes");
	tap_int(short_, 0, "and all of them");
	pair_free(p);
	free(ends);
}

/* Ids wrap around, past 0 and past one that is in use. */
static void test_ids(int opener)
{
	static const uint32_t want[2][5] = { { 1, 0xffffffff, 3, 5, 7 }, { 2, 0xfffffffe, 4, 6, 8 } };
	struct pair *p = pair_new(5);
	struct end *ends = calloc(5, sizeof(*ends));
	size_t wrong = 0;

	for (unsigned int i = 0; i < 5; i++) {
		end_open(p, opener, &ends[i], STREAM_TCP, i);
		tap_int(ends[i].s->id, want[opener][i], "id %u of the %s", ends[i].s->id, opener == SESSION ? "session" : "agent");
		pair_wait(p, 1000, end_is_opened, &ends[i]);
		ends[i].to_send = 1000;
		end_push(&ends[i]);
		if (i == 0) {
			p->sides[opener].mux->next_id = want[opener][1];
			p->sides[!opener].mux->peer_id = want[opener][1] - 2;
		}
	}
	pair_wait(p, 20, NULL, NULL);
	for (unsigned int i = 0; i < 5; i++)
		wrong += !ends[i].opened || ends[i].reset || p->sides[!opener].ends[i].received != 1000;
	tap_int(wrong, 0, "all are streams like any other");
	pair_free(p);
	free(ends);
}

/* Pipes instead of a socket. */
static void test_pipes(void)
{
	struct pair *p = pair_alloc();
	struct end *e = calloc(1, sizeof(*e));
	int up[2], down[2];

	if (pipe(up) < 0 || pipe(down) < 0)
		abort();
	side_start(p, SESSION, down[0], up[1]);
	side_start(p, AGENT, up[0], down[1]);
	pair_ends(p, 1);
	p->sides[AGENT].like = (struct end){ .echo = true, .close_at_end = true };
	e->to_send = 1000000;
	e->end_after = e->close_at_end = true;
	end_open(p, SESSION, e, STREAM_TCP, 1);
	tap_ok(pair_wait(p, 10000, end_is_over, e), "over two pipes");
	tap_ok(e->received == 1000000 && !e->wrong, "whole");
	mux_free(p->sides[AGENT].mux);
	p->sides[AGENT].mux = NULL;
	tap_ok(pair_wait(p, 1000, any_gone, p), "the end is noticed");
	pair_free(p);
	free(e);
}

int main(void)
{
	static const size_t lens[] = { 0, 1, 2000, 65536, 10 << 20 };

	test_hello();
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		test_echo(SESSION, lens[i]);
		test_echo(AGENT, lens[i]);
	}
	test_half_close();
	test_close();
	test_refuse();
	test_reset(SESSION);
	test_reset(AGENT);
	test_give_up(true);
	test_give_up(false);
	test_datagrams();
	test_info();
	test_many();
	test_ids(SESSION);
	test_ids(AGENT);
	test_pipes();
	return tap_done();
}
