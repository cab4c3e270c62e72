// SPDX-License-Identifier: MIT
/* A mux and a peer that sends what it likes. The first byte is the mux's role; the next eight say how the owners of streams behave, in
 * turn; the rest is what the peer sends: two bytes of length, then bytes that arrive at once. A valid hello comes before
 * it, unless the first byte says no. When the tunnel can be resumed, a length of 65535 breaks the byte stream, and eight bytes behind it
 * are the position that the peer names on the next one. Whatever comes, every owner hears of its stream's end once, and all is given
 * back. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "net/bytes.h"
#include "tunnel/mux_internal.h"
#include "tunnel/writing.h"

enum { AGENT = 1, NO_HELLO = 2, RESUMABLE = 4 };
enum { BREAK = 65535, TAIL = 4096 };
enum { OWNERS = 4096, BEHAVIOURS = 8, HEAD = 1 + BEHAVIOURS };
/* What an owner does. */
enum { REFUSE = 1, LATER = 2, HOLD = 4, ECHO = 8, END = 16, CLOSE = 32, RESET_AT_DATA = 64, ATTACH = 128 };

struct owner {
	struct stream *s;
	uint8_t does;
	size_t held;
	bool over;
};

static struct owner owners[OWNERS];
static size_t n_owners;
static const uint8_t *behaviour;
static struct loop *loop;
static int gone;

static void let_go(struct owner *o)
{
	o->over = true;
	stream_close(o->s);
}

static void send_some(struct owner *o, const uint8_t *data, size_t len)
{
	size_t room;
	uint8_t *place = stream_reserve(o->s, &room);

	fuzz_check(!place || (room && room <= FRAME_DATA_MAX));
	if (!place)
		return;
	room = room < len ? room : len;
	if (room)
		memcpy(place, data, room);
	stream_commit(o->s, room);
}

static void on_data(void *arg, const uint8_t *data, size_t len)
{
	struct owner *o = arg;

	fuzz_check(!o->over && len);
	o->held += len;
	if (o->does & RESET_AT_DATA) {
		o->over = true;
		stream_reset(o->s, ECONNRESET);
		return;
	}
	if (o->does & ECHO)
		send_some(o, data, len);
	if (!(o->does & HOLD)) {
		stream_consumed(o->s, o->held);
		o->held = 0;
	}
}

static void on_end(void *arg)
{
	struct owner *o = arg;

	fuzz_check(!o->over);
	if (o->does & END)
		stream_end(o->s);
	if (o->does & CLOSE)
		let_go(o);
}

static void on_reset(void *arg, int error)
{
	struct owner *o = arg;

	fuzz_check(!o->over && error > 0);
	o->over = true;
}

static void on_room(void *arg)
{
	fuzz_check(!((struct owner *)arg)->over);
	send_some(arg, (const uint8_t *)"room", 4);
}

static void on_datagram(void *arg, const struct endpoint *peer, struct packet_marks marks, const uint8_t *data, size_t len)
{
	struct owner *o = arg;

	fuzz_check(!o->over && len <= 65535);
	if (o->does & ECHO)
		stream_send_datagram(o->s, peer, marks, data, len);
	if (o->does & CLOSE)
		let_go(o);
}

static void on_error(void *arg, const struct endpoint *peer, const struct icmp_error *error, const uint8_t *data, size_t len)
{
	struct owner *o = arg;

	fuzz_check(!o->over && len <= 65535);
	if (o->does & ECHO)
		stream_send_error(o->s, peer, error, data, len);
}

static const struct stream_events stream_events = { on_room, on_data, on_end, on_reset, on_room, on_datagram, on_error, NULL };

static struct owner *owner_new(struct stream *s)
{
	struct owner *o = &owners[n_owners];

	*o = (struct owner){ .s = s, .does = behaviour[n_owners % BEHAVIOURS] };
	n_owners++;
	return o;
}

static void on_open(void *arg, struct stream *s, const struct stream_request *request)
{
	struct owner *o;

	if (n_owners == OWNERS || behaviour[n_owners % BEHAVIOURS] & REFUSE) {
		stream_reset(s, ECONNREFUSED);
		return;
	}
	o = owner_new(s);
	if (o->does & ATTACH)
		stream_attach(s, &stream_events, o);
	if (!(o->does & LATER))
		stream_accept(s, &stream_events, o);
}

static void on_info(void *arg, uint16_t topic, const uint8_t *data, size_t len)
{
	fuzz_check(len <= MUX_INFO_MAX);
}

static void on_gone(void *arg, const struct error *why)
{
	fuzz_check(error_is_set(why) && !gone);
	gone++;
}

static void on_suspended(void *arg, const struct error *why)
{
	fuzz_check(error_is_set(why) && !gone);
}

