// SPDX-License-Identifier: MIT
/* Tunnels that outlive their byte streams: cut at every byte, at random under load, while they are being resumed; bounds; refusals. */
#include <fcntl.h>
#include <stdio.h>

#include "tunnel/wire.h"

/* A conversation with every kind of frame. */
struct talk {
	struct end mine[3], *theirs; /* the session's and the agent's ends of the streams the session opens: bytes, bytes, datagrams */
	struct end back;	     /* one that the agent opens */
};

static bool talk_is_over(void *arg)
{
	struct talk *t = arg;
	struct pair *p = cutter.pair;

	return t->mine[0].done && t->mine[1].reset && t->mine[2].datagrams == 2 && t->back.done && p->sides[AGENT].infos == 1 &&
	       !mux_stream_count(p->sides[AGENT].mux);
}

static void talk_start(struct talk *t)
{
	struct pair *p = cutter.pair;
	struct endpoint peer = { .ip = ip_from_v4("\x0a\x01\x02\x03"), .port = 53 };

	t->theirs = p->sides[AGENT].ends;
	for (int i = 0; i < 2; i++)
		p->sides[i].like = (struct end){ .echo = true, .close_at_end = true };
	t->mine[0] = (struct end){ .to_send = 20, .end_after = true, .close_at_end = true };
	end_open(p, SESSION, &t->mine[0], STREAM_TCP, 1);
	t->back = (struct end){ .to_send = 20, .end_after = true, .close_at_end = true };
	end_open(p, AGENT, &t->back, STREAM_TCP, 2);
	end_open(p, SESSION, &t->mine[1], STREAM_TCP, 3);
	end_open(p, SESSION, &t->mine[2], STREAM_UDP, 4);
	mux_send_info(p->sides[SESSION].mux, 9, "info", 4);
	pair_wait(p, 3000, both_ready, p);
	pair_wait(p, 3000, end_is_opened, &t->mine[2]);
	for (int i = 0; i < 2; i++)
		stream_send_datagram(t->mine[2].s, &peer, (struct packet_marks){ 0 }, "query", 5);
	stream_reset(t->theirs[1].s, EPIPE);
	t->theirs[1].done = true;
}

static bool datagrams_are_back(void *arg)
{
	return ((struct talk *)arg)->mine[2].datagrams >= 2;
}

/* What is wrong with how it ended; NULL when nothing is. */
static const char *talk_finish(struct talk *t)
{
	struct pair *p = cutter.pair;

	pair_wait(p, 3000, datagrams_are_back, t);
	stream_close(t->mine[2].s);
	if (!pair_wait(p, 3000, talk_is_over, t))
		return "it doesn't end";
	if (t->mine[0].received != 20 || t->back.received != 20 || t->mine[0].wrong + t->back.wrong)
		return "bytes are wrong";
	if (t->mine[0].reset || t->back.reset || t->mine[1].reset != EPIPE)
		return "resets are wrong";
	if (t->mine[0].ended + t->back.ended != 2 || t->mine[2].datagrams != 2)
		return "half-closes or datagrams are wrong";
	if (p->sides[0].gone || p->sides[1].gone)
		return p->sides[SESSION].gone ? p->sides[SESSION].why.text : p->sides[AGENT].why.text;
	if (p->sides[SESSION].suspended != (int)cutter.n - 1)
		return "the session wasn't told of each break";
	return NULL;
}

/* One direction of the first wire is cut behind @plan_at bytes. With @plan_again the second one's, too. */
static void plan_cut(struct cutter *c, size_t n, size_t left[2])
{
	if (n == 0)
		left[c->plan_side] = c->plan_at;
	else if (n == 1 && c->plan_again)
		left[c->plan_side] = c->plan_again;
}

/* How many bytes pass in each direction of a talk that isn't cut. */
static void measure(size_t ret[2])
{
	struct talk t = { 0 };

	cutter_start(10, 1);
	talk_start(&t);
	tap_ok(!talk_finish(&t), "without a cut");
	ret[0] = cutter.wires[0].passed[0];
	ret[1] = cutter.wires[0].passed[1];
	cutter_end();
}

