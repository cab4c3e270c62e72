// SPDX-License-Identifier: MIT
/* The notifier.
 *
 *   listen(2)   the keeper takes the socket (pidfd_getfd(2)), makes it listen, tells the session, and holds the call until the verdict
 *   bind(2)     of a UDP socket to a port: the same, with the address as the keeper copied it
 *   connect(2)  of a Unix socket: the session is asked; the socket is connected to it, or the kernel does as always
 *
 * All else is let pass at once (SECCOMP_USER_NOTIF_FLAG_CONTINUE), and the kernel does it as always.
 *
 * What the keeper does, it does to the program's own socket with the program's own arguments, so result and errno are what they were.
 * Where it may not look (Yama's strictest setting), or finds something odd (an address that can't be read, a descriptor that isn't open), the
 * kernel decides, and the session is told to look for itself.
 *
 * A call that a signal interrupts is made once more (before Linux 5.19; since then it can't be interrupted when the keeper has it). Listening
 * twice does no harm. Binding or connecting twice would fail: so what was done for a call that was gone is remembered, and its repetition
 * succeeds. A process that dies meanwhile takes its call with it: its pidfd tells, and our copy of its socket goes at once. */
#include "twin/notifier.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/list.h"
#include "base/log.h"
#include "twin/caller.h"
#include "twin/endings.h"
#include "twin/unix_join.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

enum { MAX_HELD = 1024, REPEATS = 16 };

/* A call that waits for the session's verdict. */
struct held {
	struct list node;
	struct notifier *notifier;
	uint64_t id;
	enum notify_kind kind;
	int fd;		   /* of a socket that listens or connects; -1 */
	struct watch gone; /* the process; its descriptor is ours */
	int type;	   /* as in the event, like: */
	struct unix_name name;
};

/* What took effect for a call that was gone by then. */
struct repeat {
	uint64_t cookie;
	struct sockaddr_storage address;
	socklen_t len;
};

struct notifier {
	struct loop *loop;
	struct watch listener, channel, endings;
	int listener_fd, channel_fd; /* channel -1: all is let pass */
	int endings_fd;		     /* -1: nobody tells */
	struct notifier_place place;
	struct list held;
	size_t n_held;
	struct repeat repeats[REPEATS];
	size_t next_repeat;
	bool over;
	void (*on_over)(void *arg);
	void *arg;
};

/* 0, or -1 with errno: ENOENT when the call is gone. */
static int respond(int listener, uint64_t id, int error, bool pass)
{
	struct seccomp_notif_resp r = { .id = id,
					.error = -error,
					.flags = pass ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0 };

	return ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &r);
}

static uint64_t socket_number(int fd, int option)
{
	uint64_t value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 ? value : 0;
}

static int socket_int(int fd, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 ? value : -1;
}

static bool is_tcp(int fd)
{
	int protocol = socket_int(fd, SO_PROTOCOL);

	return socket_int(fd, SO_TYPE) == SOCK_STREAM && (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP);
}

static bool is_udp(int fd)
{
	return socket_int(fd, SO_TYPE) == SOCK_DGRAM && socket_int(fd, SO_PROTOCOL) == IPPROTO_UDP;
}

