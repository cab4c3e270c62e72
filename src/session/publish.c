// SPDX-License-Identifier: MIT
/* Publishing.
 *
 * Each port that the program listens on has listeners here: at the port of listen_ports, or at the same one when it is free on both
 * 127.0.0.1 and ::1, or at one that the kernel chooses, which is said. A connection to it goes to the program as one from its own
 * loopback address. */
#include "session/publish.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/list.h"
#include "base/log.h"
#include "base/table.h"
#include "net/acceptor.h"
#include "session/incoming_rules.h"
#include "tunnel/subscription.h"

enum { LISTENERS = 8, BACKLOG = 4096, TRIES = 8, FAMILIES = 2 };

struct door {
	struct acceptor acceptor;
	struct entry *entry;
	int fd; /* -1: none */
};

struct entry {
	struct list node;
	struct table_node by_port;
	struct publisher *all;
	uint16_t port, published; /* the program's; here, 0 when it failed */
	int error;
	bool seen;
	struct door doors[FAMILIES];
	struct listener listeners[LISTENERS]; /* of the program's, on this port */
	size_t n_listeners;
};

/* A connection from here that is on its way to the program. */
struct caller {
	struct list node;
	struct publisher *all;
	struct dial *dial;
	int fd;
};

struct publisher {
	struct loop *loop;
	struct egress *program;
	const struct incoming_options *options;
	struct list entries, callers;
	struct table by_port; /* the entries */
};

static const char *const loopback[FAMILIES] = { "127.0.0.1", "::1" };

static bool port_equal(const struct table_node *node, const void *key)
{
	return container_of(node, const struct entry, by_port)->port == *(const uint16_t *)key;
}

struct publisher *publisher_new(struct loop *loop, struct egress *program, const struct incoming_options *options)
{
	struct publisher *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	*p = (struct publisher){ .loop = loop, .program = program, .options = options };
	if (table_init(&p->by_port, port_equal) < 0) {
		free(p);
		return NULL;
	}
	list_init(&p->entries);
	list_init(&p->callers);
	return p;
}

static void caller_end(struct caller *c)
{
	list_remove(&c->node);
	fd_closep(&c->fd);
	free(c);
}

static void on_dialed(void *arg, int error)
{
	struct caller *c = arg;

	if (error)
		log_debug("publish: reach the program: %s", strerror(error));
	else
		c->all->program->ops->join(c->dial, fd_steal(&c->fd));
	caller_end(c);
}

/* Where the program takes it: as it would take one from its own localhost, or at the one address where it listens. */
static void deliver(const struct entry *e, const struct endpoint *from, struct endpoint *ret_local,
		    struct endpoint *ret_remote)
{
	const struct subscription s = { .listeners = (struct listener *)e->listeners, .n_listeners = e->n_listeners };
	const size_t own = ip_is_v4(&from->ip) ? 0 : 1;

	for (size_t i = 0; i < FAMILIES; i++) {
		struct endpoint to = { .port = e->port };

		ip_parse(loopback[own ^ i], &to.ip);
		if (subscription_deliver(&s, from, &to, ret_local, ret_remote))
			return;
	}
	subscription_deliver(&s, from, &e->listeners[0].at, ret_local, ret_remote);
}

static void on_connection(struct acceptor *a, int fd, const struct endpoint *from)
{
	const struct entry *e = container_of(a, struct door, acceptor)->entry;
	struct publisher *p = e->all;
	struct caller *c = calloc(1, sizeof(*c));
	struct endpoint local = { 0 }, remote = { 0 };
	int error;

	if (!c) {
		close(fd);
		return;
	}
	*c = (struct caller){ .all = p, .fd = fd };
	list_append(&p->callers, &c->node);
	deliver(e, from, &local, &remote);
	error = p->program->ops->dial(p->program, &local, &remote, on_dialed, c, &c->dial);
	if (error != EINPROGRESS)
		on_dialed(c, error);
}

