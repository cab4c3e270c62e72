// SPDX-License-Identifier: MIT
/* One read(2) at a time, of as many bytes as the hello is known to have: what is behind it is the mux's. */
#include "tunnel/greeting.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "net/bytes.h"
#include "tunnel/frame.h"

#define GREETING_TIME (10 * LOOP_SECOND)

struct greeting {
	struct loop *loop;
	int in, out;
	struct watch watch;
	struct timer timer;
	struct hello_reader reader;
	greeting_done_fn done;
	void *arg;
};

/* Bytes of the hello that are missing, as far as is known. */
static size_t missing(const struct hello_reader *r)
{
	size_t whole = HELLO_LEN;

	if (r->len >= HELLO_LEN)
		whole = get16(r->data + HELLO_MAGIC);
	return whole - r->len;
}

int hello_read(struct hello_reader *r, int fd, struct hello *ret)
{
	for (;;) {
		ssize_t n = hello_decode(r->data, r->len, ret);

		if (n)
			return n < 0 ? HELLO_READ_FAILED : HELLO_READ_WHOLE;
		n = read(fd, r->data + r->len, missing(r));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return HELLO_READ_MORE;
		if (n <= 0)
			return HELLO_READ_FAILED;
		r->len += (size_t)n;
	}
}

static void leave(struct greeting *g)
{
	loop_unwatch(g->loop, &g->watch);
	loop_disarm(g->loop, &g->timer);
}

static void finish(struct greeting *g, const struct hello *hello)
{
	greeting_done_fn done = g->done;
	void *arg = g->arg;
	int in = g->in, out = g->out;

	leave(g);
	free(g);
	done(arg, in, out, hello);
}

static void on_in(struct watch *w, uint32_t events)
{
	struct greeting *g = container_of(w, struct greeting, watch);
	struct hello h;
	int r = hello_read(&g->reader, g->in, &h);

	if (r != HELLO_READ_MORE)
		finish(g, r == HELLO_READ_WHOLE ? &h : NULL);
}

static void on_time(struct timer *t)
{
	finish(container_of(t, struct greeting, timer), NULL);
}

struct greeting *greeting_new(struct loop *loop, int in, int out, greeting_done_fn done, void *arg)
{
	struct greeting *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return NULL;
	*g = (struct greeting){ .loop = loop, .in = in, .out = out, .timer.on_due = on_time, .done = done, .arg = arg };
	r = fd_set_nonblocking(in, true) < 0 || fd_set_nonblocking(out, true) < 0 ? -errno : 0;
	if (!r)
		r = loop_watch(loop, &g->watch, in, EPOLLIN, on_in);
	if (!r)
		r = loop_arm(loop, &g->timer, loop_now(loop) + GREETING_TIME);
	if (!r)
		return g;
	leave(g);
	free(g);
	errno = -r;
	return NULL;
}

static void close_both(int in, int out)
{
	close(in);
	if (out != in)
		close(out);
}

void greeting_free(struct greeting *g)
{
	if (!g)
		return;
	leave(g);
	close_both(g->in, g->out);
	free(g);
}

void greeting_refuse(int in, int out)
{
	static const char why[] = "it has no such tunnel any more";
	const struct hello h = { .lowest = 1, .highest = 1, .role = HELLO_AGENT };
	const struct frame f = { .type = FRAME_CLOSE, .payload_len = sizeof(why) - 1 };
	uint8_t bytes[HELLO_LEN + FRAME_HEAD_MAX + sizeof(why)];
	size_t len = HELLO_LEN;

	hello_encode(&h, bytes);
	len += frame_encode(&f, bytes + len);
	memcpy(bytes + len, why, f.payload_len);
	if (write(out, bytes, len + f.payload_len) < 0)
		errno = 0; /* whom it is for has gone */
	close_both(in, out);
}
