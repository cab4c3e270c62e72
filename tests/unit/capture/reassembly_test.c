// SPDX-License-Identifier: MIT
#include "capture/reassembly.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/segments.h"
#include "tap.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* What came out, in words: "open", "c5" five bytes of the client's, "sgap3", "cend", "ended" … */
struct log {
	char text[2048];
	int last;	     /* side of the data that is being counted; -1: none */
	uint32_t count;
	uint32_t at[SIDES];  /* offsets so far */
	size_t wrong;	     /* bytes that aren't what belongs there */
	uint8_t salt[SIDES];
};

static void say(struct log *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct log *l, const char *format, ...)
{
	size_t used = strlen(l->text);
	va_list args;

	va_start(args, format);
	vsnprintf(l->text + used, sizeof(l->text) - used, format, args);
	va_end(args);
}

static void end_count(struct log *l)
{
	if (l->last >= 0)
		say(l, l->last == SIDE_CLIENT ? "c%u " : "s%u ", l->count);
	l->last = -1;
	l->count = 0;
}

static void *on_open(void *arg, const struct endpoint ends[SIDES], bool middle)
{
	end_count(arg);
	say(arg, middle ? "middle " : "open ");
	return arg;
}

static void on_data(void *arg, void *owner, enum side from, const uint8_t *data, size_t len)
{
	struct log *l = owner;

	if (l->last != (int)from)
		end_count(l);
	l->last = from;
	l->count += (uint32_t)len;
	for (size_t i = 0; i < len; i++)
		l->wrong += data[i] != segment_byte(l->at[from]++, (uint8_t)(l->salt[from] + 100 * from));
}

static void on_gap(void *arg, void *owner, enum side from, size_t len)
{
	struct log *l = owner;

	end_count(l);
	say(l, "%cgap%zu ", "cs"[from], len);
	l->at[from] += (uint32_t)len;
}

static void on_end(void *arg, void *owner, enum side from)
{
	end_count(owner);
	say(owner, "%cend ", "cs"[from]);
}

static void on_close(void *arg, void *owner, enum reassembly_close why)
{
	static const char *const words[] = { [CLOSE_ENDED] = "ended", [CLOSE_RESET] = "reset", [CLOSE_FORGOTTEN] = "forgotten" };
	struct log *l = owner;

	end_count(l);
	say(l, "%s ", words[why]);
	memset(l->at, 0, sizeof(l->at));
}

static const struct reassembly_events events = { on_open, on_data, on_gap, on_end, on_close };

/* One step of a script. Each side acknowledges what it said last with ack=:
 *   S      the client's SYN; S+3 with 3 bytes; S9 another one, 9 further
 *   A      the server's SYN and ACK; A3 acknowledges 3 bytes of the SYN's
 *   c0+5   5 bytes of the client's from offset 0 on; F behind it: with FIN; x: other bytes than those
 *   s0+5   the same of the server's
 *   a5     the server acknowledges 5 bytes
 *   k5     the client does
 *   R5     a RST of the client's at offset 5; r5 of the server's */
struct player {
	struct reassembly *r;
	uint32_t first[2], ack[2]; /* ack: what each side says next */
	uint32_t sent[2];
};

static const char *read_number(const char *at, uint32_t *ret)
{
	char *end;

	*ret = (uint32_t)strtol(at, &end, 10);
	return end;
}

static void play_step(struct player *p, const char *step)
{
	struct segment_spec s = { .flags = TCP_ACK };
	char kind = *step++;
	struct packet packet;

	s.from = strchr("Asar", kind) != NULL;
	s.offset = p->sent[s.from];
	if (kind == 'a' || kind == 'k') {
		step = read_number(step, &p->ack[s.from]);
	} else if (kind == 'A') {
		s.flags = TCP_SYN | TCP_ACK;
		s.offset = UINT32_MAX;
		step = read_number(step, &p->ack[1]);
	} else if (kind == 'S') {
		s.flags = TCP_SYN;
		read_number(step, &s.offset);
		if (*step != '+' && *step)
			p->first[0] += s.offset;
		s.offset = UINT32_MAX;
		step += strcspn(step, "+");
		if (*step)
			step = read_number(step + 1, &s.len);
	} else {
		step = read_number(step, &s.offset);
		if (*step == '+')
			step = read_number(step + 1, &s.len);
		if (kind == 'R' || kind == 'r')
			s.flags = TCP_RST | (kind == 'r' ? TCP_ACK : 0);
		else if (s.offset + s.len > p->sent[s.from])
			p->sent[s.from] = s.offset + s.len;
	}
	for (; *step; step++) {
		if (*step == 'F')
			s.flags |= TCP_FIN;
		if (*step == 'x')
			s.salt = 1;
	}
	s.ack = p->ack[s.from];
	packet = segment_packet(&s, p->first);
	reassembly_packet(p->r, &packet, s.from ? SIDE_SERVER : SIDE_CLIENT, 0);
}

