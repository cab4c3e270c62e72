// SPDX-License-Identifier: MIT
#include "agent/children.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

enum { END_MS = 200 }; /* for all of them together */

struct child {
	struct list node;
	struct watch watch; /* of its pidfd */
	struct children *all;
	pid_t pid;
};

void children_init(struct children *all, struct loop *loop)
{
	*all = (struct children){ .loop = loop };
	list_init(&all->all);
}

static void reap(struct child *c)
{
	waitpid(c->pid, NULL, WNOHANG);
	loop_unwatch(c->all->loop, &c->watch);
	close(c->watch.fd);
	list_remove(&c->node);
	c->all->n--;
	free(c);
}

static void on_end(struct watch *w, uint32_t events)
{
	reap(container_of(w, struct child, watch));
}

int children_add(struct children *all, pid_t pid)
{
	struct child *c = calloc(1, sizeof(*c));
	int pidfd, r;

	if (!c)
		return -ENOMEM;
	*c = (struct child){ .all = all, .pid = pid };
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	r = pidfd < 0 ? -errno : loop_watch(all->loop, &c->watch, pidfd, EPOLLIN, on_end);
	if (r < 0) {
		fd_closep(&pidfd);
		free(c);
		return r;
	}
	list_append(&all->all, &c->node);
	all->n++;
	return 0;
}

void children_fini(struct children *all)
{
	int left = END_MS;

	for (struct list *n = all->all.next; n != &all->all; n = n->next)
		kill(container_of(n, struct child, node)->pid, SIGKILL);
	while (!list_empty(&all->all)) {
		struct child *c = container_of(all->all.next, struct child, node);
		struct pollfd end = { .fd = c->watch.fd, .events = POLLIN };

		if (poll(&end, 1, left) == 0)
			left = 0;
		reap(c);
	}
}
