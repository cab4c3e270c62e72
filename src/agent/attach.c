// SPDX-License-Identifier: MIT
/* The handing over of a session.
 *
 *   newcomer: connects, sends one message with the descriptors, waits for one byte ─► handed over; waits for the end
 *   agent:    accepts, looks at who it is, takes the message, answers one byte, closes the connection when the session is over
 *   newcomer: is told to end: says so; waits for the end
 *
 * A newcomer that has waited in vain hangs up before it looks at its queue once more: so either it has the byte, or the agent can't send it and
 * serves nobody. One byte stream is never read by two.
 *
 * Nobody there: the newcomer takes the name itself. Of two that try, one gets it, and the other one finds it there when it tries again. An agent
 * on its way out answers "later", and is gone by one of the next tries.
 *
 * Who may: root, and the user that the agent was started by; both are asked of the kernel (SO_PEERCRED), on both sides. A number that stands for
 * users who are not mapped here says nothing, and is nobody. */
#include "agent/attach.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "net/acceptor.h"
#include "tunnel/info.h"
#include "tunnel/mux.h"

enum { FD_IN, FD_OUT, FD_LOG, FD_INFO, FD_ROOT, FD_LEND, FDS, FDS_LEAST = FD_LEND };
enum { TRIES = 50, TRY_S = CLIENT_DRAIN_S + 2, PATIENCE_S = 5, BACKLOG = 16, WAITING = 16, UNMAPPED = 65534 };

static_assert(TRY_S + PATIENCE_S < MUX_HELLO_S, "the session that waits for an agent to be out of the way doesn't give up before");
static_assert(INFO_ANSWER_S - TRY_S > 0, "nor does it before that agent has said a word");

static const char answer_taken = 0, answer_later = 1;
static const char name[] = "mirrord-agent";
/* Both ends come from one build, or don't understand each other. */
struct attach_message {
	char version[32];
};
static const struct attach_message message = { .version = "mirrord-agent attach 2" }, stream_message = { .version = "mirrord-agent stream 1" };

struct attach_listener {
	struct loop *loop;
	struct acceptor acceptor;
	struct attach_listener_events events;
	struct list waiting;
	size_t n_waiting;
	uid_t owner;
	int fd;
	bool refusing;
};

/* A connection that has not said anything yet. */
struct waiting {
	struct list node;
	struct watch watch;
	struct attach_listener *listener;
};

static socklen_t address_of(struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(ret->sun_path + 1, name, sizeof(name) - 1);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof(name));
}

static bool is_trusted(int sock, uid_t owner)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || peer.uid == UNMAPPED)
		return false;
	return peer.uid == 0 || peer.uid == owner;
}