static void play(struct log *l, const char *script, uint32_t first, const bool wanted[SIDES])
{
	struct player p = { .r = reassembly_new(wanted, &events, l), .first = { first, first + 77777 } };
	char step[32];
	int used;

	*l = (struct log){ .last = -1 };
	for (; sscanf(script, "%31s%n", step, &used) == 1; script += used)
		play_step(&p, step);
	end_count(l);
	if (*l->text)
		l->text[strlen(l->text) - 1] = '\0';
	reassembly_free(p.r);
}

static const struct {
	const char *name, *script, *want;
} scripts[] = {
	{ "a request and its answer", "S A c0+5 a5 s0+7 k7", "open c5 s7" },
	{ "nothing is given before it is acknowledged", "S A k0 c0+5", "open" },
	{ "an acknowledgement in the middle", "S A k0 c0+5 a3", "open c3" },
	{ "… and the rest", "S A k0 c0+5 a3 a5 c5+5 a10", "open c10" },
	{ "both say FIN", "S A c0+5F a6 s0+4F k5", "open c5 cend s4 send ended" },
	{ "the server says FIN first", "S A c0+2 a2 s0+4F k5 c2+3 a5 c5+0F a6", "open c2 s4 send c3 cend ended" },
	{ "half-close, then the answer", "S A c0+5F a6 s0+9 k9 s9+9 k18", "open c5 cend s18" },
	{ "two segments swapped", "S A c5+5 c0+5 a10", "open c10" },
	{ "FIN before the data", "S A c5+0F c0+5 a6", "open c5 cend" },
	{ "one twice", "S A c0+5 c0+5 a5", "open c5" },
	{ "one again after the acknowledgement", "S A c0+5 a5 c0+5 c5+2 a7", "open c7" },
	{ "other bytes after the acknowledgement: too late", "S A c0+5 a5 c0+5x c5+2 a7", "open c7" },
	{ "other bytes before it", "S A c0+5 c0+5x a5", "open cgap5" },
	{ "… and it goes on behind them", "S A c0+5 c0+5x a5 c5+5 a10", "open cgap5 c5" },
	{ "other bytes in a part", "S A c0+4 c5+5 c3+3x a10 c10+2 a12", "open cgap10 c2" },
	{ "a segment over the end of another", "S A c0+5 c3+5 a8", "open c8" },
	{ "a segment around another", "S A c3+2 c0+9 a9", "open c9" },
	{ "a segment over two and the room between", "S A c0+3 c6+3 c1+7 a9", "open c9" },
	{ "a hole", "S A c0+3 c6+3 a9", "open c3 cgap3 c3" },
	{ "a hole at the beginning", "S A c6+3 a9", "open cgap6 c3" },
	{ "a hole at the end", "S A c0+3 a9 c9+2 a11", "open c3 cgap6 c2" },
	{ "a hole before FIN", "S A c5+0F a6", "open cgap5 cend" },
	{ "no hole while nobody has it", "S A c0+3 c6+3 a3", "open c3" },
	{ "a refused segment comes again with other bytes", "S A c0+5x a0 c0+5x a5", "open c5" },
	{ "keep-alive without a byte", "S A c0+5 a5 c4+0 a5 c5+2 a7", "open c7" },
	{ "keep-alive with a byte of garbage", "S A c0+5 a5 c4+1x a5 c5+2 a7", "open c7" },
	{ "window probe, taken later", "S A c0+5 a5 c5+1 a5 c5+1 a5 c5+4 a9", "open c9" },
	{ "an old acknowledgement", "S A c0+5 a5 a2 c5+1 a6", "open c6" },
	{ "data with the SYN", "S+4 A4 c4+3 a7", "open c7" },
	{ "data with the SYN, all of it", "S+4 A4 k0", "open c4" },
	{ "data with the SYN, not taken", "S+4 A c0+4x a4", "open c4" },
	{ "data with the SYN, half of it taken", "S+4 A2 c2+4 a6", "open c6" },
	{ "a greeting of the server's", "S A s0+9 k9 c0+3 a3", "open s9 c3" },
	{ "refused", "S r0", "" },
	{ "given up after the answer", "S A R0", "" },
	{ "a RST of the server's after its answer", "S A r0", "" },
	{ "SYN twice", "S S A A c0+1 a1", "open c1" },
	{ "another SYN before the answer", "S S9 A c0+1 a1", "open c1" },
	{ "RST of the client's", "S A c0+5 a5 R5", "open c5 reset" },
	{ "RST with data that nobody acknowledged", "S A c0+5 R5", "open c5 reset" },
	{ "RST with data behind a hole", "S A c0+5 c7+2 R5", "open c5 reset" },
	{ "RST at the end of what was selectively acknowledged", "S A c0+5 c7+2 R9", "open c5 reset" },
	{ "RST beyond: a challenge, no end", "S A c0+5 R8 a5 c5+2 a7", "open c7" },
	{ "RST before: old", "S A c0+5 R4 a5 c5+2 a7", "open c7" },
	{ "RST behind FIN", "S A c0+5F a6 R6", "open c5 cend reset" },
	{ "RST of the server's", "S A c0+5 r0", "open c5 reset" },
	{ "after the RST nothing", "S A c0+5 R5 c5+3 a8 r0", "open c5 reset" },
	{ "after the end nothing", "S A c0+5F a6 s0+4F k5 c0+5F a6 k5", "open c5 cend s4 send ended" },
	{ "the same addresses again", "S A c0+5 R5 S99 A c0+2 a2", "open c5 reset open c2" },
	{ "a SYN alone ends nothing", "S A c0+5 S99 k0", "open" },
	{ "a new connection whose predecessor's end was missed", "S A c0+5 a5 S99 A c0+2 a2", "open c5 forgotten open c2" },
	{ "a FIN that the server didn't take for one", "S A c0+3 c3+0F a3 c3+4 a7", "open c7" },
	{ "data behind FIN", "S A c0+3F c3+3 a4", "open c3 cend" },
	{ "FIN twice", "S A c0+3F c0+3F a4 c3+0F", "open c3 cend" },
	{ "only acknowledgements of something unknown", "k5 a5 k6", "" },
	{ "FIN of something unknown", "c5+0F a6", "" },
	{ "in the middle", "c0+5 a5 c5+2 a7", "middle c7" },
	{ "in the middle, one before it comes late", "c5+5 c0+5 a10 c10+2 a12", "middle c7" },
	{ "in the middle, by the server", "s0+5 k5 c0+1 a1", "middle s5 c1" },
	{ "no SYN seen", "A c0+5 a5", "middle c5" },
	{ "far beyond every window", "S A c0+5 c1073741900+5 a5", "open c5" },
};

