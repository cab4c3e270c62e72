// SPDX-License-Identifier: MIT
/* Stolen datagrams.
 *
 *   client ─► tproxy ─► one socket per family, with each datagram's own destination ─► the flow of this client and subscriber: a port of the
 *                       program's egress, which leaves from the client's address ─► the program
 *   client ◄─ a raw socket, from the address and port that the client had sent to ◄─ the flow ◄─ the program
 *
 * One client may talk to several addresses of the target's (and, with port_mapping, to several ports that end at one socket of the program's);
 * the flow remembers which of the program's sockets stands for which. What the program sends from a socket that nobody had sent to leaves
 * from the target's address with that socket's port, as it would in the target.
 *
 * What nobody takes goes to the target's program with the client's own address and port. Its answers go to the client by themselves: for a
 * datagram there is no connection that both of us could not have. So does what the program refused: between its close() and the end of
 * the subscription is a moment in which its port is still ours. The refusal quotes the datagram; one that is too long for that is lost.
 *
 * What the program sent last, and its refusals, may still be on their way when its subscription ends. So flows outlive it, for a moment. */
#include "agent/steal_udp.h"

#include <errno.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/client.h"
#include "agent/layout.h"
#include "agent/raw_udp.h"
#include "agent/steal_route.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/table.h"

enum { DATAGRAM_MAX = 65536, CONTROL_MAX = 256, TURN = 64, PEERS = 8 };
#define FLOW_IDLE (120 * LOOP_SECOND)
#define REFUSED_FOR LOOP_SECOND
#define OUTLIVES LOOP_SECOND
/* Of 576 bytes, which an ICMP error of Linux' has at most (icmp_send; over IPv6 it has more), what headers leave for a datagram's payload. */
#define QUOTE_MAX (576 - (20 + 8) - (20 + 8))

/* No padding: the key of a table. */
struct flow_key {
	const void *owner;  /* the struct subscriber, or, of one that outlives it, the struct client */
	uint8_t client[24]; /* the endpoint, zeroes behind it */
};

/* Where a client's datagrams go: sent to @destination, delivered to the program's @remote. */
struct flow_peer {
	struct endpoint destination, remote;
};

struct flow {
	struct table_node node;
	struct list by_age; /* in by_age or outliving of @all */
	struct deferred broken;
	struct steal_udp *all;
	struct flow_key key;
	struct endpoint client;
	struct port *port;
	struct flow_peer peers[PEERS];
	size_t n_peers;
	uint64_t last, refused_until;
	bool outlives;
};

struct source {
	struct watch watch;
	struct steal_udp *all;
	int fd; /* -1: none */
	uint16_t port;
};

struct steal_udp {
	struct loop *loop;
	const struct subscriptions *subscriptions;
	struct source sources[2]; /* by enum steal_family */
	struct raw_udp answers, passes;
	struct table flows;
	struct list by_age, outliving;
	struct timer idle, over;
	uint8_t data[DATAGRAM_MAX];
};

/* One that came. */
struct datagram {
	struct endpoint client, destination;
	struct packet_marks marks;
	const uint8_t *data;
	size_t len;
};

static bool equal(const struct table_node *node, const void *key)
{
	return memcmp(&container_of(node, struct flow, node)->key, key, sizeof(struct flow_key)) == 0;
}

static struct flow_key key_of(const void *owner, const struct endpoint *client)
{
	struct flow_key k = { .owner = owner };

	memcpy(k.client, client, sizeof(*client));
	return k;
}

static void flow_close(struct flow *f)
{
	f->port->egress->ops->close(f->port);
	list_remove(&f->broken.node);
	list_remove(&f->by_age);
	table_remove(&f->all->flows, &f->node);
	free(f);
}

static struct flow *find(struct steal_udp *u, const void *owner, const struct endpoint *client)
{
	const struct flow_key key = key_of(owner, client);
	struct table_node *node = table_find(&u->flows, &key, sizeof(key));

	return node ? container_of(node, struct flow, node) : NULL;
}

static struct flow *first_of(struct list *l)
{
	return list_empty(l) ? NULL : container_of(l->next, struct flow, by_age);
}

static struct flow *oldest(struct steal_udp *u)
{
	struct flow *f = first_of(&u->outliving);

	return f ? f : first_of(&u->by_age);
}

