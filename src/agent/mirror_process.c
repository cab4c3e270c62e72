// SPDX-License-Identifier: MIT
/* The mirroring process.
 *
 *   ring ─► intake ─► reassembly ─► a `tracked` per connection ─► a `copy` per subscription of its port ─► the program
 *                  └► datagrams ─► the agent
 *
 * What needs the agent (a connection to a session's program, whose egress is the agent's) is asked for by message; bytes of connections never
 * pass the agent where the egress gives a socket. Messages to the agent that find no room are lost where that only loses copies, and
 * else keep the process waiting: the agent never waits for it.
 *
 * A connection of another host's that is only routed through this namespace looks like one of the target's; so the server's address must be
 * a local one. One that is redirected to a mesh's sidecar looks so, too, and is encrypted; what the sidecar makes of it over lo is copied instead. */
#include "agent/mirror_process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/copy.h"
#include "agent/local_addresses.h"
#include "agent/mirror_followers.h"
#include "agent/ring.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/table.h"
#include "capture/intake.h"
#include "capture/reassembly.h"
#include "net/conntrack.h"
#include "net/loop.h"
#include "net/sock_diag.h"

enum { CONTROL = 3, RING = 4, BLOCKS_A_TURN = 4, MESSAGES_A_TURN = 64, EXPIRE_ASKS = 512 };
#define EXPIRE_STEP (5 * LOOP_SECOND)
#define EXPIRE_AFTER (60 * LOOP_SECOND)

/* A connection of the target's. */
struct tracked {
	struct endpoint ends[SIDES];
	struct list copies;
	bool foreign;
};

/* A copy that waits for its dial. */
struct asked {
	struct table_node node;
	uint32_t id;
	struct copy *copy;
};

struct process {
	struct loop *loop;
	struct watch control, packets;
	struct ring *ring;
	struct intake *intake;
	struct reassembly *reassembly;
	struct local_addresses *addresses;
	struct copies copies;
	struct followers followers;
	struct table asked;
	struct timer expire;
	struct sock_diag *diag; /* NULL: the kernel doesn't tell */
	struct conntrack *conntrack; /* the same */
	uint32_t last_id;
	uint8_t buffer[MIRROR_MESSAGE_MAX];
};

static bool is_watched(void *arg, uint8_t protocol, uint16_t port)
{
	const struct process *p = arg;

	return followers_watch(&p->followers, protocol, port);
}

/* Waits for room: for what the agent must hear. */
static void tell(const struct mirror_message *m)
{
	while (send(CONTROL, m, sizeof(*m), MSG_NOSIGNAL) < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS)) {
		struct pollfd room = { .fd = CONTROL, .events = POLLOUT };

		poll(&room, 1, -1);
	}
}

/* What copies ask for. */

static bool is_asked(const struct table_node *node, const void *key)
{
	return memcmp(&container_of(node, struct asked, node)->id, key, sizeof(uint32_t)) == 0;
}

static struct copy *take_asked(struct process *p, uint32_t id)
{
	struct table_node *node = table_find(&p->asked, &id, sizeof(id));
	struct asked *a = node ? container_of(node, struct asked, node) : NULL;
	struct copy *c = a ? a->copy : NULL;

	if (a)
		table_remove(&p->asked, &a->node);
	free(a);
	return c;
}

static void dial(void *arg, struct copy *c)
{
	struct process *p = arg;
	const struct follower *f = c->subscription;
	struct mirror_message m = { .kind = MIRROR_DIAL, .key = f->key, .client = c->client, .destination = c->destination };
	struct asked *a = malloc(sizeof(*a));

	if (!a)
		_exit(1);
	c->id = m.copy = ++p->last_id;
	*a = (struct asked){ .id = c->id, .copy = c };
	table_add(&p->asked, &a->node, &a->id, sizeof(a->id));
	tell(&m);
}

static void abandon(void *arg, struct copy *c)
{
	struct process *p = arg;
	const struct mirror_message m = { .kind = MIRROR_ABANDON, .copy = c->id };

	if (take_asked(p, c->id))
		tell(&m);
}

static void count(void *arg, struct copy *c, enum counter what)
{
	struct process *p = arg;

	follower_count(&p->followers, c->subscription, what);
}