/* False when the session can't hear it. */
static bool tell(struct notifier *n, const struct notify_event *e)
{
	return n->channel_fd >= 0 &&
	       send(n->channel_fd, e, sizeof(*e), MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof(*e);
}

/* Our descriptor goes first: when the call returns, the program may close its own and use the port again. */
static void release(struct notifier *n, struct held *h, int error, bool pass)
{
	int process = h->gone.fd;

	if (error && h->kind == NOTIFY_LISTENS)
		(void)connect(h->fd, &(struct sockaddr){ .sa_family = AF_UNSPEC }, sizeof(struct sockaddr));
	fd_closep(&h->fd);
	respond(n->listener_fd, h->id, error, pass);
	loop_unwatch(n->loop, &h->gone);
	fd_closep(&process);
	list_remove(&h->node);
	n->n_held--;
	free(h);
}

static bool call_is_there(struct notifier *n, uint64_t id)
{
	return ioctl(n->listener_fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

/* One of its threads may have ended (before Linux 6.9), and not the one that waits. */
static void on_gone(struct watch *w, uint32_t events)
{
	struct held *h = container_of(w, struct held, gone);
	struct notifier *n = h->notifier;

	if (call_is_there(n, h->id)) {
		loop_unwatch(n->loop, w);
		return;
	}
	if (h->kind == NOTIFY_CONNECTS)
		tell(n, &(struct notify_event){ .kind = NOTIFY_GONE, .id = h->id });
	release(n, h, 0, false);
}

/* The call returns when the session says so. Owns @fd (-1: the call can't be undone). */
static void hold(struct notifier *n, struct caller *c, const struct notify_event *e, int fd)
{
	bool pass = e->kind == NOTIFY_CONNECTS; /* all others have taken effect */
	struct held *h = n->n_held < MAX_HELD ? calloc(1, sizeof(*h)) : NULL;

	if (!h) {
		fd_closep(&fd);
		respond(n->listener_fd, e->id, 0, pass);
		return;
	}
	*h = (struct held){ .notifier = n, .id = e->id, .kind = e->kind, .fd = fd, .type = e->type, .name = e->name, .gone.fd = -1 };
	list_append(&n->held, &h->node);
	n->n_held++;
	if (loop_watch(n->loop, &h->gone, c->pidfd, EPOLLIN, on_gone) == 0)
		fd_steal(&c->pidfd);
	else
		h->gone.fd = -1;
	if (!tell(n, e))
		release(n, h, 0, pass);
}

/* Owns @fd, as the next ones do. */
static void let_pass(struct notifier *n, uint64_t id, int fd)
{
	fd_closep(&fd);
	respond(n->listener_fd, id, 0, true);
}

static void let_fail(struct notifier *n, uint64_t id, int fd, int error)
{
	fd_closep(&fd);
	respond(n->listener_fd, id, error, false);
}

/* Where it is, so that the session needn't list all that there are. A socket of MPTCP's isn't the one that sock_diag(7) has, but stands there. */
static struct notify_event event_of(uint64_t id, enum notify_kind kind, int fd)
{
	struct notify_event e = { .id = id, .cookie = socket_number(fd, SO_COOKIE), .kind = kind };
	int protocol = socket_int(fd, SO_PROTOCOL), v6only = 0;
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa), option = sizeof(v6only);

	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0 || !endpoint_from_sockaddr(&sa, &e.local))
		return e;
	if (sa.ss_family == AF_INET6 && getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &option) == 0)
		e.v6only = v6only;
	e.protocol = protocol == IPPROTO_MPTCP ? 0 : protocol;
	return e;
}

static void on_listen(struct notifier *n, struct caller *c, uint64_t id, int fd, int backlog)
{
	struct notify_event e;

	if (!is_tcp(fd)) {
		let_pass(n, id, fd);
	} else if (listen(fd, backlog) < 0) {
		let_fail(n, id, fd, errno);
	} else {
		e = event_of(id, NOTIFY_LISTENS, fd);
		endings_await(n->endings_fd, fd);
		hold(n, c, &e, fd);
	}
}

