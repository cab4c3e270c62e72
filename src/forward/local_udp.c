// SPDX-License-Identifier: MIT
/* Datagrams to this machine that go on from the target.
 *
 * A flow stands for one client. It begins with the client's first datagram, which waits, with the few behind it, for the name's addresses; it
 * ends after IDLE without a datagram in either direction, or when there are too many and it is the one that was quiet for longest. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/table.h"
#include "forward/local.h"
#include "forward/talk.h"

#define IDLE (120 * LOOP_SECOND)
enum { MAX_FLOWS = 1024, MAX_WAITING = 16, DATAGRAMS = 64, DATAGRAM_MAX = 65535 };

struct local_udp {
	struct local local;
	struct local_context c;
	const struct forward_rule *rule;
	struct watch watch;
	struct timer timer;
	int fd;
	struct table flows;
	struct list by_age; /* the quietest first */
	uint8_t buffer[DATAGRAM_MAX];
};

struct waiting {
	struct list node;
	size_t len;
	uint8_t data[];
};

struct flow {
	struct table_node node;
	struct list by_age;
	struct local_udp *all;
	struct endpoint client;
	struct sockaddr_storage peer; /* the client, as the socket has it */
	socklen_t peer_len;
	uint64_t used;
	struct question *question; /* NULL: answered */
	struct talk talk;
	struct list waiting;
	size_t n_waiting;
};

static struct local_udp *udp_of(struct local *l)
{
	return (struct local_udp *)(void *)l;
}

static bool client_equal(const struct table_node *node, const void *key)
{
	return endpoint_equal(&container_of(node, const struct flow, node)->client, key);
}

static void flow_end(struct flow *f)
{
	struct list *node;

	lookup_cancel(f->question);
	talk_close(&f->talk);
	while ((node = list_pop(&f->waiting)))
		free(container_of(node, struct waiting, node));
	table_remove(&f->all->flows, &f->node);
	list_remove(&f->by_age);
	free(f);
}

static void touch(struct flow *f)
{
	struct local_udp *l = f->all;

	f->used = loop_now(l->c.loop);
	list_remove(&f->by_age);
	list_append(&l->by_age, &f->by_age);
}

static void on_idle(struct timer *t)
{
	struct local_udp *l = container_of(t, struct local_udp, timer);

	while (!list_empty(&l->by_age)) {
		struct flow *f = container_of(l->by_age.next, struct flow, by_age);

		if (loop_now(l->c.loop) < f->used + IDLE) {
			loop_arm(l->c.loop, t, f->used + IDLE);
			return;
		}
		flow_end(f);
	}
}

static void on_answer(void *arg, struct packet_marks marks, const uint8_t *data, size_t len)
{
	struct flow *f = arg;

	touch(f);
	sendto(f->all->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&f->peer, f->peer_len);
}

static void on_refused(void *arg, const struct icmp_error *error, const uint8_t *data, size_t len)
{
	struct flow *f = arg;

	local_complain(f->all->rule, strerror(ECONNREFUSED));
}

static const struct talk_events talk_events = { .on_answer = on_answer, .on_refused = on_refused };

static void send_on(struct flow *f, const uint8_t *data, size_t len)
{
	int error = talk_send(&f->talk, (struct packet_marks){ .ttl = 64 }, data, len);

	if (error)
		local_complain(f->all->rule, strerror(error));
}

static void on_addresses(void *arg, const struct ip *ips, size_t n, const char *why)
{
	struct flow *f = arg;
	struct list *node;

	f->question = NULL;
	if (!n) {
		local_complain(f->all->rule, why);
		flow_end(f);
		return;
	}
	talk_init(&f->talk, *f->all->c.target, ips, n, f->all->rule->port, &talk_events, f);
	while ((node = list_pop(&f->waiting))) {
		struct waiting *w = container_of(node, struct waiting, node);

		send_on(f, w->data, w->len);
		free(w);
	}
}