/* Closes those of @l that were silent for @patience, and comes again for the next one. */
static void close_silent(struct steal_udp *u, struct list *l, uint64_t patience, struct timer *t)
{
	struct flow *f;

	while ((f = first_of(l)) && f->last + patience <= loop_now(u->loop))
		flow_close(f);
	if (f)
		loop_arm(u->loop, t, f->last + patience);
}

static void on_idle(struct timer *t)
{
	struct steal_udp *u = container_of(t, struct steal_udp, idle);

	close_silent(u, &u->by_age, FLOW_IDLE, t);
}

static void on_over(struct timer *t)
{
	struct steal_udp *u = container_of(t, struct steal_udp, over);

	close_silent(u, &u->outliving, OUTLIVES, t);
}

static void touch(struct flow *f)
{
	struct steal_udp *u = f->all;

	if (f->outlives)
		return;
	f->last = loop_now(u->loop);
	list_remove(&f->by_age);
	list_append(&u->by_age, &f->by_age);
	if (!u->idle.index)
		loop_arm(u->loop, &u->idle, f->last + FLOW_IDLE);
}

static void on_answer(void *arg, const struct endpoint *from, struct packet_marks marks, const uint8_t *data, size_t len)
{
	struct flow *f = arg;
	struct endpoint as = { .ip = f->peers[0].destination.ip, .port = from->port };
	int error;

	for (size_t i = 0; i < f->n_peers; i++)
		if (endpoint_equal(&f->peers[i].remote, from))
			as = f->peers[i].destination;
	touch(f);
	error = raw_udp_send(&f->all->answers, &as, &f->client, marks, data, len);
	if (error)
		log_limited(LOG_LEVEL_DEBUG, "steal: answer from UDP port %u: %s", as.port, strerror(error));
}

static void close_broken(struct deferred *d)
{
	flow_close(container_of(d, struct flow, broken));
}

static void on_broken(void *arg, int error)
{
	struct flow *f = arg;

	f->refused_until = UINT64_MAX;
	loop_defer(f->all->loop, &f->broken, close_broken);
}

static void on_error(void *arg, const struct endpoint *to, const struct icmp_error *error, const uint8_t *data, size_t len);

static const struct port_events events = { .on_datagram = on_answer, .on_error = on_error, .on_broken = on_broken };

/* NULL when there is none to be had. */
static struct flow *flow_open(struct steal_udp *u, const struct subscriber *s, const struct endpoint *client, const struct endpoint *local)
{
	struct egress *program = client_program(s->client);
	struct flow *f = find(u, s->client, client);

	if (f)
		flow_close(f); /* it has the client's port there */
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	*f = (struct flow){ .all = u, .key = key_of(s, client), .client = *client };
	if (program->ops->open(program, PORT_UDP, local, &events, f, &f->port)) {
		free(f);
		return NULL;
	}
	if (u->flows.n >= STEAL_UDP_FLOWS)
		flow_close(oldest(u));
	table_add(&u->flows, &f->node, &f->key, sizeof(f->key));
	list_append(&u->by_age, &f->by_age);
	client_count(s->client, COUNTER_STOLEN, 1);
	return f;
}

static void note_peer(struct flow *f, const struct endpoint *destination, const struct endpoint *remote)
{
	size_t i = 0;

	while (i < f->n_peers && !endpoint_equal(&f->peers[i].remote, remote))
		i++;
	if (i == PEERS)
		return;
	f->peers[i] = (struct flow_peer){ *destination, *remote };
	if (i == f->n_peers)
		f->n_peers++;
}

static bool send_to(struct steal_udp *u, const struct subscriber *s, const struct datagram *d)
{
	struct flow *f = find(u, s, &d->client);
	struct endpoint local, remote;

	if (f && loop_now(u->loop) < f->refused_until)
		return false;
	if (!subscription_deliver(&s->want, &d->client, &d->destination, &local, &remote))
		return false;
	if (!f && !(f = flow_open(u, s, &d->client, &local)))
		return false;
	note_peer(f, &d->destination, &remote);
	touch(f);
	return f->port->egress->ops->send(f->port, &remote, d->marks, d->data, d->len) == 0;
}

