// SPDX-License-Identifier: MIT
/* Peers that break the protocol, or break off: each costs an error and the tunnel, nothing else. The test is the agent, the mux is
 * the session. */
#include "tunnel/pair.h"

#include <fcntl.h>
#include <stdio.h>

#include "net/bytes.h"

static uint8_t bulk[FRAME_DATA_MAX];

/* What each case sends behind the hello. Stream 1 is the session's own and open; 2 the test's and accepted. */
#define F(t, ...) ((struct frame){ .type = FRAME_##t, __VA_ARGS__ })
#define DATA_OF(n) .payload = bulk, .payload_len = n

enum { FRAMES_MAX = 4 };
static const struct {
	const char *name;
	const char *why; /* NULL: it is legal */
	struct frame frames[FRAMES_MAX];
} cases[] = {
	{ "nothing", NULL, { { 0 } } },
	{ "data within the credit", NULL, { F(DATA, .stream = 1, DATA_OF(100)), F(DATA, .stream = 2, DATA_OF(100)) } },
	{ "data for a stream that never was", "a frame for a stream that never was", { F(DATA, .stream = 3, DATA_OF(1)) } },
	{ "the same of the peer's", "a frame for a stream that never was", { F(CREDIT, .stream = 4, .amount = 1) } },
	{ "data for a stream that it has reset", NULL, { F(RESET, .stream = 2, .error = EPIPE), F(DATA, .stream = 2, DATA_OF(1)) } },
	{ "more data than granted", "more data than it was granted",
	  { F(DATA, .stream = 1, DATA_OF(65536)), F(DATA, .stream = 1, DATA_OF(1)) } },
	{ "data behind its end", "data on a stream that has none", { F(END, .stream = 1), F(DATA, .stream = 1, DATA_OF(1)) } },
	{ "two ends", "a half-close of a stream that has none", { F(END, .stream = 1), F(END, .stream = 1) } },
	{ "a reset behind its end", NULL, { F(END, .stream = 1), F(RESET, .stream = 1, .error = EPIPE) } },
	{ "an id that is taken", "an id that isn't free", { F(OPEN, .stream = 2) } },
	{ "an id of ours", "an id that isn't free", { F(OPEN, .stream = 5) } },
	{ "an id that was passed", "an id that isn't free", { F(OPEN, .stream = 8), F(OPEN, .stream = 6) } },
	{ "an id half around", "an id that isn't free", { F(OPEN, .stream = 0x80000002) } },
	{ "an id nearly half around", NULL, { F(OPEN, .stream = 0x80000000) } },
	{ "a kind that there isn't", NULL, { F(OPEN, .stream = 4, .open.kind = 99), F(DATA, .stream = 4, DATA_OF(1)) } },
	{ "a window too large", "more credit than a stream can have", { F(OPEN, .stream = 4, .open.window = 1u << 31) } },
	{ "an answer to no question", "took a stream that it wasn't asked to", { F(OPENED, .stream = 1) } },
	{ "an answer to its own question", "took a stream that it wasn't asked to", { F(OPENED, .stream = 2) } },
	{ "too much credit", "more credit than a stream can have",
	  { F(CREDIT, .stream = 1, .amount = INT32_MAX), F(CREDIT, .stream = 1, .amount = INT32_MAX) } },
	{ "credit enough", NULL, { F(CREDIT, .stream = 1, .amount = 1u << 30) } },
	{ "credit given back unasked", "gave back credit that it wasn't asked for", { F(RETURN, .stream = 1, .amount = 0) } },
	{ "a recall", NULL, { F(RECALL, .stream = 1, .amount = 10), F(RECALL, .stream = 1, .amount = 0) } },
	{ "a datagram on bytes", "a datagram on a stream of bytes", { F(DATAGRAM, .stream = 1) } },
	{ "an error on bytes", "a datagram's error on a stream of bytes", { F(DATAGRAM_ERROR, .stream = 1) } },
	{ "bytes on datagrams", "data on a stream that has none",
	  { F(OPEN, .stream = 4, .open.kind = STREAM_UDP), F(DATA, .stream = 4, DATA_OF(1)) } },
	{ "an end of datagrams", "a half-close of a stream that has none",
	  { F(OPEN, .stream = 4, .open.kind = STREAM_UDP), F(END, .stream = 4) } },
	{ "credit for datagrams", "more credit than a stream can have",
	  { F(OPEN, .stream = 4, .open.kind = STREAM_UDP), F(CREDIT, .stream = 4) } },
	{ "a pong without a ping", "a pong without a ping", { F(PONG, .number = 99) } },
	{ "an acknowledgement", "an acknowledgement on a tunnel that can't be resumed", { F(ACK) } },
	{ "two messages mixed", "mixed with another",
	  { F(INFO, .topic = 1, .flags = FRAME_MORE, DATA_OF(1)), F(INFO, .topic = 2, DATA_OF(1)) } },
	{ "a message with an empty part", "mixed with another", { F(INFO, .topic = 1, .flags = FRAME_MORE) } },
	{ "a goodbye", "the agent ended it: bye ?[2J", { F(CLOSE, .payload = (const uint8_t *)"bye \33[2J", .payload_len = 8) } },
	{ "a silent goodbye", "the agent ended it", { F(CLOSE) } },
};

