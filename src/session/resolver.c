// SPDX-License-Identifier: MIT
/* Asking this machine's resolver. The process's threads all read questions from one SOCK_SEQPACKET socket and write answers to it, in any
 * order; an answer has its question's number. The process ends with the session, whose end of the socket is then closed. */
#include "session/resolver.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/list.h"
#include "base/orphan.h"
#include "base/table.h"
#include "twin/privilege.h"

#define NAME "mirrord-resolve" /* of the process */

/* A lookup of a name that doesn't answer takes a thread for ten seconds. */
enum { THREADS = 32, STACK = 512 * 1024, MAX_PENDING = 4096, BUFFER = 4 << 20 };

struct question {
	uint32_t id;
	bool by_address;
	struct ip ip;
	char name[RESOLVER_NAME];
};

struct answer {
	uint32_t id;
	enum resolver_status status;
	uint32_t n;
	char name[RESOLVER_NAME];
	struct ip ips[RESOLVER_ADDRESSES];
};

struct pending {
	struct table_node node;
	uint32_t id;
	resolver_done_fn done;
	void *arg;
};

struct resolver {
	struct loop *loop;
	int sock;
	struct watch watch;
	struct table pending;
	struct deferred give_up;
	uint32_t next_id;
	uid_t uid;
	gid_t gid;
	bool lost;
	uint64_t born;
};

static enum resolver_status to_status(int error)
{
	if (error == EAI_NODATA || error == EAI_ADDRFAMILY)
		return RESOLVER_NO_DATA;
	return error == EAI_NONAME ? RESOLVER_NO_NAME : error ? RESOLVER_AGAIN : RESOLVER_FOUND;
}

static void look_up_addresses(const struct question *q, struct answer *a)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_CANONNAME };
	struct addrinfo *list = NULL;

	a->status = to_status(getaddrinfo(q->name, NULL, &hints, &list));
	if (list && list->ai_canonname && strcasecmp(list->ai_canonname, q->name) != 0)
		snprintf(a->name, sizeof(a->name), "%s", list->ai_canonname);
	for (const struct addrinfo *i = list; i && a->n < RESOLVER_ADDRESSES; i = i->ai_next) {
		struct sockaddr_storage sa = { 0 };
		struct endpoint e;

		memcpy(&sa, i->ai_addr, i->ai_addrlen < sizeof(sa) ? i->ai_addrlen : sizeof(sa));
		if (endpoint_from_sockaddr(&sa, &e))
			a->ips[a->n++] = e.ip;
	}
	if (list)
		freeaddrinfo(list);
}

static void look_up_name(const struct question *q, struct answer *a)
{
	const struct endpoint e = { .ip = q->ip };
	struct sockaddr_storage sa;
	socklen_t len = endpoint_to_sockaddr(&e, &sa);

	a->status = to_status(getnameinfo((struct sockaddr *)&sa, len, a->name, sizeof(a->name), NULL, 0, NI_NAMEREQD));
}

static void *work(void *arg)
{
	int sock = *(const int *)arg;
	struct question q;
	struct answer a;

	for (;;) {
		ssize_t len = recv(sock, &q, sizeof(q), 0);

		if (len <= 0 && errno == EINTR && len < 0)
			continue;
		if (len <= (ssize_t)offsetof(struct question, name))
			_exit(0);
		q.name[sizeof(q.name) - 1] = '\0';
		a = (struct answer){ .id = q.id };
		if (q.by_address)
			look_up_name(&q, &a);
		else
			look_up_addresses(&q, &a);
		if (send(sock, &a, offsetof(struct answer, ips) + a.n * sizeof(a.ips[0]), MSG_NOSIGNAL) < 0 && errno == EPIPE)
			_exit(0);
	}
}

/* Never returns. */
static void serve(int sock, uid_t uid, gid_t gid)
{
	struct error err = { 0 };
	pthread_attr_t attr;
	pthread_t thread;
	static int shared;

	if (orphan_settle(NAME, &sock, 1) < 0 || (geteuid() == 0 && uid != 0 && privilege_become(uid, gid, &err) < 0))
		_exit(1);
	shared = sock;
	fd_set_nonblocking(sock, 0);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	for (int i = 1; i < THREADS; i++)
		pthread_create(&thread, &attr, work, &shared);
	work(&shared);
	_exit(0);
}

static bool pending_equal(const struct table_node *node, const void *key)
{
	return container_of(node, const struct pending, node)->id == *(const uint32_t *)key;
}

static void finish(struct resolver *r, struct pending *p, const struct resolver_answer *a)
{
	resolver_done_fn done = p->done;
	void *arg = p->arg;

	table_remove(&r->pending, &p->node);
	free(p);
	done(arg, a);
}