static void test_script(size_t row, uint32_t first)
{
	static const bool both[SIDES] = { true, true };
	struct log l;

	/* In the middle, what comes out begins where the first packet did. */
	play(&l, scripts[row].script, first, both);
	tap_str(l.text, scripts[row].want, "%s, from %u", scripts[row].name, first);
	if (!strchr(scripts[row].script, 'x') && strncmp(scripts[row].want, "middle", 6) != 0)
		tap_int(l.wrong, 0, "%s, from %u: the right bytes", scripts[row].name, first);
}

/* With heads of the server's packets alone nothing of it is told, and the client's is the same. */
static void test_client_only(void)
{
	static const bool client[SIDES] = { true, false };
	struct log l;

	play(&l, "S A c0+5 s0+700 k700 c5+5F a11 s700+4F k705", 9, client);
	tap_str(l.text, "open c10 cend ended", "the client's side alone");
	play(&l, "s0+700 k700 c0+5 a5", 9, client);
	tap_str(l.text, "middle c5", "the client's side alone, in the middle");
}

/* The receiver: acknowledges what it has without a hole. */
struct receiver {
	uint8_t have[64];
	uint32_t next;
};

static uint32_t receive(struct receiver *v, uint32_t offset, uint32_t len)
{
	memset(v->have + offset, 1, len);
	while (v->have[v->next])
		v->next++;
	return v->next;
}

enum { PIECES = 6, STREAM = 24 };