/* A listener or -errno. */
static int listen_at(size_t family, uint16_t port)
{
	struct endpoint at = { .port = port };
	struct sockaddr_storage sa;
	socklen_t len;
	int on = 1;
	_cleanup_fd_ int fd = socket(family ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	ip_parse(loopback[family], &at.ip);
	len = endpoint_to_sockaddr(&at, &sa);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return fd_steal(&fd);
}

static uint16_t port_of(int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct endpoint e = { 0 };

	if (getsockname(fd, (struct sockaddr *)&sa, &len) == 0)
		endpoint_from_sockaddr(&sa, &e);
	return e.port;
}

/* Both families at one port (0: any). Where this machine has no IPv6, IPv4 alone. Returns 0 or an errno. */
static int listen_both(struct entry *e, uint16_t port)
{
	int fds[FAMILIES] = { listen_at(0, port), -1 };

	if (fds[0] < 0)
		return -fds[0];
	fds[1] = listen_at(1, port_of(fds[0]));
	if (fds[1] == -EADDRINUSE) {
		close(fds[0]);
		return EADDRINUSE;
	}
	e->published = port_of(fds[0]);
	for (size_t i = 0; i < FAMILIES; i++) {
		e->doors[i] = (struct door){ .acceptor = { .loop = e->all->loop, .what = "publish", .on_connection = on_connection },
					     .entry = e, .fd = fds[i] < 0 ? -1 : fds[i] };
		if (fds[i] >= 0)
			acceptor_start(&e->doors[i].acceptor, fds[i]);
	}
	return 0;
}

static void say(const struct entry *e)
{
	log_info("publish: port %u is at localhost:%u", e->port, e->published);
	if (e->all->options->show && e->published != e->port)
		log_tell(0, "mirrord: port %u of the program is at localhost:%u here\n", e->port,
			e->published);
}

/* The port of listen_ports is wanted and no other: the program is told, too. */
static void fail(struct entry *e, uint16_t wanted, int error)
{
	e->error = error;
	log_warn("publish: port %u at localhost:%u: %s", e->port, wanted, strerror(error));
	log_tell(0, "mirrord: publish port %u of the program at localhost:%u, as listen_ports says: %s\n",
		e->port, wanted, strerror(error));
}

static void open_doors(struct entry *e)
{
	uint16_t wanted = incoming_rules_published(e->all->options, e->port);
	int error = listen_both(e, wanted ? wanted : e->port);

	for (int i = 0; !wanted && error && i < TRIES; i++)
		error = listen_both(e, 0);
	if (!error)
		say(e);
	else if (wanted)
		fail(e, wanted, error);
	else
		log_warn("publish: port %u: %s", e->port, strerror(error));
}

static void entry_free(struct entry *e)
{
	for (size_t i = 0; i < FAMILIES; i++) {
		acceptor_stop(&e->doors[i].acceptor);
		fd_closep(&e->doors[i].fd);
	}
	list_remove(&e->node);
	table_remove(&e->all->by_port, &e->by_port);
	free(e);
}

static struct entry *find(const struct publisher *p, uint16_t port)
{
	struct table_node *n = table_find(&p->by_port, &port, sizeof(port));

	return n ? container_of(n, struct entry, by_port) : NULL;
}

static void see(struct publisher *p, const struct diag_socket *s)
{
	struct entry *e = find(p, s->local.port);

	if (!e) {
		e = calloc(1, sizeof(*e));
		if (!e)
			return;
		*e = (struct entry){ .all = p, .port = s->local.port, .doors = { { .fd = -1 }, { .fd = -1 } } };
		list_append(&p->entries, &e->node);
		table_add(&p->by_port, &e->by_port, &e->port, sizeof(e->port));
		open_doors(e);
	}
	if (!e->seen)
		e->n_listeners = 0;
	e->seen = true;
	if (e->n_listeners < LISTENERS)
		e->listeners[e->n_listeners++] = (struct listener){ .at = s->local, .v6only = s->v6only };
}

/* Where there is nothing to publish at all but listen_ports, only those are. */
static bool is_published(const struct publisher *p, const struct diag_socket *s)
{
	return s->protocol == IPPROTO_TCP &&
	       (p->options->publish || incoming_rules_published(p->options, s->local.port));
}

void publisher_update(struct publisher *p, const struct diag_socket *sockets, size_t n)
{
	for (struct list *l = p->entries.next; l != &p->entries; l = l->next)
		container_of(l, struct entry, node)->seen = false;
	for (size_t i = 0; i < n; i++)
		if (is_published(p, &sockets[i]))
			see(p, &sockets[i]);
	for (struct list *l = p->entries.next, *next; l != &p->entries; l = next) {
		next = l->next;
		if (!container_of(l, struct entry, node)->seen)
			entry_free(container_of(l, struct entry, node));
	}
}

void publisher_add(struct publisher *p, const struct diag_socket *socket)
{
	if (is_published(p, socket))
		see(p, socket);
}

bool publisher_has(const struct publisher *p, uint16_t port)
{
	return find(p, port) != NULL;
}

size_t publisher_count(const struct publisher *p)
{
	return p->by_port.n;
}

int publisher_error(const struct publisher *p, uint16_t port)
{
	const struct entry *e = find(p, port);

	return e ? e->error : 0;
}

void publisher_free(struct publisher *p)
{
	if (!p)
		return;
	while (!list_empty(&p->entries))
		entry_free(container_of(p->entries.next, struct entry, node));
	table_fini(&p->by_port);
	while (!list_empty(&p->callers)) {
		struct caller *c = container_of(p->callers.next, struct caller, node);

		p->program->ops->abandon(c->dial);
		caller_end(c);
	}
	free(p);
}