static void on_copy_end(void *arg, struct copy *c)
{
	struct process *p = arg;
	struct follower *f = c->subscription;

	f->copies--;
	follower_end_if_over(&p->followers, f);
}

/* Connections of the target's. */

static struct copy *begin_copy(struct process *p, struct tracked *t, struct follower *f, bool middle)
{
	struct copy *c = copy_new(&p->copies, f, &t->ends[SIDE_CLIENT], &t->ends[SIDE_SERVER], middle, f->filter, f->body_max);

	if (!c)
		return NULL;
	list_append(&t->copies, &c->of_connection);
	f->copies++;
	return c;
}

static bool is_redirected(const struct process *p, const struct endpoint ends[SIDES])
{
	uint16_t port = p->conntrack ? conntrack_answering_port(p->conntrack, &ends[SIDE_CLIENT], &ends[SIDE_SERVER]) : 0;

	return port && port != ends[SIDE_SERVER].port;
}

static void *on_open(void *arg, const struct endpoint ends[SIDES], bool middle)
{
	struct process *p = arg;
	struct tracked *t = calloc(1, sizeof(*t));

	if (!t)
		_exit(1);
	memcpy(t->ends, ends, sizeof(t->ends));
	list_init(&t->copies);
	t->foreign = !local_addresses_has(p->addresses, &ends[SIDE_SERVER].ip, loop_now(p->loop)) || is_redirected(p, ends);
	for (struct list *n = p->followers.all.next; !t->foreign && !middle && n != &p->followers.all; n = n->next) {
		struct follower *f = container_of(n, struct follower, node);

		if (follower_wants(f, IPPROTO_TCP, ends[SIDE_SERVER].port))
			begin_copy(p, t, f, false);
	}
	return t;
}

static struct copy *copy_of(const struct tracked *t, const struct follower *f)
{
	for (struct list *n = t->copies.next; n != &t->copies; n = n->next) {
		struct copy *c = container_of(n, struct copy, of_connection);

		if (c->subscription == f)
			return c;
	}
	return NULL;
}

/* A subscription may be younger than the connection. */
static void add_missing(struct process *p, struct tracked *t)
{
	for (struct list *n = p->followers.all.next; n != &p->followers.all; n = n->next) {
		struct follower *f = container_of(n, struct follower, node);

		if (follower_wants(f, IPPROTO_TCP, t->ends[SIDE_SERVER].port) && !copy_of(t, f))
			begin_copy(p, t, f, true);
	}
}

static void on_data(void *arg, void *owner, enum side from, const uint8_t *data, size_t len)
{
	struct tracked *t = owner;

	if (t->foreign)
		return;
	add_missing(arg, t);
	for (struct list *n = t->copies.next, *next; n != &t->copies; n = next) {
		next = n->next;
		copy_data(container_of(n, struct copy, of_connection), data, len);
	}
}

static void on_gap(void *arg, void *owner, enum side from, size_t len)
{
	struct tracked *t = owner;

	for (struct list *n = t->copies.next, *next; n != &t->copies; n = next) {
		next = n->next;
		copy_gap(container_of(n, struct copy, of_connection), len);
	}
}

static void on_end(void *arg, void *owner, enum side from)
{
	struct tracked *t = owner;

	for (struct list *n = t->copies.next, *next; n != &t->copies; n = next) {
		next = n->next;
		copy_client_end(container_of(n, struct copy, of_connection));
	}
}

static void on_close(void *arg, void *owner, enum reassembly_close why)
{
	struct tracked *t = owner;
	struct list *node;

	while ((node = list_pop(&t->copies)))
		copy_leave(container_of(node, struct copy, of_connection), why != CLOSE_ENDED);
	free(t);
}

/* Packets. */

