// SPDX-License-Identifier: MIT
/* What bounds a mux: credit, budget, the send queue, turns; and what it does about it. */
#include "tunnel/pair.h"

#include <malloc.h>

static bool got_end(void *arg)
{
	return ((struct end *)arg)->ended;
}

static bool is_ready(void *arg)
{
	return ((struct side *)arg)->ready;
}

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
	tap_int(only_stream(p->sides[AGENT].mux)->window, fast ? MUX_WINDOW_NEAR : 64 << 10, fast ? "its window grew" : "a slow reader's didn't");
	pair_free(p);
	free(e);
}

/* The credit that the peer of @p was granted since the last call. */
static size_t credit_of(struct pair *p)
{
	static uint8_t in[1 << 16];
	ssize_t len = recv(p->raw, in, sizeof(in), MSG_DONTWAIT), n;
	size_t sum = 0;
	struct frame f;

	for (ssize_t at = 0; at < len && (n = frame_decode(in + at, (size_t)(len - at), &f)) > 0; at += n)
		sum += f.type == FRAME_CREDIT ? f.amount : 0;
	return sum;
}

/* Sends @len bytes of the stream, and that it would have sent more. */
static void send_dry(struct pair *p, uint32_t id, size_t len)
{
	static const uint8_t bytes[FRAME_DATA_MAX];

	for (size_t step; len; len -= step) {
		step = len < FRAME_DATA_MAX ? len : FRAME_DATA_MAX;
		raw_frame(p, &(struct frame){ .type = FRAME_DATA, .stream = id, .payload = bytes, .payload_len = step,
					      .flags = step == len ? FRAME_DRY : 0 });
		pair_wait(p, 0, NULL, NULL);
	}
}