static int make_socket(void)
{
	struct timeval patience = { .tv_sec = PATIENCE_S };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

/* What try() returns when it wasn't. */
enum { ONCE_MORE = -1, LATER = -2 };

static int hand_over(int sock, const struct attach_session *mine)
{
	_cleanup_fd_ int info = memfd_create("target", MFD_CLOEXEC);
	const int fds[FDS] = { mine->transport.in, mine->transport.out, mine->log, info, mine->transport.root, mine->transport.lend };
	char answer;

	if (info < 0 || fd_write_all(info, mine->info, mine->info_len) < 0 || lseek(info, 0, SEEK_SET) < 0)
		return ONCE_MORE;
	if (fd_send(sock, &message, sizeof(message), fds, mine->transport.lend < 0 ? FDS - 1 : FDS) < 0)
		return ONCE_MORE;
	if (recv(sock, &answer, 1, 0) != 1) {
		shutdown(sock, SHUT_RDWR);
		if (recv(sock, &answer, 1, MSG_DONTWAIT) != 1)
			return ONCE_MORE;
	}
	return answer == answer_later ? LATER : ATTACH_HANDED;
}

static int try(const struct attach_session *mine, int *ret_sock)
{
	struct sockaddr_un sa;
	socklen_t len = address_of(&sa);
	_cleanup_fd_ int there = make_socket(), own = make_socket();

	if (there < 0 || own < 0)
		return ATTACH_STRANGER;
	if (connect(there, (struct sockaddr *)&sa, len) == 0) {
		if (!is_trusted(there, geteuid()))
			return ATTACH_STRANGER;
		int r = hand_over(there, mine);

		if (r == ATTACH_HANDED)
			*ret_sock = fd_steal(&there);
		return r;
	}
	if (bind(own, (struct sockaddr *)&sa, len) < 0 || listen(own, BACKLOG) < 0)
		return ONCE_MORE;
	*ret_sock = fd_steal(&own);
	return ATTACH_NONE;
}

enum attach_result attach_find(const struct attach_session *mine, int *ret_sock)
{
	static const struct timespec pause = { .tv_nsec = 20000000 };
	struct timespec now;
	time_t end = 0;

	if (geteuid() == UNMAPPED)
		return ATTACH_STRANGER;
	for (int i = 0; i < TRIES;) {
		int r = try(mine, ret_sock);

		if (r >= 0)
			return r;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (!end)
			end = now.tv_sec + TRY_S;
		if (r == ONCE_MORE || now.tv_sec >= end)
			i++;
		nanosleep(&pause, NULL);
	}
	return ATTACH_STRANGER;
}

int attach_hand_stream(int in, int out)
{
	struct sockaddr_un sa;
	socklen_t len = address_of(&sa);
	_cleanup_fd_ int there = make_socket();
	const int fds[] = { in, out };
	char taken;

	if (there < 0 || connect(there, (struct sockaddr *)&sa, len) < 0 || !is_trusted(there, geteuid()) ||
	    fd_send(there, &stream_message, sizeof(stream_message), fds, 2) < 0)
		return -1;
	return recv(there, &taken, 1, 0) == 1 ? 0 : -1;
}

int attach_tell_end(int sock, const char *why)
{
	return send(sock, why, strnlen(why, ATTACH_WHY - 1), MSG_NOSIGNAL | MSG_DONTWAIT) > 0 ? 0 : -1;
}

bool attach_read_end(int sock, char ret_why[ATTACH_WHY])
{
	ssize_t n = recv(sock, ret_why, ATTACH_WHY - 1, MSG_DONTWAIT);

	if (n > 0)
		ret_why[n] = '\0';
	return n > 0;
}

static void waiting_free(struct waiting *w)
{
	loop_unwatch(w->listener->loop, &w->watch);
	list_remove(&w->node);
	w->listener->n_waiting--;
	free(w);
}

/* False when the message is not one. */
static bool read_session(const struct attach_message *m, const int *fds, size_t n, struct attach_session *ret)
{
	if (n < FDS_LEAST || memcmp(m, &message, sizeof(message)) != 0)
		return false;
	ret->transport = (struct client_transport){ fds[FD_IN], fds[FD_OUT], n > FD_LEND ? fds[FD_LEND] : -1, fds[FD_ROOT] };
	ret->log = fds[FD_LOG];
	ret->info = (uint8_t *)fd_read_all(fds[FD_INFO], MUX_INFO_MAX, &ret->info_len);
	return ret->info != NULL;
}

static void on_message(struct watch *watch, uint32_t events)
{
	struct waiting *w = container_of(watch, struct waiting, watch);
	struct attach_listener *l = w->listener;
	struct attach_message m = { 0 };
	struct attach_session session;
	int fds[FDS], sock = watch->fd;
	size_t n = 0;
	ssize_t len = fd_receive(sock, &m, sizeof(m), fds, FDS, &n, MSG_DONTWAIT);

	if (len < 0 && errno == EAGAIN)
		return;
	waiting_free(w);
	if (len == sizeof(m) && !l->refusing && read_session(&m, fds, n, &session)) {
		if (send(sock, &answer_taken, 1, MSG_NOSIGNAL) == 1) {
			close(fds[FD_INFO]);
			l->events.on_session(l->events.arg, &session, sock);
			return;
		}
		log_debug("attach: who brought a session has given up");
		free(session.info);
	}
	if (len == sizeof(m) && n == 2 && memcmp(&m, &stream_message, sizeof(m)) == 0) {
		send(sock, &answer_taken, 1, MSG_NOSIGNAL);
		l->events.on_stream(l->events.arg, fds[FD_IN], fds[FD_OUT]);
		n = 0;
	} else if (l->refusing) {
		send(sock, &answer_later, 1, MSG_NOSIGNAL);
	}
	for (size_t i = 0; len >= 0 && i < n; i++)
		close(fds[i]);
	close(sock);
}

static void on_connection(struct acceptor *a, int accepted, const struct endpoint *peer)
{
	struct attach_listener *l = container_of(a, struct attach_listener, acceptor);
	_cleanup_fd_ int fd = accepted;
	struct waiting *w;

	if (!is_trusted(fd, l->owner) || l->n_waiting >= WAITING)
		return;
	w = calloc(1, sizeof(*w));
	if (!w || loop_watch(l->loop, &w->watch, fd, EPOLLIN, on_message) < 0) {
		free(w);
		return;
	}
	fd_steal(&fd);
	w->listener = l;
	list_append(&l->waiting, &w->node);
	l->n_waiting++;
}

struct attach_listener *attach_listen(struct loop *loop, int sock, const struct attach_listener_events *events, struct error *err)
{
	struct attach_listener *l = calloc(1, sizeof(*l));
	struct ucred own = { 0 };
	socklen_t len = sizeof(own);
	int r = -ENOMEM;

	if (l) {
		getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &own, &len); /* of a listener: who we were when it began to listen */
		*l = (struct attach_listener){ .loop = loop, .events = *events, .owner = own.uid, .fd = sock,
					       .acceptor = { .loop = loop, .what = "attach", .on_connection = on_connection } };
		list_init(&l->waiting);
		r = fd_set_nonblocking(sock, true) < 0 ? -errno : acceptor_start(&l->acceptor, sock);
	}
	if (r == 0)
		return l;
	error_set(err, -r, "wait for other sessions");
	close(sock);
	free(l);
	return NULL;
}

void attach_refuse(struct attach_listener *l)
{
	l->refusing = true;
}

void attach_listener_free(struct attach_listener *l)
{
	if (!l)
		return;
	while (!list_empty(&l->waiting)) {
		struct waiting *w = container_of(l->waiting.next, struct waiting, node);
		int fd = w->watch.fd;

		waiting_free(w);
		close(fd);
	}
	acceptor_stop(&l->acceptor);
	close(l->fd);
	free(l);
}
