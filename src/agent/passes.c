// SPDX-License-Identifier: MIT
/* Passes.
 *
 * A socket with IP_TRANSPARENT is bound to the client's address, which is not the target's, and carries AGENT_MARK (steal_rules.c). Its port is
 * ours to choose, and no connection may have it: that of the target's program with the same four addresses would get our SYN, its
 * answer would make our socket send a reset, and the client's real connection would be dead. So the kernel is asked first. A client that
 * connects later from the same port would wait in vain, since its SYN reaches that connection. So the ports are odd ones below 10000: systems
 * take theirs from above (Linux 32768 to 60999, others 49152 to 65535), and Linux takes even ones first, whatever its range is. Of the
 * target's own addresses, where servers may want a port later, they are above Linux'.
 *
 *   DIALED ─► its socket is there ─► gone, or in TIME_WAIT (ended: on this machine no packet of it is late) ─► forgotten
 *
 * Nobody tells when a connection ends: it may have been taken. So each is looked for by its addresses, soon after it was made and then
 * ever less often. Until it is forgotten its port is not used again. */
#include "agent/passes.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "agent/layout.h"
#include "agent/steal_rules.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/table.h"
#include "net/sock_diag.h"
#include "relay/sockets.h"

enum {
	TRIES = 32,
	LOOKS = 256,	     /* of one turn, and a quarter of all */
};
#define TURN (250 * (uint64_t)LOOP_MS)
#define LOOK_FIRST LOOP_SECOND
#define LOOK_MOST (16 * LOOP_SECOND)

/* Ports to choose from: every second one, or all. */
struct port_range {
	uint16_t first, last;
	bool odd;
};
static const struct port_range of_clients = { 1025, 9999, true }, of_target = { 61001, 65535, true }, any = { 1024, 65535, false };

struct passes {
	struct loop *loop;
	struct socket_source source;
	struct egress *egress;
	struct steal_rules *rules;
	struct sock_diag *diag;
	struct table all;
	struct list in_turn; /* those that will be looked for next first */
	struct timer turn;
	uint32_t random;
};

struct pass {
	struct table_node node;
	struct list list;
	struct pass_key key;
	uint64_t due, interval;
};

static bool equal(const struct table_node *node, const void *key)
{
	return memcmp(&container_of(node, struct pass, node)->key, key, sizeof(struct pass_key)) == 0;
}

static int take_socket(struct socket_source *s, enum socket_kind kind, bool *ret_raw)
{
	static const int on = 1, mark = AGENT_MARK;
	bool v4 = kind == SOCKET_TCP4;
	_cleanup_fd_ int fd = socket_make(kind, ret_raw);

	if (fd < 0)
		return fd;
	if (setsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TRANSPARENT : IPV6_TRANSPARENT, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0)
		return -errno;
	return fd_steal(&fd);
}

static void forget(struct passes *p, struct pass *pass)
{
	table_remove(&p->all, &pass->node);
	list_remove(&pass->list);
	free(pass);
}

/* True when the connection is over for good. */
static bool is_over(struct passes *p, const struct pass_key *k)
{
	struct diag_socket s;
	int state = sock_diag_find(p->diag, &k->client, &k->destination, &s);

	if (state == TCP_TIME_WAIT)
		sock_diag_destroy(p->diag, &s);
	return state == 0 || state == TCP_TIME_WAIT || state == TCP_CLOSE || state == TCP_LISTEN;
}

/* What ended since the last transaction with the rules. */
struct over {
	struct pass_key keys[FORGET_MAX];
	size_t n;
};

static void tell_rules(struct passes *p, struct over *over)
{
	if (over->n)
		steal_rules_forget(p->rules, over->keys, over->n);
	over->n = 0;
}

static void look(struct passes *p, struct pass *pass, struct over *over)
{
	if (pass->due > loop_now(p->loop))
		return;
	if (is_over(p, &pass->key)) {
		over->keys[over->n++] = pass->key;
		steal_rules_pass(p->rules, &pass->key.client, false);
		forget(p, pass);
		return;
	}
	pass->interval = pass->interval < LOOK_MOST ? 2 * pass->interval : LOOK_MOST;
	pass->due = loop_now(p->loop) + pass->interval;
}

/* A part of all, in turn. */
static void on_turn(struct timer *t)
{
	struct passes *p = container_of(t, struct passes, turn);
	size_t n = p->all.n < LOOKS ? p->all.n : LOOKS + p->all.n / 4;
	struct over over = { 0 };

	while (n-- && !list_empty(&p->in_turn)) { /* a part may be more than all, and all may be over */
		struct pass *pass = container_of(p->in_turn.next, struct pass, list);

		list_remove(&pass->list);
		list_append(&p->in_turn, &pass->list);
		look(p, pass, &over);
		if (over.n == FORGET_MAX)
			tell_rules(p, &over);
	}
	tell_rules(p, &over);
	if (!list_empty(&p->in_turn))
		loop_arm(p->loop, &p->turn, loop_now(p->loop) + TURN);
}