static size_t cut_once(size_t side, size_t at, size_t again, bool pipes)
{
	struct talk t = { 0 };
	const char *wrong;
	size_t wires;

	cutter = (struct cutter){ .plan = plan_cut, .plan_side = side, .plan_at = at, .plan_again = again, .pipes = pipes };
	cutter_start(10, 10);
	talk_start(&t);
	wrong = talk_finish(&t);
	wires = cutter.n;
	if (wrong)
		tap_ok(0, "cut behind byte %zu from the %s, then %zu: %s", at, side == SESSION ? "session" : "agent", again, wrong);
	cutter_end();
	return wrong ? 0 : wires;
}

static void test_every_cut(size_t side, size_t len, bool pipes)
{
	size_t good = 0;

	for (size_t at = HELLO_LEN + 1; at < len; at++)
		good += cut_once(side, at, 0, pipes) == 2;
	tap_int(good, len - HELLO_LEN - 1, "cut behind each byte from the %s, over %s", side == SESSION ? "session" : "agent",
		pipes ? "pipes" : "a socket");
}

/* The second byte stream breaks as well: in its hello, behind it, in the bytes that go again. */
static void test_cut_again(size_t side)
{
	size_t good = 0;

	for (size_t again = 1; again < HELLO_LEN + 40; again++)
		good += cut_once(side, HELLO_LEN + 90, again, false) == 3;
	tap_int(good, HELLO_LEN + 39, "and the next one behind each byte from the %s", side == SESSION ? "session" : "agent");
}

enum { LOADS = 16, LOAD = 1500000, CUTS = 60 };

static unsigned int draw(struct cutter *c)
{
	c->random = c->random * 1103515245 + 12345;
	return c->random >> 8;
}

static void plan_random(struct cutter *c, size_t n, size_t left[2])
{
	if (n >= CUTS)
		return;
	for (int i = 0; i < 2; i++)
		left[i] = 1 + draw(c) % (n % 3 ? 900000 : 3000);
	if (n == 0) /* nothing can be resumed before both hellos are there */
		left[0] = left[1] = 500000;
}

static bool loads_are_over(void *arg)
{
	struct end *ends = arg;

	for (int i = 0; i < LOADS; i++)
		if (!end_is_over(&ends[i]))
			return false;
	return true;
}

static void test_load(unsigned int seed, bool pipes)
{
	struct end *ends = calloc(LOADS, sizeof(*ends));
	size_t wrong = 0, received = 0;
	struct pair *p;

	cutter = (struct cutter){ .plan = plan_random, .random = seed, .pipes = pipes };
	p = cutter_start(LOADS, CUTS + 1);
	for (int i = 0; i < 2; i++)
		p->sides[i].like = (struct end){ .echo = true, .close_at_end = true };
	for (unsigned int i = 0; i < LOADS; i++) {
		ends[i] = (struct end){ .to_send = LOAD + i, .end_after = true, .close_at_end = true };
		end_open(p, i % 2 ? SESSION : AGENT, &ends[i], STREAM_TCP, i);
	}
	tap_ok(pair_wait(p, 120000, loads_are_over, ends), "%d streams of %d bytes, both ways, end", LOADS, LOAD);
	for (unsigned int i = 0; i < LOADS; i++) {
		wrong += ends[i].wrong + (size_t)ends[i].reset;
		received += ends[i].received;
	}
	tap_int(wrong, 0, "with the right bytes");
	tap_int(received, LOADS * LOAD + LOADS * (LOADS - 1) / 2, "all of them");
	tap_ok(p->sides[SESSION].suspended >= CUTS / 2, "over %d breaks", p->sides[SESSION].suspended);
	tap_int(p->sides[SESSION].gone + p->sides[AGENT].gone, 0, "the tunnel lives");
	pair_wait(p, 20, NULL, NULL);
	for (int i = 0; i < 2; i++) {
		tap_int(p->sides[i].mux->budget_used, 0, "the budget is whole again");
		tap_ok(tail_len(&p->sides[i].mux->tail) < MUX_TAIL / 2, "what is kept is little: %llu bytes",
		       (unsigned long long)tail_len(&p->sides[i].mux->tail));
	}
	cutter_end();
	free(ends);
}

