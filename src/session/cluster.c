// SPDX-License-Identifier: MIT
/* An agent in a cluster. TLS, JSON and libcurl's memory are in a process of their own: the session stays small, and what is done there may
 * block. */
#include "session/cluster.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

struct cluster {
	struct loop *loop;
	int control;
	struct watch watch;
	const struct cluster_events *events;
	void *arg;
	unsigned int stream; /* the number of the last one */
	struct error why;
};

/* One message. Returns 1, 0 when there is none now, -1 when the process is gone. */
static int receive(struct cluster *c, struct kube_message *m, int *ret_fd)
{
	size_t n = 0;
	ssize_t len = fd_receive(c->control, m, sizeof(*m), ret_fd, 1, &n, MSG_DONTWAIT);

	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (!n)
		*ret_fd = -1;
	return len == (ssize_t)sizeof(*m) ? 1 : -1;
}

static void on_control(struct watch *w, uint32_t events)
{
	struct cluster *c = container_of(w, struct cluster, watch);
	struct kube_message m;
	int fd = -1, r = receive(c, &m, &fd);

	if (r == 0)
		return;
	if (r < 0 || m.kind == KUBE_MESSAGE_FAILED || m.kind == KUBE_MESSAGE_LOST) {
		loop_unwatch(c->loop, w);
		if (r < 0)
			error_set(&m.error, 0, "the process that carries the tunnel died");
		c->why = m.error;
		c->events->on_failed(c->arg, &m.error);
	} else if (m.kind == KUBE_MESSAGE_TUNNEL && fd >= 0) {
		c->stream = m.stream;
		c->events->on_tunnel(c->arg, fd, &m);
		return;
	}
	if (r > 0 && m.kind == KUBE_MESSAGE_GOING && c->events->on_going)
		c->events->on_going(c->arg, &m);
	fd_closep(&fd);
}

struct cluster *cluster_start(struct loop *loop, const struct kube_tunnel_options *options, const struct cluster_events *events, void *arg,
			      struct error *err)
{
	struct cluster *c = calloc(1, sizeof(*c));
	int control, kept[] = { -1, options->log_fd }, r;
	struct kube_tunnel_options its = *options;
	pid_t pid = c ? fd_fork_connected("mirrord-kube", SOCK_SEQPACKET, kept, 2, &control) : -1;

	if (pid < 0) {
		error_set(err, errno, "start the process that carries the tunnel");
		free(c);
		return NULL;
	}
	if (pid == 0) {
		its.log_fd = kept[1];
		kube_tunnel_run(&its, kept[0]);
	}
	*c = (struct cluster){ .loop = loop, .control = control, .events = events, .arg = arg };
	r = loop_watch(loop, &c->watch, c->control, EPOLLIN, on_control);
	if (r == 0)
		return c;
	error_set(err, -r, "watch the process that carries the tunnel");
	cluster_free(c);
	return NULL;
}

static void say(struct cluster *c, enum kube_message_kind kind)
{
	const struct kube_message m = { .kind = kind, .stream = c->stream };

	fd_send(c->control, &m, sizeof(m), NULL, 0);
}

void cluster_again(struct cluster *c)
{
	say(c, KUBE_MESSAGE_AGAIN);
}

bool cluster_is_lost(const struct cluster *c)
{
	return error_is_set(&c->why);
}

void cluster_quiet(struct cluster *c)
{
	say(c, KUBE_MESSAGE_QUIET);
}

bool cluster_why(struct cluster *c, struct error *ret)
{
	struct kube_message m;
	int fd = -1;

	while (receive(c, &m, &fd) > 0) {
		if (m.kind == KUBE_MESSAGE_LOST)
			c->why = m.error;
		fd_closep(&fd);
	}
	if (!error_is_set(&c->why))
		return false;
	*ret = c->why;
	return true;
}

void cluster_free(struct cluster *c)
{
	if (!c)
		return;
	loop_unwatch(c->loop, &c->watch);
	fd_closep(&c->control);
	free(c);
}