static const struct resolver_answer nobody = { .status = RESOLVER_AGAIN };

/* Nobody answers any more. */
static void give_up(struct deferred *d)
{
	struct resolver *r = container_of(d, struct resolver, give_up);

	for (struct table_node *n; (n = table_first(&r->pending));)
		finish(r, container_of(n, struct pending, node), &nobody);
}

static void on_answer(struct watch *w, uint32_t events)
{
	struct resolver *r = container_of(w, struct resolver, watch);
	struct answer a;
	ssize_t len;

	while ((len = recv(r->sock, &a, sizeof(a), MSG_DONTWAIT)) >= (ssize_t)offsetof(struct answer, ips)) {
		struct table_node *n = table_find(&r->pending, &a.id, sizeof(a.id));
		const struct resolver_answer answer = { a.status, *a.name ? a.name : NULL, a.ips, a.n };

		a.name[sizeof(a.name) - 1] = '\0';
		if (n && a.n <= RESOLVER_ADDRESSES && (size_t)len == offsetof(struct answer, ips) + a.n * sizeof(a.ips[0]))
			finish(r, container_of(n, struct pending, node), &answer);
	}
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	loop_unwatch(r->loop, w);
	r->lost = true;
	loop_defer(r->loop, &r->give_up, give_up);
}

static int start(struct resolver *r)
{
	int size = BUFFER, kept;
	pid_t child = fd_fork_connected(NAME, SOCK_SEQPACKET, &kept, 1, &r->sock);

	setsockopt(child ? r->sock : kept, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (child == 0)
		serve(kept, r->uid, r->gid);
	r->born = loop_now(r->loop);
	r->lost = false;
	if (child > 0 && loop_watch(r->loop, &r->watch, r->sock, EPOLLIN, on_answer) == 0)
		return 0;
	fd_closep(&r->sock);
	r->lost = true;
	return -1;
}

/* A module of this machine's that crashes is no reason to do without names for good; but not more often than once a second. */
static void restart(struct resolver *r)
{
	if (loop_now(r->loop) - r->born < LOOP_SECOND)
		return;
	fd_closep(&r->sock);
	start(r);
}

struct resolver *resolver_new(struct loop *loop, uid_t uid, gid_t gid, struct error *err)
{
	struct resolver *r = calloc(1, sizeof(*r));

	if (!r || table_init(&r->pending, pending_equal) < 0) {
		error_set(err, ENOMEM, "start the resolver");
		free(r);
		return NULL;
	}
	*r = (struct resolver){ .loop = loop, .sock = -1, .pending = r->pending, .uid = uid, .gid = gid };
	if (start(r) == 0)
		return r;
	error_set(err, errno, "start the resolver");
	table_fini(&r->pending);
	free(r);
	return NULL;
}

void resolver_free(struct resolver *r)
{
	if (!r)
		return;
	if (!r->lost)
		loop_unwatch(r->loop, &r->watch);
	list_remove(&r->give_up.node);
	fd_closep(&r->sock);
	for (struct table_node *n; (n = table_first(&r->pending));) {
		table_remove(&r->pending, n);
		free(container_of(n, struct pending, node));
	}
	table_fini(&r->pending);
	free(r);
}

/* @q lacks its number. */
static void ask(struct resolver *r, struct question *q, size_t len, resolver_done_fn done, void *arg)
{
	struct pending *p;

	if (r->lost)
		restart(r);
	p = r->pending.n < MAX_PENDING ? calloc(1, sizeof(*p)) : NULL;
	if (!p) {
		done(arg, &nobody);
		return;
	}
	q->id = r->next_id++;
	*p = (struct pending){ .id = q->id, .done = done, .arg = arg };
	table_add(&r->pending, &p->node, &p->id, sizeof(p->id));
	if (r->lost || send(r->sock, q, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		finish(r, p, &nobody);
}

void resolver_ask(struct resolver *r, const char *name, resolver_done_fn done, void *arg)
{
	struct question q = { 0 };
	size_t len = strlen(name);

	if (len >= sizeof(q.name)) {
		done(arg, &nobody);
		return;
	}
	memcpy(q.name, name, len + 1);
	ask(r, &q, offsetof(struct question, name) + len + 1, done, arg);
}

void resolver_ask_name(struct resolver *r, const struct ip *ip, resolver_done_fn done, void *arg)
{
	struct question q = { .by_address = true, .ip = *ip };

	ask(r, &q, offsetof(struct question, name) + 1, done, arg);
}