/* A session with a test as its agent, which can resume. */
static struct pair *raw_pair(struct end *e)
{
	struct hello h = { .lowest = 1, .highest = 1, .role = HELLO_AGENT, .streams = 100, .flags = HELLO_CAN_RESUME, .tail = 1 << 20 };
	uint8_t out[HELLO_LEN];
	struct pair *p = pair_alloc();
	int fds[2];

	pair_fds(fds);
	cutter = (struct cutter){ .pair = p };
	p->events = &resumable_events;
	side_start(p, SESSION, fds[0], fds[0]);
	p->raw = fds[1];
	pair_ends(p, 10);
	hello_encode(&h, out);
	fd_write_all(p->raw, out, sizeof(out));
	end_open(p, SESSION, e, STREAM_TCP, 1);
	raw_frame(p, &(struct frame){ .type = FRAME_OPENED, .stream = 1, .amount = 1 << 30 });
	pair_wait(p, 1000, end_is_opened, e);
	return p;
}

/* Reads all that comes; returns how much. The mux's loop runs meanwhile. */
static size_t raw_drain(struct pair *p)
{
	static uint8_t bytes[1 << 18];
	size_t sum = 0;

	for (int idle = 0; idle < 10;) {
		ssize_t n = recv(p->raw, bytes, sizeof(bytes), MSG_DONTWAIT);

		idle = n > 0 ? 0 : idle + 1;
		sum += n > 0 ? (size_t)n : 0;
		pair_wait(p, 2, NULL, NULL);
	}
	return sum;
}

static void test_tail(void)
{
	struct end e = { .to_send = 3 * MUX_TAIL };
	struct pair *p = raw_pair(&e);
	struct mux *m = p->sides[SESSION].mux;
	size_t sent = raw_drain(p), frames;

	tap_ok(sent >= MUX_TAIL && sent < MUX_TAIL + MUX_SEND_QUEUE, "bulk waits when the tail is full: %zu bytes", sent);
	tap_ok(e.sent < e.to_send, "the stream is held up");
	raw_frame(p, &(struct frame){ .type = FRAME_PING, .number = 7 });
	frames = raw_drain(p);
	tap_int(frames, FRAME_HEADER + 8, "control frames go on");
	raw_frame(p, &(struct frame){ .type = FRAME_ACK, .number = sent - HELLO_LEN });
	frames += raw_drain(p);
	tap_ok(frames > MUX_TAIL, "an ACK lets it go on");
	for (int i = 0; i < 20 && !e.done && e.sent < e.to_send; i++) {
		raw_frame(p, &(struct frame){ .type = FRAME_ACK, .number = m->tail.sent });
		raw_drain(p);
	}
	tap_int(e.sent, e.to_send, "to the end");
	raw_frame(p, &(struct frame){ .type = FRAME_ACK, .number = m->tail.sent });
	raw_drain(p);
	tap_int(tail_len(&m->tail), 0, "nothing is kept then");
	raw_frame(p, &(struct frame){ .type = FRAME_ACK, .number = m->tail.sent + 1 });
	pair_wait(p, 1000, any_gone, p);
	tap_str(p->sides[SESSION].why.text, "tunnel: the agent broke the protocol: an acknowledgement of what wasn't sent", "an ACK too far");
	pair_free(p);
}

static bool is_acknowledged(void *arg)
{
	struct mux *m = arg;

	return m->acknowledged == m->received;
}

static void test_acknowledge(void)
{
	struct end e = { 0 };
	struct pair *p = raw_pair(&e);
	struct mux *m = p->sides[SESSION].mux;
	static uint8_t bulk[60000];
	size_t base = raw_drain(p), got;

	for (int i = 0; i < 4; i++) {
		raw_frame(p, &(struct frame){ .type = FRAME_INFO, .topic = 99, .payload = bulk, .payload_len = sizeof(bulk) });
		pair_wait(p, 2, NULL, NULL);
	}
	got = raw_drain(p);
	tap_ok(base > 0 && got == 0, "less than a quarter of the peer's tail isn't acknowledged at once");
	raw_frame(p, &(struct frame){ .type = FRAME_INFO, .topic = 99, .payload = bulk, .payload_len = sizeof(bulk) });
	tap_int(raw_drain(p), FRAME_HEADER + 8, "a quarter is");
	raw_frame(p, &(struct frame){ .type = FRAME_INFO, .topic = 99, .payload = bulk, .payload_len = sizeof(bulk) });
	pair_wait(p, 20, NULL, NULL);
	tap_ok(!is_acknowledged(m), "less isn't");
	m->times.tick = 10 * LOOP_MS;
	loop_arm(p->loop, &m->timer, 0);
	tap_ok(pair_wait(p, 1000, is_acknowledged, m), "until nothing more comes");
	pair_free(p);
}

