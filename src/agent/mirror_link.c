// SPDX-License-Identifier: MIT
/* Until it is wanted (mirror_link_bind()) the process has one thing to say, that its ring is there, which stays unread until then.
 *
 * From then on the agent never waits for the process. What it has to say and what finds no room in the socket waits in the outbox; since all but what
 * comes of subscriptions is an answer, the process bounds that itself. */
#include "agent/mirror_link.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/mirror_process.h"
#include "agent/ring.h"
#include "base/fd.h"

enum { MESSAGES_A_TURN = 64, READY_MS = 10000 };

struct outgoing {
	struct list node;
	struct mirror_message message;
	int fd;
};

bool mirror_link_is_up(const struct mirror_link *l)
{
	return l->ring >= 0;
}

static bool send_now(struct mirror_link *l, const struct outgoing *o)
{
	if (fd_send(l->control.fd, &o->message, sizeof(o->message), &o->fd, o->fd >= 0) == 0)
		return true;
	return errno != EAGAIN && errno != ENOBUFS && errno != ETOOMANYREFS; /* else it is gone, and its end is on its way */
}

static void drop_outgoing(struct outgoing *o)
{
	list_remove(&o->node);
	fd_closep(&o->fd);
	free(o);
}

static void send_outbox(struct mirror_link *l)
{
	while (!list_empty(&l->outbox)) {
		struct outgoing *o = container_of(l->outbox.next, struct outgoing, node);

		if (!send_now(l, o))
			break;
		drop_outgoing(o);
	}
	loop_rewatch(l->loop, &l->control, list_empty(&l->outbox) ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

void mirror_link_tell(struct mirror_link *l, const struct mirror_message *message, int fd)
{
	struct outgoing *o = mirror_link_is_up(l) ? malloc(sizeof(*o)) : NULL;

	if (!o) {
		fd_closep(&fd);
		return;
	}
	*o = (struct outgoing){ .message = *message, .fd = fd };
	list_append(&l->outbox, &o->node);
	send_outbox(l);
}

/* False when there is none. */
static bool read_message(struct mirror_link *l)
{
	size_t n = 0;
	ssize_t len = fd_receive(l->control.fd, l->buffer, sizeof(l->buffer), NULL, 0, &n, MSG_DONTWAIT);

	if (len == 0 || (len < 0 && errno != EAGAIN && errno != EMSGSIZE)) {
		mirror_link_stop(l);
		l->events->on_death(l->arg);
		return false;
	}
	if (len < (ssize_t)sizeof(struct mirror_message))
		return false;
	l->events->on_message(l->arg, (const void *)l->buffer, (size_t)len - sizeof(struct mirror_message));
	return true;
}

static void on_control(struct watch *w, uint32_t events)
{
	struct mirror_link *l = container_of(w, struct mirror_link, control);

	if (!l->bound) { /* it has ended */
		mirror_link_stop(l);
		return;
	}
	if (events & EPOLLOUT)
		send_outbox(l);
	for (int i = 0; i < MESSAGES_A_TURN && mirror_link_is_up(l) && read_message(l); i++)
		;
}

static int watch_process(struct mirror_link *l, int control)
{
	int rc = loop_watch(l->loop, &l->control, control, 0, on_control);

	if (rc < 0)
		close(control);
	(void)children_add(&l->children, l->pid);
	return rc;
}

int mirror_link_start(struct mirror_link *l, struct error *err)
{
	int control, rc;

	l->ring = ring_open("mirroring", err);
	if (l->ring < 0)
		return -1;
	l->pid = mirror_process_start(l->ring, &control, err);
	if (l->pid < 0) {
		fd_closep(&l->ring);
		return -1;
	}
	rc = watch_process(l, control);
	if (rc < 0) {
		kill(l->pid, SIGKILL);
		fd_closep(&l->ring);
		return error_set(err, -rc, "watch the mirroring process");
	}
	return 0;
}

/* What the process says first. */
static int await_ready(struct mirror_link *l, struct error *err)
{
	struct pollfd word = { .fd = l->control.fd, .events = POLLIN };
	const struct mirror_message *m = (const void *)l->buffer;
	ssize_t len;
	size_t n = 0;
	int r;

	while ((r = poll(&word, 1, READY_MS)) < 0 && errno == EINTR)
		;
	if (r == 0)
		return error_set(err, ETIMEDOUT, "start the mirroring process");
	len = fd_receive(l->control.fd, l->buffer, sizeof(l->buffer), NULL, 0, &n, MSG_DONTWAIT) - (ssize_t)sizeof(*m);
	if (len < 0 || m->kind != MIRROR_READY)
		return error_set(err, 0, "the mirroring process ended as it began");
	return len ? error_set(err, 0, "%.*s", (int)len, (const char *)(m + 1)) : 0;
}

int mirror_link_bind(struct mirror_link *l, struct error *err)
{
	int r;

	if (l->bound)
		return 0;
	if (await_ready(l, err) < 0 || ring_bind(l->ring, err) < 0) {
		mirror_link_stop(l);
		return -1;
	}
	l->bound = true;
	r = loop_rewatch(l->loop, &l->control, EPOLLIN);
	return r < 0 ? error_set(err, -r, "watch the mirroring process") : 0;
}

void mirror_link_stop(struct mirror_link *l)
{
	if (!mirror_link_is_up(l))
		return;
	kill(l->pid, SIGKILL);
	loop_unwatch(l->loop, &l->control);
	close(l->control.fd);
	fd_closep(&l->ring);
	l->bound = false;
	while (!list_empty(&l->outbox))
		drop_outgoing(container_of(l->outbox.next, struct outgoing, node));
}

void mirror_link_init(struct mirror_link *l, struct loop *loop, const struct mirror_link_events *events, void *arg)
{
	l->loop = loop;
	l->events = events;
	l->arg = arg;
	l->ring = -1;
	list_init(&l->outbox);
	children_init(&l->children, loop);
}

void mirror_link_fini(struct mirror_link *l)
{
	mirror_link_stop(l);
	children_fini(&l->children);
}
