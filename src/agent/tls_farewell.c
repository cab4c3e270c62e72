// SPDX-License-Identifier: MIT
#include "agent/tls_farewell.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

#define LINGER_TIME (2 * LOOP_SECOND)

struct farewell {
	struct list node;
	struct loop *loop;
	struct watch watch;
	struct backlog out;
	struct timer timer;
	struct deferred reap;
	bool shut;
};

static struct list all = { &all, &all };
static size_t count;

size_t tls_farewell_count(void)
{
	return count;
}

static void on_reap(struct deferred *d)
{
	free(container_of(d, struct farewell, reap));
}

/* Reset, if the peer hasn't ended: SO_LINGER is 0. */
static void end(struct farewell *f)
{
	count--;
	list_remove(&f->node);
	loop_disarm(f->loop, &f->timer);
	loop_unwatch(f->loop, &f->watch);
	close(f->watch.fd);
	backlog_fini(&f->out);
	loop_defer(f->loop, &f->reap, on_reap);
}

static void end_gently(struct farewell *f)
{
	fd_reset_on_close(f->watch.fd, false);
	end(f);
}

static void on_late(struct timer *t)
{
	end_gently(container_of(t, struct farewell, timer));
}

/* False: the connection is broken. */
static bool speak(struct farewell *f)
{
	ssize_t n = backlog_len(&f->out) ? send(f->watch.fd, backlog_first(&f->out), backlog_len(&f->out), MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

	if (n < 0)
		return errno == EAGAIN || errno == ENOBUFS;
	backlog_take(&f->out, (size_t)n);
	if (backlog_len(&f->out) || f->shut)
		return true;
	f->shut = true;
	return shutdown(f->watch.fd, SHUT_WR) == 0;
}

/* Returns what recv() did last. */
static ssize_t hear(const struct farewell *f)
{
	uint8_t data[4096];
	ssize_t n;

	while ((n = recv(f->watch.fd, data, sizeof(data), MSG_DONTWAIT)) > 0)
		;
	return n < 0 && errno == EAGAIN ? 1 : n;
}

static void on_ready(struct watch *w, uint32_t events)
{
	struct farewell *f = container_of(w, struct farewell, watch);
	ssize_t heard;

	if (!speak(f) || (heard = hear(f)) < 0)
		end(f);
	else if (!heard && f->shut)
		end_gently(f);
}

void tls_farewell(struct loop *loop, struct tls_codec *codec, int fd, struct backlog *out)
{
	struct farewell *f = calloc(1, sizeof(*f));
	size_t len;
	const uint8_t *last = tls_codec_seal_end(codec, &len);
	bool good = f && backlog_add(out, last, len) &&
		    loop_watch(loop, &f->watch, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, on_ready) == 0;

	tls_codec_free(codec);
	if (!good) {
		backlog_fini(out);
		close(fd);
		free(f);
		return;
	}
	f->loop = loop;
	f->out = *out;
	*out = (struct backlog){ 0 };
	f->timer.on_due = on_late;
	loop_arm(loop, &f->timer, loop_now(loop) + LINGER_TIME);
	list_append(&all, &f->node);
	count++;
	on_ready(&f->watch, 0);
}

void tls_farewell_reset_all(void)
{
	while (!list_empty(&all))
		end(container_of(all.next, struct farewell, node));
}
