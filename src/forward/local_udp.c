// SPDX-License-Identifier: MIT
/* Datagrams to this machine that go on from the target.
 *
 * A flow stands for one client and the address of this machine's that it wrote to: answers come from there, also where the socket has every address
 * (IP_PKTINFO, ip(7)). It begins with the client's first datagram, which waits, with the few behind it, for the name's addresses; it
 * ends after IDLE without a datagram in either direction, or when there are too many and it is the one that was quiet for longest. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/table.h"
#include "forward/local.h"
#include "forward/talk.h"
#include "net/control.h"

#define IDLE (120 * LOOP_SECOND)
enum { MAX_FLOWS = 1024, MAX_WAITING = 16, DATAGRAMS = 64, DATAGRAM_MAX = 65535, CONTROL_MAX = 128 };

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

/* No padding: compared as bytes. */
struct flow_key {
	struct endpoint client;
	struct ip own; /* that the client wrote to; any: the socket's */
};

struct flow {
	struct table_node node;
	struct list by_age;
	struct local_udp *all;
	struct flow_key key;
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

static bool flow_equal(const struct table_node *node, const void *key)
{
	return memcmp(&container_of(node, const struct flow, node)->key, key, sizeof(struct flow_key)) == 0;
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
	_Alignas(struct cmsghdr) uint8_t control[CONTROL_MAX] = { 0 };
	struct iovec iov = { (void *)data, len };
	struct msghdr msg = { .msg_name = &f->peer, .msg_namelen = f->peer_len, .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control };

	touch(f);
	if (!ip_is_any(&f->key.own))
		control_put_source(&msg, f->peer.ss_family == AF_INET, &f->key.own);
	if (sendmsg(f->all->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || !msg.msg_controllen || errno == EAGAIN)
		return;
	msg.msg_controllen = 0; /* a broadcast address is none to answer from */
	sendmsg(f->all->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void on_refused(void *arg, const struct icmp_error *error, const uint8_t *data, size_t len)
{
	struct flow *f = arg;

	local_complain(f->all->rule, strerror(ECONNREFUSED));
}

static void on_broken(void *arg, int error)
{
	struct flow *f = arg;

	local_complain(f->all->rule, strerror(error));
}

static const struct talk_events talk_events = { .on_answer = on_answer, .on_refused = on_refused, .on_broken = on_broken };

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

static struct flow *flow_new(struct local_udp *l, const struct flow_key *key, const struct sockaddr_storage *peer, socklen_t peer_len)
{
	struct flow *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	if (l->flows.n >= MAX_FLOWS)
		flow_end(container_of(l->by_age.next, struct flow, by_age));
	f->all = l;
	f->key = *key;
	f->peer = *peer;
	f->peer_len = peer_len;
	list_init(&f->waiting);
	table_add(&l->flows, &f->node, &f->key, sizeof(f->key));
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

static struct ip own_of(struct msghdr *msg)
{
	struct in6_pktinfo six;
	struct in_pktinfo four;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			memcpy(&four, CMSG_DATA(c), sizeof(four));
			return ip_from_v4(&four.ipi_spec_dst);
		}
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			memcpy(&six, CMSG_DATA(c), sizeof(six));
			return ip_from_v6(&six.ipi6_addr);
		}
	}
	return IP_ANY6;
}

static void on_datagram(struct local_udp *l, struct msghdr *msg, size_t len)
{
	const struct sockaddr_storage *peer = msg->msg_name;
	struct flow_key key = { .own = own_of(msg) };
	struct table_node *n;
	struct flow *f;

	if (!endpoint_from_sockaddr(peer, &key.client))
		return;
	n = table_find(&l->flows, &key, sizeof(key));
	f = n ? container_of(n, struct flow, node) : flow_new(l, &key, peer, msg->msg_namelen);
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
		_Alignas(struct cmsghdr) uint8_t control[CONTROL_MAX];
		struct sockaddr_storage sa;
		struct iovec iov = { l->buffer, sizeof(l->buffer) };
		struct msghdr msg = { .msg_name = &sa, .msg_namelen = sizeof(sa), .msg_iov = &iov, .msg_iovlen = 1,
				      .msg_control = control, .msg_controllen = sizeof(control) };
		ssize_t len = recvmsg(l->fd, &msg, MSG_DONTWAIT);

		if (len < 0)
			break;
		on_datagram(l, &msg, (size_t)len);
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
	static const int on = 1;
	_cleanup_fd_ int fd = local_bind(rule, SOCK_DGRAM, err);
	bool v4 = ip_is_v4(&rule->listen.ip);
	struct local_udp *l;

	if (fd < 0)
		return NULL;
	if (ip_is_any(&rule->listen.ip) && setsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_PKTINFO : IPV6_RECVPKTINFO, &on, sizeof(on)) < 0) {
		error_set(err, errno, "listen on port %u", rule->listen.port);
		return NULL;
	}
	l = calloc(1, sizeof(*l));
	if (!l || table_init(&l->flows, flow_equal) < 0) {
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