/* To the first from @s on who takes it, or to the target's program. */
static void deliver(struct steal_udp *u, struct subscriber *s, const struct datagram *d)
{
	int error;

	for (; s; s = subscribers_next(u->subscriptions, s))
		if (subscriber_is_steal_of_all(s) && send_to(u, s, d))
			return;
	error = raw_udp_send(&u->passes, &d->client, &d->destination, d->marks, d->data, d->len);
	if (error)
		log_limited(LOG_LEVEL_DEBUG, "steal: pass a datagram on to port %u: %s", d->destination.port, strerror(error));
}

static bool is_port_unreachable(const struct endpoint *to, const struct icmp_error *e)
{
	if (ip_is_v4(&to->ip))
		return e->type == ICMP_DEST_UNREACH && e->code == ICMP_PORT_UNREACH;
	return e->type == ICMPV6_DEST_UNREACH && e->code == ICMPV6_PORT_UNREACH;
}

/* Nobody is there: this one and the next ones go to whoever comes after. */
static void on_error(void *arg, const struct endpoint *to, const struct icmp_error *error, const uint8_t *data, size_t len)
{
	struct flow *f = arg;
	struct datagram d = { .client = f->client, .data = data, .len = len };
	size_t i = 0;

	f->refused_until = loop_now(f->all->loop) + REFUSED_FOR;
	while (i < f->n_peers && !endpoint_equal(&f->peers[i].remote, to))
		i++;
	if (i == f->n_peers || len >= QUOTE_MAX || !is_port_unreachable(to, error))
		return;
	d.destination = f->peers[i].destination;
	touch(f); /* another flow that is opened now doesn't close this one */
	deliver(f->all, f->outlives ? NULL : subscribers_next(f->all->subscriptions, f->key.owner), &d);
}

/* One byte or an int, as the kernel likes. */
static uint8_t get_small(const struct cmsghdr *c)
{
	int value = 0;

	if (c->cmsg_len < CMSG_LEN(sizeof(value)))
		return *CMSG_DATA(c);
	memcpy(&value, CMSG_DATA(c), sizeof(value));
	return (uint8_t)value;
}

/* False without the destination. */
static bool read_control(struct msghdr *msg, struct datagram *d)
{
	bool found = false;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		bool v4 = c->cmsg_level == IPPROTO_IP;
		struct sockaddr_storage sa = { 0 };

		if (c->cmsg_type == (v4 ? IP_ORIGDSTADDR : IPV6_ORIGDSTADDR)) {
			memcpy(&sa, CMSG_DATA(c), v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
			found = endpoint_from_sockaddr(&sa, &d->destination);
		} else if (c->cmsg_type == (v4 ? IP_TTL : IPV6_HOPLIMIT)) {
			d->marks.ttl = get_small(c);
		} else if (c->cmsg_type == (v4 ? IP_TOS : IPV6_TCLASS)) {
			d->marks.tos = get_small(c);
		}
	}
	return found;
}

static void on_datagrams(struct watch *w, uint32_t ready)
{
	struct source *s = container_of(w, struct source, watch);
	struct steal_udp *u = s->all;

	for (int i = 0; i < TURN; i++) {
		_Alignas(struct cmsghdr) uint8_t control[CONTROL_MAX];
		struct sockaddr_storage from = { 0 };
		struct iovec iov = { u->data, sizeof(u->data) };
		struct msghdr msg = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1,
				      .msg_control = control, .msg_controllen = sizeof(control) };
		struct datagram d = { .data = u->data };
		ssize_t n = recvmsg(s->fd, &msg, MSG_DONTWAIT);

		if (n < 0)
			return;
		d.len = (size_t)n;
		if (endpoint_from_sockaddr(&from, &d.client) && read_control(&msg, &d))
			deliver(u, subscribers_of(u->subscriptions, IPPROTO_UDP, d.destination.port), &d);
	}
}

static int set_options(int fd, bool v4)
{
	static const int on = 1;
	static const int v4_options[] = { IP_TRANSPARENT, IP_RECVORIGDSTADDR, IP_RECVTTL, IP_RECVTOS };
	static const int v6_options[] = { IPV6_V6ONLY, IPV6_TRANSPARENT, IPV6_RECVORIGDSTADDR, IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS };
	const int *options = v4 ? v4_options : v6_options;
	size_t n = v4 ? sizeof(v4_options) / sizeof(int) : sizeof(v6_options) / sizeof(int);

	for (size_t i = 0; i < n; i++)
		if (setsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, options[i], &on, sizeof(on)) < 0)
			return -1;
	return 0;
}