struct passes *passes_new(struct loop *loop, struct steal_rules *rules, struct error *err)
{
	struct passes *p = calloc(1, sizeof(*p));

	if (!p || table_init(&p->all, equal) < 0) {
		free(p);
		error_set(err, ENOMEM, "pass connections on");
		return NULL;
	}
	p->loop = loop;
	p->rules = rules;
	p->source.take = take_socket;
	p->turn.on_due = on_turn;
	list_init(&p->in_turn);
	p->egress = socket_egress_new(loop, &p->source);
	p->diag = sock_diag_open(err);
	if (p->egress && p->diag && getrandom(&p->random, sizeof(p->random), 0) == sizeof(p->random)) {
		socket_egress_insist(p->egress);
		return p;
	}
	if (!error_is_set(err))
		error_set(err, ENOMEM, "pass connections on");
	passes_free(p);
	return NULL;
}

void passes_free(struct passes *p)
{
	if (!p)
		return;
	loop_disarm(p->loop, &p->turn);
	while (!list_empty(&p->in_turn))
		forget(p, container_of(p->in_turn.next, struct pass, list));
	socket_egress_free(p->egress);
	sock_diag_close(p->diag);
	table_fini(&p->all);
	free(p);
}

/* xorshift32: the ports are no secret, only scattered. */
static uint32_t next_random(struct passes *p)
{
	p->random = p->random ? p->random : 1;
	p->random ^= p->random << 13;
	p->random ^= p->random >> 17;
	p->random ^= p->random << 5;
	return p->random;
}

static uint16_t choose_port(struct passes *p, const struct endpoint *client, const struct endpoint *destination, int attempt)
{
	bool own = ip_equal(&client->ip, &destination->ip) || ip_is_loopback(&client->ip);
	const struct port_range *r = attempt >= TRIES / 2 ? &any : own ? &of_target : &of_clients;
	unsigned int step = r->odd ? 2 : 1, n = (unsigned int)(r->last - r->first) / step + 1;

	return (uint16_t)(r->first + step * (next_random(p) % n));
}

bool passes_has(const struct passes *p, const struct endpoint *client, const struct endpoint *destination)
{
	const struct pass_key key = { *client, *destination };

	return table_find(&p->all, &key, sizeof(key)) != NULL;
}

/* Nobody talks to @destination from there. */
static bool is_free(struct passes *p, const struct endpoint *client, const struct endpoint *destination)
{
	int state = passes_has(p, client, destination) ? TCP_ESTABLISHED : sock_diag_find(p->diag, destination, client, NULL);

	return state == 0 || state == TCP_LISTEN || state == TCP_TIME_WAIT;
}

static struct pass *add(struct passes *p, const struct endpoint *client, const struct endpoint *destination)
{
	struct pass *pass = calloc(1, sizeof(*pass));

	if (!pass)
		return NULL;
	pass->key = (struct pass_key){ *client, *destination };
	pass->interval = LOOK_FIRST;
	pass->due = loop_now(p->loop) + LOOK_FIRST;
	steal_rules_pass(p->rules, client, true);
	table_add(&p->all, &pass->node, &pass->key, sizeof(pass->key));
	list_append(&p->in_turn, &pass->list);
	if (!p->turn.index)
		loop_arm(p->loop, &p->turn, pass->due);
	return pass;
}

int passes_dial(struct passes *p, const struct endpoint *client, const struct endpoint *destination, dial_done_fn done, void *arg,
		struct dial **ret_dial)
{
	struct endpoint from = *client;
	int error = EADDRNOTAVAIL;

	for (int i = 0; i < TRIES && (error == EADDRINUSE || error == EADDRNOTAVAIL); i++) {
		struct pass *pass;

		from.port = choose_port(p, client, destination, i);
		if (!is_free(p, &from, destination))
			continue;
		pass = add(p, &from, destination);
		if (!pass)
			return ENOMEM;
		error = p->egress->ops->dial(p->egress, &from, destination, done, arg, ret_dial);
		if (error == EADDRINUSE || error == EADDRNOTAVAIL) {
			steal_rules_pass(p->rules, &from, false);
			forget(p, pass);
		}
	}
	if (error && error != EINPROGRESS)
		log_limited(LOG_LEVEL_DEBUG, "pass: %s", strerror(error));
	return error;
}

bool passes_busy(struct passes *p)
{
	for (struct list *n = p->in_turn.next; n != &p->in_turn; n = n->next)
		if (!is_over(p, &container_of(n, struct pass, list)->key))
			return true;
	return false;
}