static void on_suspended_alone(void *arg, const struct error *why)
{
	struct side *side = arg;

	side->suspended++;
	side->why = *why;
}

static bool is_suspended(void *arg)
{
	return ((struct side *)arg)->suspended;
}

/* Nobody resumes it. */
static void test_time(void)
{
	struct mux_events events = resumable_events;
	struct end e = { 0 };
	struct pair *p;

	events.on_suspended = on_suspended_alone;
	p = raw_pair(&e);
	p->sides[SESSION].mux->events = &events;
	p->sides[SESSION].mux->times.resume = 30 * LOOP_MS;
	close(p->raw);
	p->raw = -1;
	tap_ok(pair_wait(p, 1000, is_suspended, &p->sides[SESSION]), "a break suspends it");
	tap_ok(mux_is_suspended(p->sides[SESSION].mux) && !e.reset, "with its streams");
	tap_ok(strstr(p->sides[SESSION].why.text, "hung up"), "and says why: %s", p->sides[SESSION].why.text);
	tap_ok(pair_wait(p, 2000, any_gone, p), "not for ever");
	tap_ok(strstr(p->sides[SESSION].why.text, "there was no other one to the agent within 0 seconds"), "%s", p->sides[SESSION].why.text);
	tap_int(e.reset, ENETUNREACH, "then its streams end");
	pair_free(p);
}

/* Silence is a break. */
static void test_silence(void)
{
	struct mux_events events = resumable_events;
	struct end e = { 0 };
	struct pair *p = raw_pair(&e);
	struct mux *m = p->sides[SESSION].mux;

	events.on_suspended = on_suspended_alone;
	m->events = &events;
	m->times.tick = m->times.idle = m->times.gone = 10 * LOOP_MS;
	loop_arm(p->loop, &m->timer, 0);
	tap_ok(pair_wait(p, 2000, is_suspended, &p->sides[SESSION]), "a peer that doesn't answer suspends it");
	tap_ok(strstr(p->sides[SESSION].why.text, "nothing came"), "%s", p->sides[SESSION].why.text);
	mux_free(m);
	p->sides[SESSION].mux = NULL;
	pair_free(p);
}

static void test_unknown(void)
{
	struct pair *p = cutter_start(1, 3);
	struct end e = { 0 };

	end_open(p, SESSION, &e, STREAM_TCP, 1);
	pair_wait(p, 1000, end_is_opened, &e);
	p->sides[AGENT].mux->token[3] ^= 1;
	wire_close(&cutter.wires[0]);
	tap_ok(pair_wait(p, 1000, any_gone, p), "an agent that doesn't know the token");
	tap_int(cutter.refused, 1, "refuses");
	tap_str(p->sides[SESSION].why.text, "tunnel: it broke, and the agent doesn't know it any more", "which is the end for the session");
	tap_int(e.reset, ENETUNREACH, "and its streams");
	tap_int(p->sides[AGENT].gone, 0, "the agent's tunnel waits on");
	cutter_end();
}

static bool both_resumed(void *arg)
{
	struct pair *p = arg;

	return p->sides[0].resumed && p->sides[1].resumed;
}