static int source_open(struct source *s, enum steal_family family, struct error *err)
{
	bool v4 = family == STEAL_V4;
	struct endpoint at = { .port = 0 };
	struct sockaddr_storage sa;
	socklen_t len;
	int r;

	if (!v4 && !steal_route_has_ipv6())
		return 0;
	s->fd = socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ip_parse(v4 ? AGENT_ADDRESS4 : AGENT_ADDRESS6, &at.ip);
	len = endpoint_to_sockaddr(&at, &sa);
	if (s->fd < 0 || set_options(s->fd, v4) < 0 || bind(s->fd, (struct sockaddr *)&sa, len) < 0 ||
	    getsockname(s->fd, (struct sockaddr *)&sa, &len) < 0)
		return error_set(err, errno, "make a socket for stolen datagrams (IPv%c)", v4 ? '4' : '6');
	endpoint_from_sockaddr(&sa, &at);
	s->port = at.port;
	r = loop_watch(s->all->loop, &s->watch, s->fd, EPOLLIN, on_datagrams);
	return r < 0 ? error_set(err, -r, "watch for stolen datagrams") : 0;
}

struct steal_udp *steal_udp_new(struct loop *loop, const struct subscriptions *subscriptions, struct error *err)
{
	struct steal_udp *u = calloc(1, sizeof(*u));
	int rc;

	if (!u || table_init(&u->flows, equal) < 0) {
		free(u);
		error_set(err, ENOMEM, "steal datagrams");
		return NULL;
	}
	u->loop = loop;
	u->subscriptions = subscriptions;
	u->idle.on_due = on_idle;
	u->over.on_due = on_over;
	list_init(&u->by_age);
	list_init(&u->outliving);
	u->answers = u->passes = (struct raw_udp){ { -1, -1 } };
	for (int v = 0; v < 2; v++)
		u->sources[v] = (struct source){ .all = u, .fd = -1 };
	rc = raw_udp_open(&u->answers, 0, err) < 0 || raw_udp_open(&u->passes, AGENT_MARK, err) < 0 ? -1 : 0;
	for (int v = 0; v < 2 && rc == 0; v++)
		rc = source_open(&u->sources[v], v, err);
	if (rc == 0)
		return u;
	steal_udp_free(u);
	return NULL;
}

void steal_udp_free(struct steal_udp *u)
{
	struct flow *f;

	if (!u)
		return;
	while ((f = oldest(u)))
		flow_close(f);
	for (int v = 0; v < 2; v++) {
		loop_unwatch(u->loop, &u->sources[v].watch);
		fd_closep(&u->sources[v].fd);
	}
	raw_udp_close(&u->answers);
	raw_udp_close(&u->passes);
	loop_disarm(u->loop, &u->idle);
	loop_disarm(u->loop, &u->over);
	table_fini(&u->flows);
	free(u);
}

uint16_t steal_udp_port(const struct steal_udp *u, enum steal_family family)
{
	return u->sources[family].port;
}

static void outlive(struct flow *f, const struct client *client)
{
	struct steal_udp *u = f->all;
	struct flow *other = find(u, client, &f->client);

	if (other)
		flow_close(other);
	table_remove(&u->flows, &f->node);
	f->key = key_of(client, &f->client);
	table_add(&u->flows, &f->node, &f->key, sizeof(f->key));
	f->outlives = true;
	f->last = loop_now(u->loop);
	list_remove(&f->by_age);
	list_append(&u->outliving, &f->by_age);
	if (!u->over.index)
		loop_arm(u->loop, &u->over, f->last + OUTLIVES);
}

void steal_udp_drop(struct steal_udp *u, const struct subscriber *s)
{
	for (struct list *n = u->by_age.next, *next; n != &u->by_age; n = next) {
		struct flow *f = container_of(n, struct flow, by_age);

		next = n->next;
		if (f->key.owner == s)
			outlive(f, s->client);
	}
}

void steal_udp_end_client(struct steal_udp *u, const struct client *client)
{
	for (struct list *n = u->outliving.next, *next; n != &u->outliving; n = next) {
		struct flow *f = container_of(n, struct flow, by_age);

		next = n->next;
		if (f->key.owner == client)
			flow_close(f);
	}
}