/* A sender that is @trip ms away and at once sends what it may, which takes the way @pass ms: all that its way doesn't hold waits. */
static void test_far_window(unsigned int trip, unsigned int pass, uint32_t want, const char *what)
{
	struct pair *p = pair_new_raw(SESSION, 0);
	struct end e = { 0 };
	uint8_t hello[HELLO_LEN];
	size_t credit, left = 0;

	raw_hello(p, AGENT, MUX_STREAMS);
	pair_wait(p, trip, NULL, NULL);
	raw_frame(p, &(struct frame){ .type = FRAME_PONG, .number = 1 });
	end_open(p, SESSION, &e, STREAM_TCP, 1);
	raw_frame(p, &(struct frame){ .type = FRAME_OPENED, .stream = e.s->id });
	pair_wait(p, 1, NULL, NULL);
	tap_int(recv(p->raw, hello, sizeof(hello), 0), HELLO_LEN, "%u ms away, a window in %u", trip, pass);
	credit_of(p);
	credit = e.s->granted;
	for (int i = 0; i < 30; i++, credit = credit_of(p)) {
		pair_wait(p, pass, NULL, NULL);
		send_dry(p, e.s->id, credit);
	}
	tap_int(e.s->window, want, "%s", what);
	e.hold = true;
	for (int i = 0; i < 30; i++, left += credit, credit = credit_of(p))
		send_dry(p, e.s->id, credit);
	tap_int(left, want, "as much may come when it isn't read any more");
	tap_ok(e.s->mux->budget_used == want && !p->sides[SESSION].gone, "and no more");
	pair_free(p);
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

static unsigned int recalled(struct mux *m)
{
	unsigned int n = 0;

	for (struct table_node *node = table_first(&m->streams); node; node = table_after(&m->streams, node))
		n += container_of(node, struct stream, node)->recalled;
	return n;
}

/* With little of the budget left, a busy stream keeps a small window, but its credit isn't called back; an idle one's is. */
static void test_tight(void)
{
	struct pair *p = pair_new(3);
	struct end ends[2] = { 0 };
	struct mux *agent = p->sides[AGENT].mux;
	size_t others;

	end_open(p, SESSION, &ends[0], STREAM_TCP, 0);
	pair_wait(p, 1000, end_is_opened, &ends[0]);
	push_all(p, ends, 1, 4 << 20);
	tap_int(only_stream(agent)->window, MUX_WINDOW_NEAR, "a busy stream's window has grown");
	others = MUX_BUDGET / 4 * 3; /* as if other streams had so much */
	agent->budget_used += others;
	push_all(p, ends, 1, 4 << 20);
	tap_int(only_stream(agent)->window, 64 << 10, "it shrinks when the budget gets tight");
	end_open(p, SESSION, &ends[1], STREAM_TCP, 1);
	tap_ok(pair_wait(p, 1000, end_is_opened, &ends[1]), "a new stream opens");
	tap_int(recalled(agent), 0, "not at the cost of the busy one");
	tap_int(p->sides[AGENT].n_ends, 2, "both are there");
	stream_close(ends[1].s);
	pair_wait(p, 1100, NULL, NULL);
	tap_int(only_stream(agent)->window, 64 << 10, "when it has been idle for a second");
	end_open(p, SESSION, &ends[1], STREAM_TCP, 1);
	pair_wait(p, 1000, end_is_opened, &ends[1]);
	pair_wait(p, 20, NULL, NULL);
	tap_int(agent->budget_used - others, 2 * MUX_WINDOW_MIN, "both have the least");
	agent->budget_used -= others;
	pair_free(p);
}

/* Busy streams get as much of the budget as streams may. When they have gone idle, more new ones come than what is left is enough
 * for: the idle ones' credit is called back, and the budget is never exceeded. */
static void test_budget(void)
{
	enum { BUSY = 120, NEW = 20000, MORE = 1 << 20 };
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
	tap_ok(push_all(p, ends, BUSY, 256 << 10), "those that gave credit back go on");
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

/* Two muxes over pipes, which take little at a time. */
static struct pair *pair_new_pipes(size_t max)
{
	struct pair *p = pair_alloc();
	int up[2], down[2];

	if (pipe(up) < 0 || pipe(down) < 0)
		abort();
	side_start(p, SESSION, down[0], up[1]);
	side_start(p, AGENT, up[0], down[1]);
	pair_ends(p, max);
	return p;
}

/* Frames of all sizes change between the two queues; the pattern shows every byte out of its place. */
static void test_order(void)
{
	enum { STREAMS = 20, WRITES = 4000 };
	struct pair *p = pair_new_pipes(STREAMS);
	struct end *ends = calloc(STREAMS, sizeof(*ends));
	size_t wrong = 0, urgent = 0;

	srand(2);
	for (unsigned int i = 0; i < STREAMS; i++)
		end_open(p, SESSION, &ends[i], STREAM_TCP, i);
	pair_wait(p, 50, NULL, NULL);
	for (unsigned int i = 0; i < WRITES; i++) {
		static const unsigned int sizes[] = { 1, 100, 2000, 2048, 2049, 3000, 70000 };
		struct end *e = &ends[rand() % STREAMS];
		uint64_t before = p->sides[SESSION].mux->urgent.put;

		e->to_send += sizes[rand() % 7];
		end_push(e);
		urgent += p->sides[SESSION].mux->urgent.put > before && queue_len(&p->sides[SESSION].mux->bulk);
		if (i % 4 == 0)
			pair_wait(p, 0, NULL, NULL);
	}
	for (unsigned int i = 0; i < STREAMS; i++) {
		ends[i].end_after = true;
		end_push(&ends[i]);
	}
	for (unsigned int i = 0; i < STREAMS; i++) {
		struct end *f = &p->sides[AGENT].ends[i];

		pair_wait(p, 10000, got_end, f);
		wrong += f->wrong + (f->received != ends[i].to_send) + (f->ended != 1) + (size_t)f->reset;
	}
	tap_int(wrong, 0, "streams keep their order");
	tap_ok(urgent > 20, "though many frames overtook others (%zu)", urgent);
	pair_free(p);
	free(ends);
}

/* What the test reads until it has seen DATA of @id; returns the bytes of other streams' before it. */
static size_t bulk_before(struct pair *p, uint32_t id)
{
	static uint8_t in[4 << 20];
	static size_t len, at;
	size_t bulk = 0;

	for (int i = 0; i < 1000; i++) {
		ssize_t n = recv(p->raw, in + len, sizeof(in) - len, MSG_DONTWAIT);
		struct frame f;

		if (n > 0)
			len += (size_t)n;
		if (!at && len >= HELLO_LEN)
			at = HELLO_LEN;
		while ((n = frame_decode(in + at, len - at, &f)) > 0) {
			at += (size_t)n;
			if (f.type == FRAME_DATA && f.stream == id)
				return bulk;
			bulk += f.type == FRAME_DATA ? f.payload_len : 0;
		}
		pair_wait(p, 0, NULL, NULL);
	}
	return SIZE_MAX;
}

/* With the queue full of one stream's bulk, a few bytes of another go out next, behind what the socket holds already. */
static void test_overtaking(void)
{
	struct pair *p = pair_new_raw(SESSION, 0);
	struct mux *m = p->sides[SESSION].mux;
	struct end ends[2] = { { .to_send = 1 << 20 }, { .to_send = 64 } };
	int size = 64 << 10;
	size_t before;

	setsockopt(m->fds[SIDE_OUT], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	raw_hello(p, AGENT, MUX_STREAMS);
	for (unsigned int i = 0; i < 2; i++) {
		end_open(p, SESSION, &ends[i], STREAM_TCP, i);
		raw_frame(p, &(struct frame){ .type = FRAME_OPENED, .stream = ends[i].s->id, .amount = 1 << 20 });
		pair_wait(p, 20, NULL, NULL);
	}
	tap_ok(queue_len(&m->bulk) >= BULK_SOFT, "the queue is full");
	tap_int(ends[1].sent, 64, "there is room for a few bytes all the same");
	before = bulk_before(p, ends[1].s->id);
	tap_ok(before < 200 << 10, "which overtake the queue (%zu KiB are before them)", before >> 10);
	pair_free(p);
}

/* Streams that all want more than there is get the same. */
static void test_fair(void)
{
	enum { STREAMS = 5 };
	struct pair *p = pair_new_pipes(STREAMS);
	struct end *ends = calloc(STREAMS, sizeof(*ends));
	size_t least = SIZE_MAX, most = 0;

	for (unsigned int i = 0; i < STREAMS; i++) {
		ends[i].to_send = 1u << 30;
		end_open(p, SESSION, &ends[i], STREAM_TCP, i);
	}
	pair_wait(p, 500, NULL, NULL);
	for (unsigned int i = 0; i < STREAMS; i++) {
		size_t n = p->sides[AGENT].ends[i].received;

		least = n < least ? n : least;
		most = n > most ? n : most;
	}
	tap_ok(least > most / 2 && least > 1 << 20, "streams share alike (%zu to %zu KiB)", least >> 10, most >> 10);
	tap_ok(queue_len(&p->sides[SESSION].mux->bulk) <= MUX_SEND_QUEUE, "and the queue stays within its bound");
	pair_free(p);
	free(ends);
}

/* Four streams with much to say each, and a peer that reads: how often a stream has two frames in a row, of a hundred. */
static void test_turns(void)
{
	static uint8_t in[8 << 20];
	struct pair *p = pair_new_raw(SESSION, 0);
	struct end ends[4] = { 0 };
	size_t len = 0, n = 0, again = 0;
	uint32_t last = 0;

	raw_hello(p, AGENT, MUX_STREAMS);
	for (unsigned int i = 0; i < 4; i++) {
		ends[i].to_send = 4 << 20;
		end_open(p, SESSION, &ends[i], STREAM_TCP, i);
		raw_frame(p, &(struct frame){ .type = FRAME_OPENED, .stream = ends[i].s->id, .amount = 4 << 20 });
		pair_wait(p, 10, NULL, NULL);
	}
	for (int i = 0; i < 10000 && len < sizeof(in) - 65536; i++) {
		ssize_t r = recv(p->raw, in + len, 65536, MSG_DONTWAIT);

		len += r > 0 ? (size_t)r : 0;
		pair_wait(p, 0, NULL, NULL);
	}
	for (size_t at = HELLO_LEN; at < len;) {
		struct frame f;
		ssize_t r = frame_decode(in + at, len - at, &f);

		if (r <= 0)
			break;
		if (f.type == FRAME_DATA && n++ > 10)
			again += f.stream == last;
		last = f.type == FRAME_DATA ? f.stream : last;
		at += (size_t)r;
	}
	tap_ok(n >= 100 && again <= n / 20, "streams take turns frame by frame (%zu of %zu frames are out of turn)", again, n);
	pair_free(p);
}

/* So many streams send little at a time that bulk would never move if all of it went first. */
static void test_urgent_share(void)
{
	enum { STREAMS = 200 };
	struct pair *p = pair_new_raw(SESSION, 0);
	struct mux *m = p->sides[SESSION].mux;
	struct end bulk = { .to_send = 1 << 20 }, *ends = calloc(STREAMS, sizeof(*ends));

	raw_hello(p, AGENT, MUX_STREAMS);
	end_open(p, SESSION, &bulk, STREAM_TCP, 0);
	raw_frame(p, &(struct frame){ .type = FRAME_OPENED, .stream = bulk.s->id, .amount = 1 << 20 });
	for (unsigned int i = 0; i < STREAMS; i++) {
		end_open(p, SESSION, &ends[i], STREAM_TCP, i);
		raw_frame(p, &(struct frame){ .type = FRAME_OPENED, .stream = ends[i].s->id, .amount = 1 << 20 });
	}
	pair_wait(p, 50, NULL, NULL);
	for (unsigned int i = 0; i < STREAMS; i++) {
		ends[i].to_send = 1000;
		end_push(&ends[i]);
	}
	tap_ok(m->urgent_share >= URGENT_SHARE && m->urgent_share <= URGENT_SHARE + URGENT_DATA, "%zu bytes overtake, no more",
	       m->urgent_share);
	tap_int(ends[STREAMS - 1].sent, 0, "the rest waits its turn");
	pair_free(p);
	free(ends);
}

/* Datagrams that nobody takes are dropped; the queue stays bounded. */
static void flood(struct pair *p, struct end *e, int n)
{
	static uint8_t data[1400];

	for (int i = 0; i < n; i++) {
		stream_send_datagram(e->s, &(struct endpoint){ .port = 9 }, (struct packet_marks){ 0 }, data, sizeof(data));
		if (i % 1000 == 0)
			pair_wait(p, 0, NULL, NULL);
	}
}

/* A peer that reads @quick datagrams, and then nothing. */
static void test_datagram_flood(int quick)
{
	struct pair *p = pair_new_raw(SESSION, 0);
	struct mux *m = p->sides[SESSION].mux;
	static uint8_t in[1 << 20];
	struct end e = { 0 };
	size_t room;

	raw_hello(p, AGENT, MUX_STREAMS);
	end_open(p, SESSION, &e, STREAM_UDP, 1);
	raw_frame(p, &(struct frame){ .type = FRAME_OPENED, .stream = e.s->id });
	pair_wait(p, 20, NULL, NULL);
	for (int i = 0; i < quick; i += 50) {
		flood(p, &e, 50);
		pair_wait(p, 0, NULL, NULL);
		while (recv(p->raw, in, sizeof(in), MSG_DONTWAIT) > 0)
			;
	}
	flood(p, &e, 100000);
	room = MUX_SEND_QUEUE + (quick ? MUX_BURST : pace_of_late(&m->pace));
	tap_ok(queue_len(&m->bulk) <= room && queue_len(&m->bulk) > room - 2000, "datagrams fill the queue to its bound, %zu KiB", room >> 10);
	tap_ok(queue_len(&m->urgent) < URGENT_SHARE, "none of it in the way of others");
	tap_ok(!p->sides[SESSION].gone, "the rest is dropped");
	pair_free(p);
}

/* Bytes that are allocated, the queues' chunks left out. */
static size_t memory_used(struct pair *p)
{
	size_t chunks = 0;

	for (int i = 0; i < 2; i++) {
		pool_trim(&p->sides[i].mux->pool);
		for (struct chunk *c = p->sides[i].mux->urgent.first; c; c = c->next)
			chunks++;
		for (struct chunk *c = p->sides[i].mux->bulk.first; c; c = c->next)
			chunks++;
	}
	return mallinfo2().uordblks + mallinfo2().hblkhd - chunks * sizeof(struct chunk);
}

/* Memory of our own per stream that has carried 64 KiB each way and is idle. */
static void test_memory(void)
{
	enum { STREAMS = 500 };
	struct pair *p = pair_new(STREAMS);
	struct end *ends = calloc(STREAMS, sizeof(*ends));
	size_t before, after, each;

	p->sides[AGENT].like = (struct end){ .echo = true };
	pair_wait(p, 20, NULL, NULL);
	before = memory_used(p);
	for (unsigned int i = 0; i < STREAMS; i++) {
		ends[i].to_send = 64 << 10;
		end_open(p, SESSION, &ends[i], STREAM_TCP, i);
		ends[i].errors = 64 << 10;
		if (i % 100 == 99)
			pair_wait(p, 1000, got_all, &ends[i]);
	}
	pair_wait(p, 10000, got_all, &ends[STREAMS - 1]);
	each = (memory_used(p) - before) / STREAMS / 2;
	if (mallinfo2().uordblks) /* not under AddressSanitizer */
		tap_ok(each <= 300 && each > 50, "an idle stream takes %zu bytes", each);
	for (unsigned int i = 0; i < STREAMS; i++)
		stream_close(ends[i].s);
	pair_wait(p, 200, NULL, NULL);
	after = memory_used(p);
	tap_ok(after < before + (STREAMS * 2 * 16), "and gives it back (%zd bytes are left)", (ssize_t)(after - before));
	pair_free(p);
	free(ends);
}

/* The peer's hello says how many streams it takes. */
static void test_peer_streams(void)
{
	struct pair *p = pair_new_raw(SESSION, 0);
	struct end ends[3] = { 0 };

	raw_hello(p, AGENT, 2);
	pair_wait(p, 1000, is_ready, &p->sides[SESSION]);
	for (unsigned int i = 0; i < 3; i++)
		end_open(p, SESSION, &ends[i], STREAM_TCP, i);
	tap_ok(ends[0].s && ends[1].s && !ends[2].s && ends[2].reset == ENOBUFS, "no more streams than the peer takes");
	stream_close(ends[0].s);
	end_open(p, SESSION, &ends[2], STREAM_TCP, 2);
	tap_ok(ends[2].s, "another in the place of one");
	pair_free(p);
}

int main(void)
{
	test_peer_streams();
	test_blocked();
	test_unread();
	test_window(true);
	test_window(false);
	test_far_window(80, 80, MUX_WINDOW, "on a long way that is quick it grows further");
	test_far_window(80, 400, MUX_WINDOW_NEAR, "on one that takes longer for it, it doesn't");
	test_far_window(0, 1, MUX_WINDOW_NEAR, "nor on a short one");
	test_tight();
	test_budget();
	test_order();
	test_overtaking();
	test_fair();
	test_turns();
	test_urgent_share();
	test_datagram_flood(0);
	test_datagram_flood(20000);
	test_memory();
	return tap_done();
}