static void send_datagram(struct process *p, struct follower *f, const struct packet *packet)
{
	const struct mirror_message m = { .kind = MIRROR_DATAGRAM, .key = f->key, .marks = { .ttl = packet->ttl, .tos = packet->tos },
					  .client = packet->src, .destination = packet->dst };
	struct iovec pieces[2] = { { (void *)&m, sizeof(m) }, { (void *)packet->payload, packet->payload_len } };
	const struct msghdr message = { .msg_iov = pieces, .msg_iovlen = 2 };

	if (sendmsg(CONTROL, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		follower_count(&p->followers, f, COUNTER_MIRROR_SLOW);
}

static void on_datagram(struct process *p, const struct packet *packet)
{
	if (packet->missing || !local_addresses_has(p->addresses, &packet->dst.ip, loop_now(p->loop)))
		return;
	for (struct list *n = p->followers.all.next; n != &p->followers.all; n = n->next) {
		struct follower *f = container_of(n, struct follower, node);

		if (follower_wants(f, IPPROTO_UDP, packet->dst.port))
			send_datagram(p, f, packet);
	}
}

static void on_packet(void *arg, const struct packet *packet, enum side from)
{
	struct process *p = arg;

	if (packet->protocol == IPPROTO_TCP)
		reassembly_packet(p->reassembly, packet, from, loop_now(p->loop));
	else if (from == SIDE_CLIENT)
		on_datagram(p, packet);
}

static void on_ring_packet(void *arg, const struct ring_packet *packet)
{
	struct process *p = arg;
	const struct captured c = {
		.data = packet->data,
		.len = packet->len,
		.wire_len = packet->wire_len,
		.passage = packet->on_lo ? PASSAGE_LO : packet->type == PACKET_OUTGOING ? PASSAGE_OUT : PASSAGE_IN,
		.summed = packet->summed,
		.now_ms = loop_now(p->loop) / LOOP_MS,
	};

	intake_add(p->intake, &c);
}

/* A connection that was silent for long may be gone without a packet that came by here. Its end in the target is asked for. */
static bool is_gone(void *arg, const struct endpoint ends[SIDES])
{
	const struct process *p = arg;
	int state = sock_diag_find(p->diag, &ends[SIDE_SERVER], &ends[SIDE_CLIENT], NULL);

	return state == 0 || state == TCP_LISTEN || state == TCP_TIME_WAIT || state == TCP_CLOSE;
}

static void on_expire(struct timer *t)
{
	struct process *p = container_of(t, struct process, expire);
	uint64_t now = loop_now(p->loop);

	if (now > EXPIRE_AFTER)
		reassembly_expire(p->reassembly, now - EXPIRE_AFTER, now, EXPIRE_ASKS, is_gone);
	loop_arm(p->loop, t, now + EXPIRE_STEP);
}

/* What the agent says. */

/* Its copies are told after it is marked as removed, so that none is counted. */
static void remove_follower(struct process *p, struct follower *f, void (*tell_copy)(struct copy *c))
{
	struct copies *all = &p->copies;

	follower_remove(&p->followers, f);
	f->copies++; /* it lives until the end of this */
	for (struct list *n = all->all.next, *next; n != &all->all; n = next) {
		struct copy *c = container_of(n, struct copy, node);

		next = n->next;
		if (c->subscription == f)
			tell_copy(c);
	}
	f->copies--;
	follower_end_if_over(&p->followers, f);
}

static void on_dialed(struct process *p, const struct mirror_message *m, int *fd)
{
	struct copy *c = take_asked(p, m->copy);

	if (c && *fd >= 0)
		copy_connected(c, fd_steal(fd));
	else if (c)
		copy_refused(c);
}

static void on_message(struct process *p, const struct mirror_message *m, int *fd)
{
	struct follower *f;

	if (m->kind == MIRROR_ADD)
		followers_add(&p->followers, m, *fd);
	else if (m->kind == MIRROR_REMOVE && (f = followers_find(&p->followers, m->key)))
		remove_follower(p, f, copy_unsubscribed);
	else if (m->kind == MIRROR_CUT && (f = followers_find(&p->followers, m->key)))
		remove_follower(p, f, copy_cut);
	else if (m->kind == MIRROR_DIALED)
		on_dialed(p, m, fd);
}

/* False when there is none; the agent's end is ours. */
static bool read_message(struct process *p)
{
	const struct mirror_message *m = (const void *)p->buffer;
	_cleanup_fd_ int fd = -1;
	size_t n = 0;
	ssize_t len = fd_receive(CONTROL, p->buffer, sizeof(p->buffer), &fd, 1, &n, MSG_DONTWAIT);

	if (len == 0)
		_exit(0);
	if (len < (ssize_t)sizeof(*m))
		return false;
	on_message(p, m, &fd);
	return true;
}

static void on_control(struct watch *w, uint32_t events)
{
	struct process *p = container_of(w, struct process, control);

	for (int i = 0; i < MESSAGES_A_TURN && read_message(p); i++)
		;
}

/* A packet may be of a port that was subscribed a moment ago; the agent says so before it has the kernel take them. The ring counts as our
 * memory from where it is mapped: with the first packet, which most programs never get. */
static void on_ring(struct watch *w, uint32_t events)
{
	struct process *p = container_of(w, struct process, packets);
	struct error err = { 0 };

	on_control(&p->control, EPOLLIN);
	if (!p->ring && !(p->ring = ring_map(RING, &err)))
		_exit(1);
	ring_read(p->ring, BLOCKS_A_TURN, on_ring_packet, p);
}

static const struct intake_events intake_events = { .is_watched = is_watched, .on_packet = on_packet };
static const struct reassembly_events reassembly_events = { on_open, on_data, on_gap, on_end, on_close };

static void settle_priority(void)
{
	const struct sched_param none = { 0 };

	if (sched_setscheduler(0, SCHED_IDLE, &none) < 0)
		setpriority(PRIO_PROCESS, 0, 19);
}

static void settle(void)
{
	int nothing;

	log_init("mirrord-agent", LOG_LEVEL_ERROR, -1);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 0; i <= STDERR_FILENO; i++)
		close(i);
	nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int i = nothing < 0 ? 0 : 1; i <= STDERR_FILENO; i++)
		if (i != nothing)
			dup2(nothing < 0 ? CONTROL : nothing, i);
}