static bool is_multicast(const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET)
		return IN_MULTICAST(ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr));
	return IN6_IS_ADDR_MULTICAST(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

/* Forgets it, too. */
static bool is_repeated(struct notifier *n, uint64_t cookie, const struct sockaddr_storage *address, socklen_t len)
{
	for (size_t i = 0; i < REPEATS; i++) {
		struct repeat *r = &n->repeats[i];

		if (r->cookie != cookie || r->len != len || memcmp(&r->address, address, len) != 0)
			continue;
		r->cookie = 0;
		return cookie != 0;
	}
	return false;
}

static socklen_t address_of(const struct unix_name *name, struct sockaddr_storage *ret)
{
	*ret = (struct sockaddr_storage){ 0 };
	return unix_name_to_sockaddr(name, (struct sockaddr_un *)(void *)ret);
}

static void note_repeat(struct notifier *n, uint64_t cookie, const struct sockaddr_storage *address, socklen_t len)
{
	n->repeats[n->next_repeat++ % REPEATS] = (struct repeat){ .cookie = cookie, .address = *address, .len = len };
}

/* A UDP socket to an address of its own. */
static void bind_for(struct notifier *n, struct caller *c, uint64_t id, int fd, const struct sockaddr_storage *address, socklen_t len)
{
	uint64_t cookie = socket_number(fd, SO_COOKIE);
	struct notify_event e;

	if (!is_repeated(n, cookie, address, len) && bind(fd, (const struct sockaddr *)address, len) < 0) {
		let_fail(n, id, fd, errno);
		return;
	}
	e = event_of(id, NOTIFY_BOUND, fd);
	endings_await(n->endings_fd, fd);
	close(fd);
	if (call_is_there(n, id))
		hold(n, c, &e, -1);
	else
		note_repeat(n, cookie, address, len);
}

/* A port that the kernel is to choose (0) is a client's. */
static bool is_listeners(const struct sockaddr_storage *address)
{
	return (address->ss_family == AF_INET || address->ss_family == AF_INET6) &&
	       ((const struct sockaddr_in *)address)->sin_port && !is_multicast(address);
}

static void on_bind(struct notifier *n, struct caller *c, uint64_t id, int fd, const struct socket_call *call)
{
	struct sockaddr_storage address = { 0 };
	uint64_t len = call->address_len;

	if (is_udp(fd) && len >= sizeof(struct sockaddr_in) && len <= sizeof(address) &&
	    caller_read(c, call->address, &address, len) == 0 && call_is_there(n, id) && is_listeners(&address))
		bind_for(n, c, id, fd, &address, (socklen_t)len);
	else
		let_pass(n, id, fd);
}

static bool is_unix_address(const struct caller *c, const struct socket_call *call)
{
	sa_family_t family = AF_UNSPEC;

	return call->address_len > sizeof(family) && caller_read(c, call->address, &family, sizeof(family)) == 0 && family == AF_UNIX;
}

static void on_connect(struct notifier *n, struct caller *c, uint64_t id, int fd, const struct socket_call *call)
{
	struct notify_event e = { .id = id, .kind = NOTIFY_CONNECTS, .type = socket_int(fd, SO_TYPE), .cookie = socket_number(fd, SO_COOKIE) };
	struct sockaddr_storage address = { 0 };
	uint64_t len = call->address_len;

	if (len <= sizeof(struct sockaddr_un) && caller_read(c, call->address, &address, len) == 0 && call_is_there(n, id))
		unix_name_from_sockaddr(&e.name, (const struct sockaddr_un *)(const void *)&address, len);
	e.nonblocking = fcntl(fd, F_GETFL) & O_NONBLOCK;
	len = address_of(&e.name, &address);
	if (e.name.len && is_repeated(n, e.cookie, &address, (socklen_t)len))
		let_fail(n, id, fd, 0);
	else if (e.name.len && (e.type == SOCK_STREAM || e.type == SOCK_SEQPACKET))
		hold(n, c, &e, fd);
	else
		let_pass(n, id, fd);
}

static void let_pass_unseen(struct notifier *n, uint64_t id, int fd)
{
	tell(n, &(struct notify_event){ .kind = NOTIFY_UNSEEN });
	let_pass(n, id, fd);
}

/* Of a socket of the twin's. */
static void on_socket(struct notifier *n, struct caller *c, uint64_t id, int fd, const struct socket_call *call)
{
	int family = socket_int(fd, SO_DOMAIN);
	bool internet = family == AF_INET || family == AF_INET6;

	if (socket_number(fd, SO_NETNS_COOKIE) != n->place.net_cookie || (call->call == ANCHOR_CONNECT ? family != AF_UNIX : !internet))
		let_pass(n, id, fd);
	else if (call->call == ANCHOR_LISTEN)
		on_listen(n, c, id, fd, call->backlog);
	else if (call->call == ANCHOR_CONNECT)
		on_connect(n, c, id, fd, call);
	else
		on_bind(n, c, id, fd, call);
}

static void on_call(struct notifier *n, const struct seccomp_notif *q)
{
	struct caller c = { .tid = (pid_t)q->pid, .pidfd = -1 };
	struct socket_call call = { 0 };
	int fd = -1;

	if (n->channel_fd >= 0 && caller_arguments(&c, &q->data, &call) < 0)
		let_pass_unseen(n, q->id, -1);
	else if (n->channel_fd < 0 || (call.call == ANCHOR_CONNECT && !is_unix_address(&c, &call)))
		let_pass(n, q->id, -1);
	else if (caller_open(&c, (pid_t)q->pid) < 0 || (fd = caller_take(&c, call.fd)) < 0 || !call_is_there(n, q->id))
		let_pass_unseen(n, q->id, fd);
	else
		on_socket(n, &c, q->id, fd, &call);
	caller_close(&c);
}

static void on_notification(struct watch *w, uint32_t events)
{
	struct notifier *n = container_of(w, struct notifier, listener);
	struct seccomp_notif q = { 0 };

	if (events & EPOLLHUP) {
		loop_unwatch(n->loop, w);
		n->over = true;
		if (n->on_over)
			n->on_over(n->arg);
		return;
	}
	if (ioctl(n->listener_fd, SECCOMP_IOCTL_NOTIF_RECV, &q) == 0)
		on_call(n, &q);
}

static struct held *find(struct notifier *n, uint64_t id)
{
	for (struct list *l = n->held.next; l != &n->held; l = l->next)
		if (container_of(l, struct held, node)->id == id)
			return container_of(l, struct held, node);
	return NULL;
}

void notifier_let_pass(struct notifier *n)
{
	loop_unwatch(n->loop, &n->channel);
	fd_closep(&n->channel_fd);
	while (!list_empty(&n->held)) {
		struct held *h = container_of(n->held.next, struct held, node);

		release(n, h, 0, h->kind == NOTIFY_CONNECTS);
	}
}

/* The program's socket and the session's end of it. */
static void join(struct notifier *n, struct held *h)
{
	const struct notify_event joined = { .id = h->id, .kind = NOTIFY_JOINED }, gone = { .id = h->id, .kind = NOTIFY_GONE };
	struct sockaddr_storage address;
	socklen_t len = address_of(&h->name, &address);
	_cleanup_fd_ int end = call_is_there(n, h->id) ? unix_join(h->fd, h->type, &h->name, n->place.there, n->place.here) : -ECANCELED;

	if (end < 0) {
		tell(n, &gone);
		release(n, h, -fd_steal(&end), false);
		return;
	}
	if (fd_send(n->channel_fd, &joined, sizeof(joined), &end, 1) < 0)
		log_warn("notifier: hand over a connection: %m");
	if (!call_is_there(n, h->id))
		note_repeat(n, socket_number(h->fd, SO_COOKIE), &address, len);
	release(n, h, 0, false);
}

static void on_verdict(struct watch *w, uint32_t events)
{
	struct notifier *n = container_of(w, struct notifier, channel);
	struct notify_verdict v;
	ssize_t r = recv(n->channel_fd, &v, sizeof(v), MSG_DONTWAIT);
	struct held *h = r == (ssize_t)sizeof(v) ? find(n, v.id) : NULL;

	if (h && v.what == VERDICT_JOIN && h->kind == NOTIFY_CONNECTS)
		join(n, h);
	else if (h)
		release(n, h, v.error, v.what == VERDICT_PASS);
	else if (r == 0 || (r < 0 && errno != EAGAIN && errno != EINTR))
		notifier_let_pass(n);
}

static void on_ending(struct watch *w, uint32_t events)
{
	struct notifier *n = container_of(w, struct notifier, endings);

	if (endings_read(n->endings_fd))
		tell(n, &(struct notify_event){ .kind = NOTIFY_ENDED });
}

/* Without it the session finds out when it looks the next time. */
static void watch_endings(struct notifier *n)
{
	n->endings_fd = endings_open();
	if (n->endings_fd < 0)
		log_info("notifier: hear of sockets that end: %m");
	else
		loop_watch(n->loop, &n->endings, n->endings_fd, EPOLLIN, on_ending);
}

struct notifier *notifier_new(struct loop *loop, int listener, int channel, const struct notifier_place *place, struct error *err)
{
	struct notifier *n = calloc(1, sizeof(*n));
	int r = -ENOMEM;

	if (n) {
		*n = (struct notifier){
			.loop = loop, .listener_fd = listener, .channel_fd = channel, .place = *place
		};
		list_init(&n->held);
		r = loop_watch(loop, &n->listener, listener, EPOLLIN, on_notification);
		if (r == 0)
			r = loop_watch(loop, &n->channel, channel, EPOLLIN, on_verdict);
	}
	if (r == 0) {
		watch_endings(n);
		return n;
	}
	error_set(err, -r, "watch the program's sockets");
	if (n)
		loop_unwatch(loop, &n->listener);
	close(listener);
	close(channel);
	free(n);
	return NULL;
}

void notifier_on_over(struct notifier *n, void (*on_over)(void *arg), void *arg)
{
	n->on_over = on_over;
	n->arg = arg;
	if (n->over)
		on_over(arg);
}

void notify_pass_next(int listener)
{
	struct seccomp_notif q = { 0 };

	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &q) == 0)
		respond(listener, q.id, 0, true);
}

void notify_answer(int listener, const struct notify_verdict *v)
{
	respond(listener, v->id, v->error, v->what == VERDICT_PASS);
}
