// SPDX-License-Identifier: MIT
/* Connections to this machine that go on from the target.
 *
 *   accepted ─► the name is asked for ─► connecting ─► joined: the egress's from here on
 *                      └────────────────────┴────────► reset
 *
 * Where there is no agent nothing is accepted: the kernel's queue of the listener waits for one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "forward/local.h"
#include "forward/reach.h"
#include "net/acceptor.h"

enum { BACKLOG = 4096 };

struct local_tcp {
	struct local local;
	struct local_context c;
	const struct forward_rule *rule;
	struct acceptor acceptor;
	int fd;
	struct list callers;
};

struct caller {
	struct list node;
	struct local_tcp *all;
	int fd;
	struct question *question; /* NULL: answered */
	struct reach reach;
};

static struct local_tcp *tcp_of(struct local *l)
{
	return (struct local_tcp *)(void *)l;
}

static void caller_end(struct caller *c)
{
	lookup_cancel(c->question);
	reach_abandon(&c->reach);
	list_remove(&c->node);
	fd_closep(&c->fd);
	free(c);
}

static void on_reached(void *arg, int error)
{
	struct caller *c = arg;

	if (error) {
		local_complain(c->all->rule, strerror(error));
	} else {
		c->reach.egress->ops->join(c->reach.dial, fd_steal(&c->fd));
		c->reach.dial = NULL;
	}
	caller_end(c);
}

static void on_addresses(void *arg, const struct ip *ips, size_t n, const char *why)
{
	struct caller *c = arg;
	int error;

	c->question = NULL;
	if (!n) {
		local_complain(c->all->rule, why);
		caller_end(c);
		return;
	}
	c->reach = (struct reach){ .loop = c->all->c.loop, .egress = *c->all->c.target, .port = c->all->rule->port, .done = on_reached, .arg = c };
	reach_set_addresses(&c->reach, ips, n);
	error = reach_start(&c->reach);
	if (error != EINPROGRESS)
		on_reached(c, error);
}

static void on_connection(struct acceptor *a, int fd, const struct endpoint *peer)
{
	struct local_tcp *l = container_of(a, struct local_tcp, acceptor);
	struct caller *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return;
	}
	*c = (struct caller){ .all = l, .fd = fd };
	list_append(&l->callers, &c->node);
	c->question = lookup_ask(*l->c.lookup, l->rule->host, on_addresses, c);
	if (!c->question)
		caller_end(c);
}

static void set_agent(struct local *local, bool there)
{
	struct local_tcp *l = tcp_of(local);

	if (there) {
		acceptor_start(&l->acceptor, l->fd);
		return;
	}
	acceptor_stop(&l->acceptor);
	while (!list_empty(&l->callers))
		caller_end(container_of(l->callers.next, struct caller, node));
}

static struct local *listen_here(const struct local_context *c, struct forward_rule *rule, struct error *err)
{
	_cleanup_fd_ int fd = local_bind(rule, SOCK_STREAM, err);
	struct local_tcp *l;

	if (fd < 0)
		return NULL;
	l = calloc(1, sizeof(*l));
	if (!l || listen(fd, BACKLOG) < 0) {
		error_set(err, l ? errno : ENOMEM, "listen on port %u", rule->listen.port);
		free(l);
		return NULL;
	}
	*l = (struct local_tcp){ .local.ops = &local_tcp, .c = *c, .rule = rule, .fd = fd_steal(&fd),
				 .acceptor = { .loop = c->loop, .what = "port-forward", .on_connection = on_connection } };
	list_init(&l->callers);
	return &l->local;
}

static void free_local(struct local *local)
{
	struct local_tcp *l = tcp_of(local);

	set_agent(local, false);
	fd_closep(&l->fd);
	free(l);
}

const struct local_ops local_tcp = { .listen = listen_here, .set_agent = set_agent, .free = free_local };