static bool is_offered(void *arg)
{
	return ((struct pair *)arg)->sides[SESSION].offered;
}

static struct pair *broken_pair(struct end *e)
{
	struct pair *p = pair_new_raw(SESSION, 10);

	raw_hello(p, AGENT, MUX_STREAMS);
	end_open(p, SESSION, e, STREAM_TCP, 1);
	raw_frame(p, &F(OPENED, .stream = 1, .amount = 1000));
	raw_frame(p, &F(OPEN, .stream = 2, .open.window = 1000));
	pair_wait(p, 1000, is_offered, p);
	return p;
}

/* The bytes that the mux has sent, as they stand in the socket. */
static size_t raw_read(struct pair *p, uint8_t *out, size_t room)
{
	ssize_t n = recv(p->raw, out, room, MSG_DONTWAIT);

	return n > 0 ? (size_t)n : 0;
}

/* The text of the CLOSE at the end of what the mux sent; "" without one. */
static const char *close_text(struct pair *p)
{
	static uint8_t out[1 << 20];
	static char text[FRAME_CLOSE_MAX + 1];
	size_t len = raw_read(p, out, sizeof(out)), at = HELLO_LEN;
	struct frame f = { 0 };

	text[0] = '\0';
	for (ssize_t n; len > at && (n = frame_decode(out + at, len - at, &f)) > 0;)
		at += (size_t)n;
	if (f.type == FRAME_CLOSE)
		snprintf(text, sizeof(text), "%.*s", (int)f.payload_len, (const char *)f.payload);
	return text;
}

static void test_case(size_t i)
{
	struct end e = { .hold = true };
	struct pair *p = broken_pair(&e);
	struct side *s = &p->sides[SESSION];

	s->ends[0].hold = true;
	for (size_t k = 0; k < FRAMES_MAX && cases[i].frames[k].type; k++)
		raw_frame(p, &cases[i].frames[k]);
	pair_wait(p, cases[i].why ? 1000 : 10, any_gone, p);
	tap_int(s->gone, cases[i].why != NULL, "%s", cases[i].name);
	if (cases[i].why) {
		tap_ok(strstr(s->why.text, cases[i].why), "%s: %s", cases[i].name, s->why.text);
		tap_int(e.reset, ENETUNREACH, "its streams end");
		tap_str(close_text(p), s->why.text, "the peer is told");
	}
	pair_free(p);
}

static void test_hello(const char *name, const void *bytes, size_t len, bool hang_up, const char *why)
{
	struct pair *p = pair_new_raw(SESSION, 0);
	struct end e = { 0 };

	end_open(p, SESSION, &e, STREAM_TCP, 1);
	if (fd_write_all(p->raw, bytes, len) < 0)
		abort();
	if (hang_up)
		shutdown(p->raw, SHUT_WR);
	pair_wait(p, 1000, any_gone, p);
	tap_str(p->sides[SESSION].why.text, why, "%s", name);
	tap_ok(!p->sides[SESSION].ready && e.reset == ENETUNREACH, "%s: never ready", name);
	pair_free(p);
}