static const struct mux_events mux_events = { .on_open = on_open, .on_info = on_info, .on_gone = on_gone };
static const struct mux_events resumable_events = {
	.on_open = on_open, .on_info = on_info, .on_gone = on_gone, .on_suspended = on_suspended
};

static void on_time(struct timer *t)
{
	loop_stop(loop);
}

static void turn(void)
{
	struct timer t = { .on_due = on_time };
	struct error err;

	loop_arm(loop, &t, 0);
	loop_run(loop, &err);
}

static struct hello peer_hello(bool agent, uint32_t flags)
{
	return (struct hello){ .lowest = 1, .highest = 1, .role = agent ? HELLO_SESSION : HELLO_AGENT, .streams = 100, .flags = flags,
			       .tail = TAIL };
}

static void say_hello(int peer, const struct hello *h)
{
	uint8_t out[HELLO_LEN];

	hello_encode(h, out);
	fuzz_check(write(peer, out, sizeof(out)) == sizeof(out));
}

/* The byte stream breaks, and the peer has all before @position on the next one. */
static void resume(struct mux *m, int *peer, bool agent, uint64_t position)
{
	struct hello h = peer_hello(agent, HELLO_CAN_RESUME | HELLO_RESUMES);
	int fds[2];

	close(*peer);
	fuzz_check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	*peer = fds[1];
	turn();
	h.position = position;
	if (agent && !mux_resumes(m, &h)) {
		close(fds[0]);
		return;
	}
	mux_resume(m, fds[0], fds[0], agent ? &h : NULL);
	if (!agent) {
		uint8_t out[HELLO_LEN];

		hello_encode(&h, out);
		send(*peer, out, sizeof(out), MSG_NOSIGNAL);
	}
	turn();
}

/* Two streams of the mux's own, which the peer may take or not. */
static void open_own(struct mux *m)
{
	for (int i = 0; i < 2; i++) {
		struct stream_request r = { .kind = i ? STREAM_UDP : STREAM_TCP };
		struct owner *o = owner_new(NULL);

		o->s = stream_open(m, &r, &stream_events, o);
		fuzz_check(o->s);
	}
}

static void feed(struct mux *m, int *peer, bool agent, const uint8_t *data, size_t size)
{
	static uint8_t answers[1 << 18];

	while (size >= 2 && !gone) {
		size_t len = get16(data) < size - 2 ? get16(data) : size - 2;

		if (m->keeping && get16(data) == BREAK && len >= 8) {
			resume(m, peer, agent, get64(data + 2));
			len = 8;
		} else if (len && send(*peer, data + 2, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && !m->keeping) {
			return;
		}
		turn();
		while (recv(*peer, answers, sizeof(answers), MSG_DONTWAIT) > 0)
			;
		data += 2 + len;
		size -= 2 + len;
	}
}

static void check_bounds(const struct mux *m)
{
	fuzz_check(m->budget_used <= MUX_BUDGET && m->streams.n <= MUX_STREAMS);
	fuzz_check(queue_len(&m->bulk) <= MUX_SEND_QUEUE + MUX_BURST && queue_len(&m->urgent) <= URGENT_MAX + 65536);
	fuzz_check(tail_len(&m->tail) <= MUX_TAIL + MUX_SEND_QUEUE + MUX_BURST + MUX_INFO_MAX + URGENT_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct mux_events *events = &mux_events;
	struct error err;
	struct hello hello;
	struct mux *m;
	int fds[2];
	bool agent;

	if (size < HEAD)
		return 0;
	agent = data[0] & AGENT;
	behaviour = data + 1;
	n_owners = 0;
	gone = 0;
	loop = loop_new(&err);
	fuzz_check(loop && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	if (data[0] & RESUMABLE)
		events = &resumable_events;
	hello = peer_hello(agent, data[0] & RESUMABLE ? HELLO_CAN_RESUME : 0);
	m = mux_new(loop, agent ? MUX_AGENT : MUX_SESSION, fds[0], fds[0], events, NULL, &err);
	fuzz_check(m);
	if (!(data[0] & NO_HELLO))
		say_hello(fds[1], &hello);
	open_own(m);
	feed(m, &fds[1], agent, data + HEAD, size - HEAD);
	check_bounds(m);
	for (size_t i = 0; i < n_owners; i++) /* those who answer late */
		if (owners[i].does & LATER && !(owners[i].does & ATTACH) && i >= 2)
			stream_accept(owners[i].s, &stream_events, &owners[i]);
	turn();
	close(fds[1]);
	turn();
	m->times.resume = 0; /* nobody resumes it any more */
	if (!gone)
		loop_arm(loop, &m->timer, 0);
	turn();
	turn();
	fuzz_check(gone);
	fuzz_check(m->budget_used == 0 && m->streams.n == 0);
	mux_free(m);
	for (size_t i = 0; i < n_owners; i++)
		fuzz_check(owners[i].over);
	loop_free(loop);
	return 0;
}