static struct flow *flow_new(struct local_udp *l, const struct endpoint *client, const struct sockaddr_storage *peer, socklen_t peer_len)
{
	struct flow *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	if (l->flows.n >= MAX_FLOWS)
		flow_end(container_of(l->by_age.next, struct flow, by_age));
	f->all = l;
	f->client = *client;
	f->peer = *peer;
	f->peer_len = peer_len;
	list_init(&f->waiting);
	table_add(&l->flows, &f->node, &f->client, sizeof(f->client));
	touch(f);
	if (l->flows.n == 1)
		loop_arm(l->c.loop, &l->timer, f->used + IDLE);
	f->question = lookup_ask(*l->c.lookup, l->rule->host, on_addresses, f);
	if (f->question)
		return f;
	flow_end(f);
	return NULL;
}

static void wait_for_name(struct flow *f, const uint8_t *data, size_t len)
{
	struct waiting *w = f->n_waiting < MAX_WAITING ? malloc(sizeof(*w) + len) : NULL;

	if (!w)
		return;
	f->n_waiting++;
	*w = (struct waiting){ .len = len };
	memcpy(w->data, data, len);
	list_append(&f->waiting, &w->node);
}

static void on_datagram(struct local_udp *l, const struct sockaddr_storage *peer, socklen_t peer_len, size_t len)
{
	struct endpoint client = { 0 };
	struct table_node *n;
	struct flow *f;

	if (!endpoint_from_sockaddr(peer, &client))
		return;
	n = table_find(&l->flows, &client, sizeof(client));
	f = n ? container_of(n, struct flow, node) : flow_new(l, &client, peer, peer_len);
	if (!f)
		return;
	touch(f);
	if (f->question)
		wait_for_name(f, l->buffer, len);
	else
		send_on(f, l->buffer, len);
}

static void on_readable(struct watch *w, uint32_t events)
{
	struct local_udp *l = container_of(w, struct local_udp, watch);

	for (int i = 0; i < DATAGRAMS; i++) {
		struct sockaddr_storage sa;
		socklen_t sa_len = sizeof(sa);
		ssize_t len = recvfrom(l->fd, l->buffer, sizeof(l->buffer), MSG_DONTWAIT, (struct sockaddr *)&sa, &sa_len);

		if (len < 0)
			break;
		on_datagram(l, &sa, sa_len, (size_t)len);
	}
}

static void set_agent(struct local *local, bool there)
{
	struct local_udp *l = udp_of(local);

	if (there) {
		loop_watch(l->c.loop, &l->watch, l->fd, EPOLLIN, on_readable);
		return;
	}
	loop_unwatch(l->c.loop, &l->watch);
	loop_disarm(l->c.loop, &l->timer);
	while (!list_empty(&l->by_age))
		flow_end(container_of(l->by_age.next, struct flow, by_age));
}

static struct local *listen_here(const struct local_context *c, struct forward_rule *rule, struct error *err)
{
	_cleanup_fd_ int fd = local_bind(rule, SOCK_DGRAM, err);
	struct local_udp *l;

	if (fd < 0)
		return NULL;
	l = calloc(1, sizeof(*l));
	if (!l || table_init(&l->flows, client_equal) < 0) {
		error_set(err, ENOMEM, "listen on port %u", rule->listen.port);
		free(l);
		return NULL;
	}
	l->local.ops = &local_udp;
	l->c = *c;
	l->rule = rule;
	l->fd = fd_steal(&fd);
	l->timer.on_due = on_idle;
	list_init(&l->by_age);
	return &l->local;
}

static void free_local(struct local *local)
{
	struct local_udp *l = udp_of(local);

	set_agent(local, false);
	table_fini(&l->flows);
	fd_closep(&l->fd);
	free(l);
}

const struct local_ops local_udp = { .listen = listen_here, .set_agent = set_agent, .free = free_local };
