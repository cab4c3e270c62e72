// SPDX-License-Identifier: MIT
/* The agent never waits for the process. What it has to say and what finds no room in the socket waits in the outbox; since all but what
 * comes of subscriptions is an answer, the process bounds that itself. */
#include "agent/mirror_link.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/mirror_process.h"
#include "agent/ring.h"
#include "base/fd.h"

enum { MESSAGES_A_TURN = 64 };

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

	if (events & EPOLLOUT)
		send_outbox(l);
	for (int i = 0; i < MESSAGES_A_TURN && mirror_link_is_up(l) && read_message(l); i++)
		;
}

static int watch_process(struct mirror_link *l, int control)
{
	int rc = loop_watch(l->loop, &l->control, control, EPOLLIN, on_control);

	if (rc < 0)
		close(control);
	(void)children_add(&l->children, l->pid);
	return rc;
}

int mirror_link_start(struct mirror_link *l, struct error *err)
{
	int control, rc;

	l->ring = ring_socket("mirroring", err);
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

void mirror_link_stop(struct mirror_link *l)
{
	if (!mirror_link_is_up(l))
		return;
	kill(l->pid, SIGKILL);
	loop_unwatch(l->loop, &l->control);
	close(l->control.fd);
	fd_closep(&l->ring);
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
