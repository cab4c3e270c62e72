// SPDX-License-Identifier: MIT
/* The keeper's life, told by what comes over its socket:
 *
 *   (start)   unshares; a failure waits for the first request to be told
 *   BUILD     with the target's description in a memfd: a child builds, and answers with every descriptor, or with the error. (A child, since
 *             building takes memory that the keeper would have for good: libnftables)
 *   READDRESS with the descriptions of another target and of the last one: a child gives the twin other addresses, and answers with none or the
 *             error
 *   NOTIFY    with the anchor and a channel: works on the program's listen and bind calls from here on (notifier.c)
 *   LEND      with a lender's socket: makes sockets of the relay namespace for whoever has the other end (relay/lender.h)
 *   …         what a post is told (post.h)
 *   (end)     the session is gone. When it said QUIT before, all is over. Otherwise it was killed: its sockets in the relay namespace are
 *             gone (and have reset the program's connections), and the keeper ends the program. It stays until the last process of the twin
 *             is gone: with nobody at the anchor their calls would fail.
 *
 * It holds no descriptor of the user's but stderr, and none of the session's. */
#include "twin/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "net/loop.h"
#include "relay/lender.h"
#include "twin/info_file.h"
#include "twin/notifier.h"
#include "twin/post.h"

enum { REQUEST_BUILD = 'b', REQUEST_NOTIFY = 'n', REQUEST_LEND = 'l', REQUEST_READDRESS = 'm' }; /* beside what a post obeys */
enum { LENDERS = 4 };
enum { TARGET_TEXT = 256 };

struct request {
	char what;
	union {
		char target[TARGET_TEXT]; /* BUILD */
		uint64_t net_cookie;	  /* NOTIFY: of the twin (SO_NETNS_COOKIE) */
	};
};

/* What a build gives, in the order in which the descriptors travel; those of -1 are left out, as the mask says. */
enum { TWIN_FDS = 10 };

struct answer {
	struct error error;
	unsigned int fd_mask;
	uint32_t relay_index, lo_index;
};

static void twin_fds(struct twin *t, int *ret[TWIN_FDS])
{
	int *fds[TWIN_FDS] = { &t->user_ns, &t->net_ns, &t->uts_ns, &t->relay_ns, &t->packet_in, &t->packet_out, &t->listeners[0],
			       &t->listeners[1], &t->diag, &t->agent_diag };

	memcpy(ret, fds, sizeof(fds));
}

static void send_answer(int sock, struct answer *a, struct twin *t)
{
	int *slots[TWIN_FDS], fds[TWIN_FDS];
	size_t n = 0;

	twin_fds(t, slots);
	for (size_t i = 0; i < TWIN_FDS; i++) {
		if (*slots[i] < 0)
			continue;
		a->fd_mask |= 1U << i;
		fds[n++] = *slots[i];
	}
	a->relay_index = t->relay_index;
	a->lo_index = t->lo_index;
	fd_send(sock, a, sizeof(*a), fds, n);
}

struct keeper {
	struct loop *loop;
	struct watch request;
	struct post post;
	struct notifier *notifier;
	struct lender *lenders[LENDERS];
	size_t n_lenders;
	struct twin twin;
	struct error unshare_error;
};

static void build(struct keeper *k, const struct request *r, int memfd)
{
	struct answer a = { .error = k->unshare_error };
	struct target_info info = { 0 };

	if (!error_is_set(&a.error) && target_info_from_fd(memfd, &info, &a.error) == 0)
		twin_build(&k->twin, &info, r->target, &a.error);
	send_answer(k->post.sock, &a, &k->twin);
}

static void readdress(struct keeper *k, const int memfds[2])
{
	struct answer a = { 0 };
	struct target_info info = { 0 }, before = { 0 };

	if (target_info_from_fd(memfds[0], &info, &a.error) == 0 && target_info_from_fd(memfds[1], &before, &a.error) == 0)
		twin_readdress(k->twin.net_ns, &info, &before, &a.error);
	fd_send(k->post.sock, &a, sizeof(a), NULL, 0);
}