/* Pieces @cuts[i] to @cuts[i + 1], @overlap bytes longer on both sides, in the order given. */
static bool arrives(const uint32_t *cuts, const int *order, int n, uint32_t overlap, bool ack_each)
{
	static const bool client[SIDES] = { true, false };
	struct log l = { .last = -1 };
	struct player p = { .r = reassembly_new(client, &events, &l), .first = { UINT32_MAX - 9, 5 } };
	struct receiver v = { 0 };

	play_step(&p, "S");
	play_step(&p, "A");
	for (int i = 0; i < n; i++) {
		uint32_t from = cuts[order[i]], to = cuts[order[i] + 1];
		char step[32];

		from = from > overlap ? from - overlap : 0;
		to = to + overlap < STREAM ? to + overlap : STREAM;
		snprintf(step, sizeof(step), "c%u+%u", from, to - from);
		play_step(&p, step);
		snprintf(step, sizeof(step), "a%u", receive(&v, from, to - from));
		if (ack_each || i == n - 1)
			play_step(&p, step);
	}
	end_count(&l);
	reassembly_free(p.r);
	return strcmp(l.text, "open c24 ") == 0 && !l.wrong;
}

static size_t permute(int *order, int at, const uint32_t *cuts, size_t *ret_n)
{
	size_t bad = 0;

	if (at == PIECES) {
		for (uint32_t overlap = 0; overlap < 4; overlap++)
			bad += !arrives(cuts, order, PIECES, overlap, true) + !arrives(cuts, order, PIECES, overlap, false);
		*ret_n += 8;
		return bad;
	}
	for (int i = at; i < PIECES; i++) {
		int t = order[at];

		order[at] = order[i];
		order[i] = t;
		bad += permute(order, at + 1, cuts, ret_n);
		order[i] = order[at];
		order[at] = t;
	}
	return bad;
}

static void test_orders(void)
{
	static const uint32_t cuts[PIECES + 1] = { 0, 1, 7, 10, 11, 19, STREAM };
	int order[PIECES] = { 0, 1, 2, 3, 4, 5 };
	size_t n = 0, bad = permute(order, 0, cuts, &n);

	tap_ok(bad == 0 && n == 720 * 8, "six pieces in every order, apart and overlapping: %zu of %zu are wrong", bad, n);
}

/* Three pieces: every pair of cuts, every order. */
static void test_cuts(void)
{
	static const int orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	size_t bad = 0, n = 0;

	for (uint32_t a = 1; a < STREAM - 1; a++)
		for (uint32_t b = a + 1; b < STREAM; b++)
			for (int o = 0; o < 6; o++, n++)
				bad += !arrives((const uint32_t[]){ 0, a, b, STREAM }, orders[o], 3, n % 3, n % 2);
	tap_int(bad, 0, "three pieces, every split, every order");
}

static uint64_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return *state >> 33;
}

/* Pieces of any length at any place, until the receiver has all: nothing is missing, nothing comes twice. */
static void test_random(void)
{
	static const bool client[SIDES] = { true, false };
	uint64_t state = 1;
	size_t bad = 0;

	for (int run = 0; run < 2000; run++) {
		struct log l = { .last = -1 };
		struct player p = { .r = reassembly_new(client, &events, &l), .first = { (uint32_t)next_random(&state) * 5, 5 } };
		struct receiver v = { 0 };

		play_step(&p, "S");
		play_step(&p, "A");
		while (v.next < STREAM) {
			uint32_t from = (uint32_t)next_random(&state) % STREAM, len = (uint32_t)next_random(&state) % (STREAM - from) + 1;
			char step[32];

			snprintf(step, sizeof(step), "c%u+%u", from, len);
			play_step(&p, step);
			receive(&v, from, len);
			snprintf(step, sizeof(step), "a%u", v.next);
			if (v.next == STREAM || next_random(&state) % 2)
				play_step(&p, step);
		}
		end_count(&l);
		bad += strcmp(l.text, "open c24 ") != 0 || l.wrong || reassembly_bytes(p.r) != 0;
		reassembly_free(p.r);
	}
	tap_int(bad, 0, "2000 random arrivals");
}

/* Connections by the port of the client's. */
static void feed(struct reassembly *r, uint16_t port, uint8_t from, uint8_t flags, uint32_t seq, uint32_t ack, uint32_t len, uint64_t now)
{
	const struct segment_spec s = { .from = from, .flags = flags, .len = len };
	struct packet p = segment_packet(&s, (const uint32_t[2]){ 0, 0 });

	p.tcp_seq = seq;
	p.tcp_ack = ack;
	p.src.port = from ? 80 : port;
	p.dst.port = from ? port : 80;
	reassembly_packet(r, &p, from ? SIDE_SERVER : SIDE_CLIENT, now);
}