static void test_hellos(void)
{
	struct hello h = { .lowest = 2, .highest = 3, .role = HELLO_AGENT };
	uint8_t out[HELLO_LEN];

	test_hello("a shell", "bash: line 1: mirrord-agent: command not found\n", 47, false,
		   "tunnel: the other side is no mirrord agent; it began with \"bash: line 1: mirrord-agent: command not found?\"");
	hello_encode(&h, out);
	test_hello("a later version", out, sizeof(out), false, "tunnel: the agent speaks versions 2 to 3 of the protocol, we speak 1");
	test_hello("half a hello", out, 40, true, "tunnel: the agent hung up in the middle of a frame");
	test_hello("no hello", out, 0, true, "tunnel: the agent hung up");
	h = (struct hello){ .lowest = 1, .highest = 3, .role = HELLO_SESSION };
	hello_encode(&h, out);
	test_hello("ourselves", out, sizeof(out), false, "tunnel: the other side is no agent");
	h = (struct hello){ .lowest = 1, .highest = 3, .role = HELLO_AGENT, .flags = HELLO_RESUMES };
	hello_encode(&h, out);
	test_hello("a resumption", out, sizeof(out), false, "tunnel: the agent wants to resume a tunnel that is gone");
	out[9] = 1;
	test_hello("a bad length", out, sizeof(out), false, "tunnel: the agent broke the protocol: a malformed hello");
}

/* Frames that come byte by byte are whole in the end; a cut one is an error. */
static void test_cut(void)
{
	struct end e = { 0 };
	struct pair *p = broken_pair(&e);
	uint8_t frame[] = "\0\0\0\5\0\0\0\1\0\3\0\0"
			  "\x1f\x20\x21\x22\x23"; /* as pattern(1, …) */

	for (size_t i = 0; i < sizeof(frame) - 1; i++) {
		fd_write_all(p->raw, frame + i, 1);
		pair_wait(p, 2, NULL, NULL);
	}
	tap_ok(e.received == 5 && !e.wrong, "a frame byte by byte");
	fd_write_all(p->raw, frame, 14);
	close(p->raw);
	p->raw = -1;
	pair_wait(p, 1000, any_gone, p);
	tap_str(p->sides[SESSION].why.text, "tunnel: the agent hung up in the middle of a frame", "a frame cut");
	pair_wait(p, 5, NULL, NULL);
	tap_int(p->sides[SESSION].gone, 1, "which is told once, though there is nobody to say goodbye to");
	pair_free(p);
}

/* A frame that may be ignored is; one that may not isn't. */
static void test_unknown(void)
{
	struct end e = { 0 };
	struct pair *p = broken_pair(&e);
	uint8_t unknown[FRAME_HEADER + 3] = { 0, 0, 0, 3, 0, 0, 0, 77, 1, 0, 0, FRAME_MAY_IGNORE };

	fd_write_all(p->raw, unknown, sizeof(unknown));
	raw_frame(p, &F(DATA, .stream = 1, DATA_OF(10)));
	pair_wait(p, 10, NULL, NULL);
	tap_int(e.received, 10, "an unknown frame that may be ignored is passed over");
	unknown[11] = 0;
	fd_write_all(p->raw, unknown, sizeof(unknown));
	pair_wait(p, 1000, any_gone, p);
	tap_str(p->sides[SESSION].why.text, "tunnel: the agent broke the protocol: a frame of unknown type", "another isn't");
	pair_free(p);
}

