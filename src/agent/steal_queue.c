// SPDX-License-Identifier: MIT
/* A queue in front of the program's.
 *
 * The target's kernel answers a client before the agent hears of it. So that a client is answered exactly when the program's own listener would
 * have answered, the agent's has room for as many as that one:
 *
 *     SYN ─► queue of this listener ─► accept(2), connect(2) ─► queue of the program's listener (B + 1 places) ─► its accept(2)
 *            │◄─ takes `left` ─────►│                           │◄─ those that were handed over ──────────►│
 *
 *   - `left` and what is in the program's queue are B + 1 together, always. Before a connection is accepted, listen(2) takes its place off this one.
 *   - No kernel tells when a program accepts, so the twin's is asked (sock_diag(7)): how long the queue is, how many are in it. That is done
 *     when little is left, else a moment later; again and again, ever less often; and at last by rounds, with all that are as quiet: a program
 *     may call listen(2) anew, or connect to itself.
 *   - listen(2) leaves room for one at least. So where nothing is left, a filter drops what comes, as a full queue does: SYN, and the
 *     last packet of a handshake. A connection made in that moment on another CPU has the filter as well, and it is taken off.
 *
 * A listener of the program's for both families has one queue for both; so has this one: a socket of IPv6's at an IPv4 address, to which tproxy may
 * lead either.
 *
 * Near its limit the kernel answers by SYN cookies: nothing is kept, and the last packet of the handshake needs to be led here as well
 * (steal_rules.c). */
#include "agent/steal_queue.h"

#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "agent/layout.h"
#include "agent/room.h"
#include "agent/steal_listener.h"
#include "base/log.h"
#include "net/sock_diag.h"

#define SOON	  ((uint64_t)LOOP_MS)
#define MOST_SHUT (8 * (uint64_t)LOOP_MS)
#define QUIET	  (128 * (uint64_t)LOOP_MS)
#define HALF_OPEN LOOP_SECOND /* so long a client may take to complete its connection */
enum { FLAGS_AT = 13 /* in the header of TCP */, ROUND = 64 /* so many are asked about in one, and the others in the next */ };

struct steal_queues {
	struct loop *loop;
	bool ipv6;
	struct steal_queues_events events;
	struct list all;    /* those that were asked about longest ago are first */
	struct timer round; /* while there are any */
};

struct steal_queue {
	struct steal_listener listener;
	struct steal_queues *set;
	struct list node;
	uint16_t port;
	struct steal_aim aim; /* without a twin it is ending */
	struct room room;
	struct timer timer; /* off: it is quiet, or has just been made */
	uint64_t step;
	uint32_t takes; /* its own queue; 0: nobody */
	bool was_shut;
};

static struct steal_queue *queue_of(struct steal_listener *l)
{
	return container_of(l, struct steal_queue, listener);
}

/* Nothing gets in but the end of a handshake that is on. */
static void shut(struct steal_queue *q)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FLAGS_AT),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, TH_RST, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	const struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	if (setsockopt(q->listener.fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
		log_limited(LOG_LEVEL_WARN, "steal: port %u: a client more than the program's queue takes: %m", q->port);
	q->was_shut = true;
}

static void unfilter(int fd)
{
	setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &(int){ 0 }, sizeof(int));
}

/* Has the queue take @n in all. */
static void let_in(struct steal_queue *q, uint32_t n)
{
	if (q->takes == n)
		return;
	if (!n)
		shut(q);
	listen(q->listener.fd, n ? (int)n - 1 : 0);
	if (n && !q->takes)
		unfilter(q->listener.fd);
	q->takes = n;
}

static void ask(struct steal_queue *q)
{
	const struct endpoint anyone = { .ip = ip_is_v4(&q->aim.listener.ip) ? IP_ANY4 : IP_ANY6 };
	struct diag_socket s;

	if (sock_diag_find(q->aim.twin, &q->aim.listener, &anyone, &s) == TCP_LISTEN)
		room_answer(&q->room, s.backlog, s.waiting);
	else
		room_forget(&q->room);
}

/* Whoever is in the queue already stays there while nothing is left: they aren't looked at. */
static void use(struct steal_queue *q)
{
	uint32_t left = room_left(&q->room);

	let_in(q, left);
	loop_rewatch(q->set->loop, &q->listener.watch, left ? EPOLLIN : 0);
}

static void ask_within(struct steal_queue *q, uint64_t time)
{
	uint64_t due = loop_now(q->set->loop) + time;

	q->step = time;
	if (!q->timer.index || q->timer.due > due)
		loop_arm(q->set->loop, &q->timer, due);
}

/* Who waits for accept(2) here. */
static uint32_t waiting(const struct steal_queue *q)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	/* Of a listener, tcp_get_info() has them in that field. */
	return getsockopt(q->listener.fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ? 0 : info.tcpi_unacked;
}

static int some(struct steal_listener *l, int most)
{
	uint32_t n = waiting(queue_of(l));

	return n < (uint32_t)most ? (int)n : most;
}

/* Its last place may be promised: to who has been answered, and whose handshake isn't over. That one would find the queue full if it was made
 * shorter before another one has left it. */
static bool is_last_promised(const struct steal_queue *q)
{
	return q->takes < ROOM_CLOSE && waiting(q) + 1 == q->takes;
}

static bool before(struct steal_listener *l)
{
	struct steal_queue *q = queue_of(l);

	if (q->aim.twin && room_left(&q->room) < 2)
		ask(q);
	if (!room_left(&q->room))
		return false;
	if (!is_last_promised(q))
		let_in(q, room_left(&q->room) - 1);
	return true;
}