/* The session leaves a byte stream of which the agent doesn't know that it is broken. */
static void test_early(void)
{
	struct pair *p = cutter_start(1, 3);
	struct end e = { .to_send = 3000000, .end_after = true, .close_at_end = true };

	p->sides[AGENT].like = (struct end){ .echo = true, .close_at_end = true };
	end_open(p, SESSION, &e, STREAM_TCP, 1);
	pair_wait(p, 1000, end_is_opened, &e);
	wire_stall(&cutter.wires[0]);
	side_on_suspended(&p->sides[SESSION], NULL);
	tap_ok(pair_wait(p, 3000, both_resumed, p), "resumed without a break, both sides are told");
	tap_ok(pair_wait(p, 3000, end_is_over, &e), "the stream goes on");
	tap_ok(e.received == 3000000 && !e.wrong && !e.reset, "all bytes come");
	tap_int(p->sides[AGENT].suspended, 0, "the agent never waited");
	mux_free(p->sides[SESSION].mux);
	p->sides[SESSION].mux = NULL;
	pair_wait(p, 1000, any_gone, p);
	tap_str(p->sides[AGENT].why.text, "tunnel: the session ended it", "an orderly end is no break");
	cutter_end();
}

static int greeted_with;

static void on_failed(void *arg, int in, int out, const struct hello *hello)
{
	cutter.greeting = NULL;
	greeted_with = hello ? 1 : -1;
	close(in);
}

static bool is_greeted(void *arg)
{
	return greeted_with;
}

static void test_greeting(const char *name, const void *bytes, size_t len, bool hang_up, int want)
{
	struct pair *p = pair_alloc();
	int fds[2];
	uint8_t rest[16];

	pair_fds(fds);
	cutter = (struct cutter){ .pair = p };
	greeted_with = 0;
	cutter.greeting = greeting_new(p->loop, fds[0], fds[0], on_failed, NULL);
	for (size_t i = 0; i < len; i++) {
		fd_write_all(fds[1], (const uint8_t *)bytes + i, 1);
		pair_wait(p, 0, NULL, NULL);
	}
	if (hang_up)
		shutdown(fds[1], SHUT_WR);
	pair_wait(p, want ? 1000 : 5, is_greeted, NULL);
	tap_int(greeted_with, want, "a greeting: %s", name);
	greeting_free(cutter.greeting);
	tap_ok(recv(fds[1], rest, sizeof(rest), MSG_DONTWAIT) <= 0, "nothing was said");
	close(fds[1]);
	pair_free(p);
}

static void test_greetings(void)
{
	struct hello h = { .lowest = 1, .highest = 1, .role = HELLO_SESSION };
	uint8_t out[HELLO_LEN];

	hello_encode(&h, out);
	test_greeting("byte by byte", out, sizeof(out), false, 1);
	test_greeting("in part", out, 40, false, 0);
	test_greeting("cut", out, 40, true, -1);
	test_greeting("other text", "GET / HTTP/1.1\r\n", 16, false, -1);
}

/* Only one side can: as before. */
static void test_unable(int able)
{
	struct pair *p = pair_alloc();
	struct end e = { .to_send = 100000 };
	int fds[2];

	pair_fds(fds);
	cutter = (struct cutter){ .pair = p };
	for (int i = 0; i < 2; i++) {
		p->events = i == able ? &resumable_events : &side_events;
		side_start(p, i, fds[i], fds[i]);
	}
	pair_ends(p, 1);
	end_open(p, SESSION, &e, STREAM_TCP, 1);
	pair_wait(p, 1000, end_is_opened, &e);
	pair_wait(p, 30, NULL, NULL);
	tap_int(p->sides[AGENT].ends[0].received, 100000, "only the %s can resume: bytes pass", able == SESSION ? "session" : "agent");
	tap_int(p->sides[able].mux->tail.n, 0, "nothing is kept");
	shutdown(p->sides[!able].mux->fds[0], SHUT_RDWR);
	tap_ok(pair_wait(p, 1000, any_gone, p), "a break is the end");
	tap_int(p->sides[able].suspended, 0, "at once");
	pair_free(p);
}

int main(void)
{
	size_t len[2];

	measure(len);
	for (size_t side = 0; side < 2; side++) {
		test_every_cut(side, len[side], false);
		test_cut_again(side);
	}
	test_every_cut(SESSION, len[SESSION] / 2, true);
	test_load(1, false);
	test_load(2, true);
	test_tail();
	test_acknowledge();
	test_time();
	test_silence();
	test_unknown();
	test_early();
	test_greetings();
	test_unable(SESSION);
	test_unable(AGENT);
	return tap_done();
}