/* Writes @n frames without reading what comes back; stops when the mux hangs up. Runs the loop in between. */
static size_t flood(struct pair *p, size_t n, struct frame f, uint32_t step, bool read_back)
{
	static uint8_t out[1 << 18], back[1 << 20];
	size_t sent = 0;

	fcntl(p->raw, F_SETFL, O_NONBLOCK);
	while (sent < n && !p->sides[SESSION].gone) {
		size_t len = 0, batch = 0, done = 0;

		for (; batch < 4000 && sent + batch < n; batch++, f.stream += step)
			len += frame_encode(&f, out + len);
		while (done < len && !p->sides[SESSION].gone) {
			ssize_t w = write(p->raw, out + done, len - done);

			if (w > 0)
				done += (size_t)w;
			if (read_back)
				while (raw_read(p, back, sizeof(back)))
					;
			pair_wait(p, 1, any_gone, p);
		}
		sent += batch;
	}
	return sent;
}

static void test_opens(enum stream_kind kind, bool read_back)
{
	struct end e = { 0 };
	struct pair *p = broken_pair(&e);
	struct side *s = &p->sides[SESSION];
	struct frame f = F(OPEN, .stream = 4, .open.kind = (uint16_t)kind);
	size_t sent;

	s->later = true;
	sent = flood(p, 100000, f, 2, read_back);
	tap_ok(mux_stream_count(s->mux) <= MUX_STREAMS && s->mux->budget_used <= MUX_BUDGET, "100,000 opens of kind %d: %zu stay within the limits",
	       (int)kind, mux_stream_count(s->mux));
	if (kind == STREAM_UDP)
		tap_ok(s->gone && sent < MUX_STREAMS + 8000 && strstr(s->why.text, "more streams than it may open"), "%zu sent: %s", sent,
		       s->why.text);
	else
		tap_ok(!s->gone, "those that the budget isn't enough for are refused");
	pair_free(p);
}

/* Refusals pile up when nobody reads them. */
static void test_refusals(void)
{
	struct end e = { 0 };
	struct pair *p = broken_pair(&e);
	struct side *s = &p->sides[SESSION];

	s->refuse = EACCES;
	flood(p, 1000000, F(OPEN, .stream = 4), 2, false);
	tap_str(s->why.text, "tunnel: the agent doesn't read what is sent to it", "a million opens, and nobody reads the answers");
	pair_free(p);
}

static void test_pings(void)
{
	struct end e = { 0 };
	struct pair *p = broken_pair(&e);
	struct side *s = &p->sides[SESSION];
	struct frame ping = F(PING);

	for (int i = 0; i < 1000; i++) {
		raw_frame(p, &ping);
		if (i % 10 == 0)
			pair_wait(p, 1, NULL, NULL);
	}
	tap_ok(!s->gone, "pings are answered");
	flood(p, 100000, ping, 0, false);
	tap_str(s->why.text, "tunnel: the agent broke the protocol: a flood of pings", "a flood of them isn't");
	pair_free(p);
}

static void test_message(void)
{
	struct end e = { 0 };
	struct pair *p = broken_pair(&e);
	struct side *s = &p->sides[SESSION];

	for (size_t sent = 0; sent <= MUX_INFO_MAX && !s->gone; sent += FRAME_INFO_MAX) {
		raw_frame(p, &F(INFO, .topic = 5, .flags = FRAME_MORE, DATA_OF(FRAME_INFO_MAX)));
		pair_wait(p, 2, any_gone, p);
	}
	pair_wait(p, 100, any_gone, p);
	tap_ok(s->gone && strstr(s->why.text, "a message that is too long"), "a message without end: %s", s->why.text);
	pair_free(p);
}

/* Long waits, made short; the first tick is due at once. */
static void hurry(struct pair *p, unsigned int idle_ms, unsigned int gone_ms)
{
	struct mux *m = p->sides[SESSION].mux;

	m->times.idle = idle_ms * (uint64_t)LOOP_MS;
	m->times.gone = gone_ms * (uint64_t)LOOP_MS;
	m->times.tick = 10 * LOOP_MS;
	loop_arm(p->loop, &m->timer, loop_now(p->loop) + 10 * LOOP_MS);
}