static void build_in_child(struct keeper *k, const struct request *r, const int memfds[2])
{
	struct answer failed = { 0 };
	pid_t child = fork();
	int status;

	if (child == 0) {
		if (r->what == REQUEST_BUILD)
			build(k, r, memfds[0]);
		else
			readdress(k, memfds);
		_exit(0);
	}
	if (child < 0)
		error_set(&failed.error, errno, "start a process that builds the twin");
	else if (waitpid(child, &status, 0) < 0 || status != 0)
		error_set(&failed.error, 0, "the process that builds the twin died");
	if (error_is_set(&failed.error))
		fd_send(k->post.sock, &failed, sizeof(failed), NULL, 0);
}

static void notify(struct keeper *k, const struct request *r, int fds[2])
{
	const struct notifier_place place = { .there = k->twin.net_ns, .here = k->twin.relay_ns, .net_cookie = r->net_cookie };
	struct error err = { 0 };

	if (!k->notifier && fds[1] >= 0)
		k->notifier = notifier_new(k->loop, fd_steal(&fds[0]), fd_steal(&fds[1]), &place, &err);
}

static void lend(struct keeper *k, int fds[2])
{
	struct error err = { 0 };

	if (k->n_lenders < LENDERS && fds[0] >= 0)
		k->lenders[k->n_lenders++] = lender_new(k->loop, fd_steal(&fds[0]), LEND_TRANSPARENT, &err);
}

static void on_over(void *arg)
{
	loop_stop(((struct keeper *)arg)->loop);
}

/* The session is gone, and left the program. */
static void survive(struct keeper *k)
{
	loop_unwatch(k->loop, &k->request);
	for (size_t i = 0; i < k->n_lenders; i++)
		lender_free(k->lenders[i]);
	k->n_lenders = 0;
	post_end_program(&k->post);
	fd_drop_stderr();
	if (!k->notifier) {
		loop_stop(k->loop);
		return;
	}
	notifier_let_pass(k->notifier);
	notifier_on_over(k->notifier, on_over, k);
}

static void on_request(struct watch *w, uint32_t events)
{
	struct keeper *k = container_of(w, struct keeper, request);
	struct request r = { 0 };
	int fds[2] = { -1, -1 };
	size_t n = 0;
	ssize_t len = fd_receive(k->post.sock, &r, sizeof(r), fds, 2, &n, MSG_DONTWAIT);

	if (len == 0 || (len < 0 && errno != EAGAIN && errno != EINTR))
		survive(k);
	else if (len > 0 && (r.what == REQUEST_BUILD || r.what == REQUEST_READDRESS))
		build_in_child(k, &r, fds);
	else if (len > 0 && r.what == REQUEST_NOTIFY)
		notify(k, &r, fds);
	else if (len > 0 && r.what == REQUEST_LEND)
		lend(k, fds);
	else if (len > 0 && !post_obey(&k->post, r.what, fds))
		loop_stop(k->loop);
	fd_closep(&fds[0]);
	fd_closep(&fds[1]);
}

static _Noreturn void run(int sock, int session, struct twin_owner owner)
{
	int kept[] = { sock, session, owner.user_ns };
	struct keeper k = { .post = { .program = -1, .guard = -1 } };
	struct error err = { 0 };

	prctl(PR_SET_NAME, "mirrord-keeper");
	signal(SIGCHLD, SIG_DFL); /* how a child ended is asked for */
	/* Everything the session had open but stderr goes. */
	if (fd_keep_only(kept, 3) < 0)
		_exit(1);
	k.post.sock = kept[0];
	k.post.session = kept[1];
	owner.user_ns = kept[2];
	twin_unshare(&owner, &k.twin, &k.unshare_error);
	fd_closep(&owner.user_ns);
	k.post.net_ns = k.twin.net_ns;
	k.loop = loop_new(&err);
	if (!k.loop || loop_watch(k.loop, &k.request, k.post.sock, EPOLLIN, on_request) < 0)
		_exit(1);
	loop_run(k.loop, &err);
	_exit(0);
}