void mirror_process_settle(void)
{
	settle();
	settle_priority();
}

/* The agent may be waiting for it: before the process yields to everybody else. */
static bool make_ring(void)
{
	struct {
		struct mirror_message message;
		struct error why;
	} ready = { .message.kind = MIRROR_READY };
	bool made = ring_make(RING, &ready.why) == 0;

	send(CONTROL, &ready, sizeof(ready.message) + strlen(ready.why.text), MSG_NOSIGNAL);
	return made;
}

static _Noreturn void run(void)
{
	static const bool wanted[SIDES] = { [SIDE_CLIENT] = true };
	struct process *p = calloc(1, sizeof(*p));
	struct error err = { 0 };

	settle();
	if (!p || table_init(&p->asked, is_asked) < 0)
		_exit(1);
	p->loop = loop_new(&err);
	if (!make_ring())
		_exit(1);
	settle_priority();
	p->intake = intake_new(&intake_events, p);
	p->reassembly = reassembly_new(wanted, &reassembly_events, p);
	p->addresses = local_addresses_new();
	p->copies = (struct copies){ .dial = dial, .abandon = abandon, .count = count, .on_end = on_copy_end, .arg = p };
	if (!p->loop || !p->intake || !p->reassembly || !p->addresses)
		_exit(1);
	followers_init(&p->followers, p->loop, tell);
	copies_init(&p->copies, p->loop);
	p->diag = sock_diag_open(&err);
	p->conntrack = conntrack_open();
	p->expire.on_due = on_expire;
	if (p->diag)
		loop_arm(p->loop, &p->expire, loop_now(p->loop) + EXPIRE_STEP);
	if (loop_watch(p->loop, &p->control, CONTROL, EPOLLIN, on_control) < 0 || loop_watch(p->loop, &p->packets, RING, EPOLLIN, on_ring) < 0)
		_exit(1);
	loop_run(p->loop, &err);
	_exit(1);
}

pid_t mirror_process_start(int ring, int *ret_control, struct error *err)
{
	int kept[] = { -1, ring };
	/* Before it yields to everybody else: then it may be long until it runs. */
	pid_t pid = fd_fork_connected("mirrord-mirror", SOCK_SEQPACKET | SOCK_NONBLOCK, kept, 2, ret_control);

	if (pid == 0)
		run();
	return pid < 0 ? error_set(err, errno, "start the mirroring process") : pid;
}