static void test_silence(void)
{
	struct end e = { 0 };
	struct pair *p = pair_new_raw(SESSION, 0);
	struct side *s = &p->sides[SESSION];

	tap_ok(s->mux->timer.index && s->mux->timer.due - loop_now(p->loop) > 19 * LOOP_SECOND, "a hello has 20 seconds");
	hurry(p, 1000, 1000);
	pair_wait(p, 1000, any_gone, p);
	tap_str(s->why.text, "tunnel: the agent said no hello within 20 seconds", "then it is too late");
	pair_free(p);

	p = broken_pair(&e);
	s = &p->sides[SESSION];
	tap_ok(s->mux->times.idle == 10 * LOOP_SECOND && s->mux->times.gone == 30 * LOOP_SECOND, "the times are those of the document");
	hurry(p, 20, 400);
	for (int i = 0; i < 40; i++) { /* what is heard, a ping say, keeps it alive though its own ping isn't answered */
		raw_frame(p, &F(PING));
		pair_wait(p, 20, NULL, NULL);
	}
	tap_ok(!s->gone, "a peer that is heard is alive");
	pair_wait(p, 3000, any_gone, p);
	tap_str(s->why.text, "tunnel: nothing came from the agent for 0 seconds", "one that isn't is gone");
	pair_free(p);
}

static void test_answers(void)
{
	struct pair *p = pair_new(0);
	struct mux *m = p->sides[SESSION].mux;
	uint64_t before;

	pair_wait(p, 20, NULL, NULL);
	before = m->ping_cookie;
	hurry(p, 20, 100);
	pair_wait(p, 500, any_gone, p);
	tap_ok(!p->sides[SESSION].gone && m->ping_cookie > before + 5, "pings between two muxes keep them alive");
	pair_free(p);
}

/* A peer that sends and never reads. */
static void test_unread(void)
{
	struct end e = { .to_send = 1 << 30 };
	struct pair *p = broken_pair(&e);
	struct side *s = &p->sides[SESSION];

	hurry(p, 10000, 300);
	raw_frame(p, &F(CREDIT, .stream = 1, .amount = 1 << 30));
	for (int i = 0; i < 100 && !s->gone; i++) {
		raw_frame(p, &F(CREDIT, .stream = 1, .amount = 1));
		pair_wait(p, 20, any_gone, p);
		if (!s->gone && queue_len(&s->mux->bulk) > MUX_SEND_QUEUE)
			break;
	}
	tap_str(s->why.text, "tunnel: the agent read nothing for 0 seconds", "a peer that never reads is gone, after %zu KiB", e.sent >> 10);
	tap_ok(e.sent < 1 << 20, "little waits for it");
	pair_free(p);
}

/* Frames of all types with any numbers in them, many times. */
static void test_random(void)
{
	size_t gone = 0;

	srand(1);
	for (int round = 0; round < 200; round++) {
		struct end e = { .to_send = 5000 };
		struct pair *p = broken_pair(&e);

		for (int i = 0; i < 50 && !p->sides[SESSION].gone; i++) {
			uint8_t frame[FRAME_HEADER + 300] = { 0 };
			size_t body = (size_t)(rand() % 4 ? rand() % 60 : rand() % 300);

			for (size_t k = FRAME_HEADER; k < sizeof(frame); k++)
				frame[k] = (uint8_t)(rand() % 3 ? 0 : rand());
			put32(frame, (uint32_t)body);
			put32(frame + 4, (uint32_t)(rand() % 3 ? rand() % 3 : rand() % 12));
			put16(frame + 8, (uint16_t)(1 + rand() % 15));
			put16(frame + 10, (uint16_t)(rand() % 8));
			if (write(p->raw, frame, FRAME_HEADER + body) < 0)
				break;
			if (i % 5 == 0)
				pair_wait(p, 1, NULL, NULL);
		}
		pair_wait(p, 1, NULL, NULL);
		gone += p->sides[SESSION].gone;
		pair_free(p);
	}
	tap_ok(gone > 100, "garbage ends the tunnel (%zu of 200 times)", gone);
}

int main(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		test_case(i);
	test_hellos();
	test_cut();
	test_unknown();
	test_opens(STREAM_UDP, true);
	test_opens(STREAM_UDP, false);
	test_opens(STREAM_TCP, true);
	test_refusals();
	test_pings();
	test_message();
	test_silence();
	test_answers();
	test_unread();
	test_random();
	return tap_done();
}