pid_t keeper_start(const struct twin_owner *owner, int *ret_sock, struct error *err)
{
	_cleanup_fd_ int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	int pair[2];
	pid_t pid;

	if (self < 0) {
		error_set(err, errno, "open a pidfd (pidfd_open(2))");
		return error_hint(err, "an old seccomp profile may forbid it: in a container, run that with --security-opt seccomp=unconfined");
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set(err, errno, "make a socket pair for the keeper");
	pid = fork();
	if (pid == 0) {
		close(pair[0]);
		run(pair[1], self, *owner);
	}
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return error_set(err, errno, "start the keeper");
	}
	*ret_sock = pair[0];
	return pid;
}

int keeper_build(int sock, const struct target_info *info, const char *target, struct twin *ret, struct error *err)
{
	struct request r = { .what = REQUEST_BUILD };
	struct answer a;
	ssize_t len;
	struct twin twin = TWIN_NONE;
	_cleanup_fd_ int memfd = target_info_memfd(info, err);
	int fds[TWIN_FDS], *slots[TWIN_FDS];
	size_t n = 0, next = 0;

	if (memfd < 0)
		return -1;
	snprintf(r.target, sizeof(r.target), "%s", target);
	if (fd_send(sock, &r, sizeof(r), &memfd, 1) < 0 || (len = fd_receive(sock, &a, sizeof(a), fds, TWIN_FDS, &n, 0)) < 0)
		return error_set(err, errno, "talk to the keeper");
	if (len != sizeof(a)) {
		error_set(err, 0, "the keeper died while it made the twin");
		return error_hint(err, "was it killed? `dmesg` tells of the kernel's own reasons, a lack of memory above all");
	}
	twin_fds(&twin, slots);
	for (size_t i = 0; i < TWIN_FDS; i++)
		if (a.fd_mask & 1U << i && next < n)
			*slots[i] = fds[next++];
	twin.relay_index = a.relay_index;
	twin.lo_index = a.lo_index;
	if (error_is_set(&a.error)) {
		twin_close(&twin);
		*err = a.error;
		return -1;
	}
	*ret = twin;
	return 0;
}

int keeper_readdress(int sock, const struct target_info *info, const struct target_info *before, struct error *err)
{
	const struct request r = { .what = REQUEST_READDRESS };
	struct answer a;
	_cleanup_fd_ int now = target_info_memfd(info, err), then = now < 0 ? -1 : target_info_memfd(before, err);
	const int fds[] = { now, then };
	size_t n;

	if (then < 0)
		return -1;
	if (fd_send(sock, &r, sizeof(r), fds, 2) < 0 || fd_receive(sock, &a, sizeof(a), NULL, 0, &n, 0) != (ssize_t)sizeof(a))
		return error_set(err, errno, "talk to the keeper");
	if (!error_is_set(&a.error))
		return 0;
	*err = a.error;
	return -1;
}

int keeper_notify(int sock, int anchor, int channel, uint64_t net_cookie, struct error *err)
{
	const struct request r = { .what = REQUEST_NOTIFY, .net_cookie = net_cookie };
	const int fds[] = { anchor, channel };

	return fd_send(sock, &r, sizeof(r), fds, 2) < 0 ? error_set(err, errno, "talk to the keeper") : 0;
}

int keeper_lend(int sock, int lender, struct error *err)
{
	const struct request r = { .what = REQUEST_LEND };

	return fd_send(sock, &r, sizeof(r), &lender, 1) < 0 ? error_set(err, errno, "talk to the keeper") : 0;
}