static void accepted(struct steal_listener *l, int fd, const struct endpoint *client)
{
	struct steal_queue *q = queue_of(l);

	if (q->was_shut)
		unfilter(fd);
	room_hand(&q->room);
	let_in(q, room_left(&q->room));
	q->set->events.on_accepted(q->set->events.arg, q, fd, client);
}

static void scarce(struct steal_listener *l)
{
	const struct steal_queues_events *e = &queue_of(l)->set->events;

	e->on_scarce(e->arg);
}

static void after(struct steal_listener *l)
{
	struct steal_queue *q = queue_of(l);

	if (q->aim.twin && room_is_close(&q->room))
		ask(q);
	use(q);
	if (q->aim.twin)
		ask_within(q, SOON);
}

static void queue_free(struct steal_queue *q)
{
	loop_disarm(q->set->loop, &q->timer);
	steal_listener_close(&q->listener);
	list_remove(&q->node);
	free(q);
}

/* True when something has changed. */
static bool look(struct steal_queue *q)
{
	uint32_t left = room_left(&q->room);

	ask(q);
	use(q);
	return room_left(&q->room) != left;
}

/* A timer for each would wake the agent thousands of times a second where a program listens on hundreds of ports. */
static void on_round(struct timer *t)
{
	struct steal_queues *s = container_of(t, struct steal_queues, round);
	const struct list *first = s->all.next;

	for (int i = 0; i < ROUND && !list_empty(&s->all) && (!i || s->all.next != first); i++) {
		struct steal_queue *q = container_of(list_pop(&s->all), struct steal_queue, node);

		list_append(&s->all, &q->node);
		if (q->aim.twin && !q->timer.index && look(q))
			ask_within(q, SOON);
	}
	if (!list_empty(&s->all))
		loop_arm(s->loop, t, loop_now(s->loop) + QUIET);
}

static void on_due(struct timer *t)
{
	struct steal_queue *q = container_of(t, struct steal_queue, timer);
	const struct steal_queues_events *e = &q->set->events;

	if (!q->aim.twin) {
		steal_listener_accept(&q->listener);
		e->on_closed(e->arg, q);
		queue_free(q);
		return;
	}
	q->step = look(q) ? SOON : q->step * 2;
	if (!room_left(&q->room) && q->step > MOST_SHUT)
		q->step = MOST_SHUT;
	if (q->step < QUIET)
		ask_within(q, q->step);
}

static struct steal_queue *queue_new(struct steal_queues *s, uint16_t port, const struct steal_aim *aim)
{
	static const struct steal_listener_ops ops = { .some = some, .before = before, .accepted = accepted, .scarce = scarce, .after = after };
	struct steal_queue *q = calloc(1, sizeof(*q));
	struct error err = { 0 };
	struct ip at;

	ip_parse(AGENT_ADDRESS4, &at);
	if (!q)
		return NULL;
	*q = (struct steal_queue){ .set = s, .port = port, .aim = *aim, .timer.on_due = on_due, .listener.fd = -1, .takes = ROOM_ENDLESS };
	list_append(&s->all, &q->node);
	if (!s->round.index)
		loop_arm(s->loop, &s->round, loop_now(s->loop) + QUIET);
	if (steal_listener_open(&q->listener, s->loop, &ops, &at, s->ipv6, &err) == 0 && steal_listener_start(&q->listener) == 0)
		return q;
	log_debug("steal: port %u has no queue of its own: %s", port, err.text);
	queue_free(q);
	return NULL;
}

/* Who was led to it may be on the way. */
static void retire(struct steal_queue *q)
{
	q->aim.twin = NULL;
	room_forget(&q->room);
	use(q);
	loop_arm(q->set->loop, &q->timer, loop_now(q->set->loop) + HALF_OPEN);
}

static struct steal_queue *find(const struct steal_queues *s, uint16_t port, const struct steal_aim *aim)
{
	for (const struct list *n = s->all.next; n != &s->all; n = n->next) {
		struct steal_queue *q = container_of(n, struct steal_queue, node);

		if (q->port == port && q->aim.twin == aim->twin && endpoint_equal(&q->aim.listener, &aim->listener))
			return q;
	}
	return NULL;
}

void steal_queues_set(struct steal_queues *s, uint16_t port, const struct steal_aim aims[2], uint16_t ret_ports[2])
{
	struct steal_queue *now[2] = { NULL };

	for (int v = 0; v < 2; v++) {
		if (aims[v].twin && !(now[v] = find(s, port, &aims[v])))
			now[v] = queue_new(s, port, &aims[v]);
		ret_ports[v] = now[v] ? now[v]->listener.at.port : 0;
	}
	for (struct list *n = s->all.next; n != &s->all; n = n->next) {
		struct steal_queue *q = container_of(n, struct steal_queue, node);

		if (q->port != port || !q->aim.twin)
			continue;
		if (q == now[0] || q == now[1])
			after(&q->listener);
		else
			retire(q);
	}
}

void steal_queues_accept(struct steal_queues *s)
{
	for (struct list *n = s->all.next; n != &s->all; n = n->next)
		steal_listener_accept(&container_of(n, struct steal_queue, node)->listener);
}

void steal_queue_arrived(struct steal_queue *q)
{
	room_arrive(&q->room);
}

const struct endpoint *steal_queue_at(const struct steal_queue *q)
{
	return &q->listener.at;
}

struct steal_queues *steal_queues_new(struct loop *loop, bool ipv6, const struct steal_queues_events *events)
{
	struct steal_queues *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	*s = (struct steal_queues){ .loop = loop, .ipv6 = ipv6, .events = *events, .round.on_due = on_round };
	list_init(&s->all);
	return s;
}

void steal_queues_free(struct steal_queues *s)
{
	if (!s)
		return;
	while (!list_empty(&s->all))
		queue_free(container_of(s->all.next, struct steal_queue, node));
	loop_disarm(s->loop, &s->round);
	free(s);
}