static void shake(struct reassembly *r, uint16_t port, uint64_t now)
{
	feed(r, port, 0, TCP_SYN, 99, 0, 0, now);
	feed(r, port, 1, TCP_SYN | TCP_ACK, 499, 100, 0, now);
	feed(r, port, 0, TCP_ACK, 100, 500, 0, now);
}

static size_t count_words(const char *text, const char *word)
{
	size_t n = 0;

	for (; (text = strstr(text, word)); text += strlen(word))
		n++;
	return n;
}

/* A receiver that acknowledges nothing, a sender that sends on. */
static void test_memory(void)
{
	static const bool client[SIDES] = { true, false };
	struct log l = { .last = -1 };
	struct reassembly *r = reassembly_new(client, &events, &l);
	size_t most = 0;

	for (uint16_t port = 1; port <= 20; port++)
		shake(r, port, 0);
	*l.text = '\0';
	for (uint32_t at = 0; at < REASSEMBLY_HALF_BYTES + (1 << 20); at += SEGMENT_BYTES) {
		for (uint16_t port = 1; port <= 20; port++)
			feed(r, port, 0, TCP_ACK, 100 + at, 500, SEGMENT_BYTES, 0);
		most = reassembly_bytes(r) > most ? reassembly_bytes(r) : most;
	}
	tap_ok(most <= REASSEMBLY_BYTES && most > REASSEMBLY_BYTES / 2, "no more waits than may: %zu", most);
	tap_ok(count_words(l.text, "cgap") >= 12, "those that waited for more went on behind a gap");
	for (uint16_t port = 1; port <= 20; port++)
		feed(r, port, 0, TCP_RST, 100 + REASSEMBLY_HALF_BYTES + (1 << 20), 0, 0, 0);
	tap_int(reassembly_bytes(r), 0, "nothing waits when they are gone");
	tap_int(reassembly_count(r), 0, "and none is open");
	reassembly_free(r);
}

static void test_flood(void)
{
	static const bool client[SIDES] = { true, false };
	static struct log l;
	struct reassembly *r = reassembly_new(client, &events, &l);

	l.last = -1;
	shake(r, 1, 0);
	for (uint32_t i = 0; i < 3 * REASSEMBLY_OPENING; i++)
		feed(r, (uint16_t)(2 + i), 0, TCP_SYN, i, 0, 0, 0);
	tap_int(reassembly_count(r), 1, "a flood of SYNs drives out no open connection");
	feed(r, 1, 0, TCP_ACK, 100, 500, 3, 0);
	feed(r, 1, 1, TCP_ACK, 500, 103, 0, 0);
	end_count(&l);
	tap_str(l.text, "open c3 ", "which goes on");
	shake(r, 60000, 0);
	tap_int(reassembly_count(r), 2, "and new ones get through");
	reassembly_free(r);
}

static bool gone_if_odd(void *arg, const struct endpoint ends[SIDES])
{
	return ends[SIDE_CLIENT].port % 2;
}

static void test_expire(void)
{
	static const bool client[SIDES] = { true, false };
	struct log l = { .last = -1 };
	struct reassembly *r = reassembly_new(client, &events, &l);

	for (uint16_t port = 1; port <= 10; port++)
		shake(r, port, port);
	feed(r, 3, 0, TCP_ACK, 100, 500, 0, 11);
	*l.text = '\0';
	reassembly_expire(r, 6, 20, 100, gone_if_odd);
	tap_str(l.text, "forgotten forgotten ", "the silent ones that are gone close: 1 and 5");
	reassembly_expire(r, 6, 20, 100, gone_if_odd);
	tap_int(reassembly_count(r), 8, "the others are not asked for again");
	reassembly_expire(r, 100, 200, 1, gone_if_odd);
	tap_int(reassembly_count(r), 8, "no more than max are asked");
	reassembly_free(r);
}

int main(void)
{
	static const uint32_t firsts[] = { 1000, 0, UINT32_MAX - 3, 0x7fffffff - 3 };

	for (size_t i = 0; i < COUNT(scripts); i++)
		for (size_t k = 0; k < COUNT(firsts); k++)
			test_script(i, firsts[k]);
	test_client_only();
	test_orders();
	test_cuts();
	test_random();
	test_memory();
	test_flood();
	test_expire();
	return tap_done();
}
