// SPDX-License-Identifier: MIT
/* Two agents of one target: who is found, what is handed over, and who may not. */
#include "agent/attach.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "relay/isolate.h"
#include "relay/loop_thread.h"
#include "relay/peers.h"
#include "tap.h"

static struct attach_listener *listener;
static volatile int sessions;
static struct attach_session got;
static int got_sock, own_sock = -1;
static char got_info[16];

static void on_session(void *arg, const struct attach_session *s, int sock)
{
	got = *s;
	got_sock = sock;
	snprintf(got_info, sizeof(got_info), "%.*s", (int)s->info_len, (const char *)s->info);
	free(s->info);
	sessions++;
}

static void start(void *arg)
{
	static const struct attach_listener_events events = { .on_session = on_session };
	struct error err = { 0 };

	listener = attach_listen(loop, *(int *)arg, &events, &err);
}

static void refuse(void *arg)
{
	attach_refuse(listener);
}

static void stop(void *arg)
{
	attach_listener_free(listener);
}

/* The other agent, a process of its own: as @uid. It exits with what it found. */
static pid_t find_as(uid_t uid, int transport, bool lend)
{
	pid_t child = fork();

	if (child == 0) {
		int there = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		struct attach_session mine = { .transport = { transport, transport, lend ? transport : -1, there }, .log = STDERR_FILENO,
					       .info = (uint8_t *)strdup("target"), .info_len = 6 };
		int sock = -1, found;

		close(own_sock); /* a copy would keep the name */
		if (uid != geteuid() && (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0))
			_exit(99);
		found = attach_find(&mine, &sock);
		if (found == ATTACH_HANDED && lend)
			attach_tell_end(sock, "told to end");
		if (found == ATTACH_HANDED)
			read_outcome(sock); /* until its end */
		_exit(found);
	}
	return child;
}

static int exit_of(pid_t child)
{
	int status;

	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_handed_over(bool lend)
{
	int pair[2], before = sessions;
	struct stat root;
	char text[8] = "", why[ATTACH_WHY];
	pid_t child;

	unix_pair(pair, 0);
	child = find_as(geteuid(), pair[1], lend);
	tap_int(await(&sessions, before + 1), before + 1, "a session is handed over");
	tap_str(got_info, "target", "with what its target is like");
	tap_int(got.transport.lend >= 0, lend, "and a lender, if it has one");
	tap_ok(fstat(got.transport.root, &root) == 0 && S_ISDIR(root.st_mode), "and its target's root directory");
	tap_ok(write(got.transport.out, "hello", 5) == 5 && read(pair[0], text, 5) == 5 && strcmp(text, "hello") == 0, "what we write it reads");
	tap_int(waitpid(child, NULL, WNOHANG), 0, "who brought it waits");
	if (lend) {
		struct pollfd p = { .fd = got_sock, .events = POLLIN };

		tap_int(poll(&p, 1, 60000), 1, "and says something");
		tap_ok(attach_read_end(got_sock, why) && strcmp(why, "told to end") == 0, "that it is told to end");
		tap_int(waitpid(child, NULL, WNOHANG), 0, "and still waits");
	}
	close(got_sock);
	tap_int(exit_of(child), ATTACH_HANDED, "until the session is over");
	close(got.transport.in);
	close(got.transport.out);
	fd_closep(&got.transport.lend);
	close(got.transport.root);
	close(got.log);
	close(pair[0]);
	close(pair[1]);
}

/* Who says something else, or nothing. */
static void test_noise(void)
{
	struct sockaddr_un { sa_family_t family; char path[108]; } sa = { AF_UNIX, "\0mirrord-agent" };
	int before = sessions, fd;
	char byte;

	for (int what = 0; what < 2; what++) {
		fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
		set_patience(fd);
		if (connect(fd, (struct sockaddr *)&sa, sizeof(sa_family_t) + 14) < 0)
			abort();
		if (what == 0)
			send(fd, "hello", 5, 0);
		else
			shutdown(fd, SHUT_WR);
		tap_int(recv(fd, &byte, 1, 0), 0, "noise is hung up on");
		close(fd);
	}
	tap_int(sessions, before, "and is no session");
}

static volatile int accepts;

/* The kernel's own, counted. */
int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	accepts++;
	return (int)syscall(SYS_accept4, fd, addr, len, flags);
}

/* A newcomer for whom there is no descriptor waits, and keeps nobody busy; then he is heard. */
static void test_scarce(void)
{
	struct sockaddr_un { sa_family_t family; char path[108]; } sa = { AF_UNIX, "\0mirrord-agent" };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), fillers[64], n = 0;
	struct rlimit before, few;
	char byte;

	getrlimit(RLIMIT_NOFILE, &before);
	few = (struct rlimit){ .rlim_cur = 64, .rlim_max = before.rlim_max };
	setrlimit(RLIMIT_NOFILE, &few);
	while (n < 64 && (fillers[n] = dup(fd)) >= 0)
		n++;
	accepts = 0;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa_family_t) + 14) < 0)
		abort();
	usleep(300000);
	tap_ok(accepts >= 1 && accepts <= 20, "the agent sleeps while there is no descriptor for a newcomer (%d accepts)", accepts);
	while (n > 0)
		close(fillers[--n]);
	setrlimit(RLIMIT_NOFILE, &before);
	send(fd, "hello", 5, 0);
	set_patience(fd);
	tap_int(recv(fd, &byte, 1, 0), 0, "and listens to him when there is one");
	close(fd);
}

/* In the loop's thread: it sees what was said when who said it is gone. */
static void say_and_go(void *arg)
{
	struct sockaddr_un { sa_family_t family; char path[108]; } sa = { AF_UNIX, "\0mirrord-agent" };
	const char message[32] = "mirrord-agent attach 2";
	const int *fds = arg;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa_family_t) + 14) < 0 || fd_send(fd, message, sizeof(message), fds, 5) < 0)
		abort();
	close(fd);
}

static void test_given_up(void)
{
	int pair[2], info = memfd_create("target", MFD_CLOEXEC), before = sessions;
	char byte;

	unix_pair(pair, 0);
	on_loop(say_and_go, (int[]){ pair[1], pair[1], pair[1], info, info });
	close(pair[1]);
	close(info);
	set_patience(pair[0]);
	tap_int(recv(pair[0], &byte, 1, 0), 0, "what a newcomer brought that gave up is closed");
	tap_int(sessions, before, "and is no session");
	close(pair[0]);
}

/* Who comes while the agent is on its way out takes its name when it has gone. Stops the listener. */
static void test_later(void)
{
	int pair[2], before = sessions;
	pid_t child;

	unix_pair(pair, 0);
	on_loop(refuse, NULL);
	child = find_as(geteuid(), pair[1], false);
	usleep(1500000);
	tap_int(waitpid(child, NULL, WNOHANG), 0, "who comes late waits, longer than for a stranger");
	on_loop(stop, NULL);
	tap_int(exit_of(child), ATTACH_NONE, "and has the name then");
	tap_int(sessions, before, "no session was taken");
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	struct attach_session mine = { .transport = { 0, 1, -1, -1 } };
	int before, found;
	uid_t uid = geteuid();

	if (!isolate()) {
		printf("1..0 # SKIP no network namespace is to be had\n");
		return 0;
	}
	become_its_root(uid);
	loop_thread_start();
	before = open_descriptors();
	found = attach_find(&mine, &own_sock);
	tap_int(found, ATTACH_NONE, "nobody is there");
	on_loop(start, &own_sock);
	test_handed_over(false);
	test_handed_over(true);
	test_noise();
	test_scarce();
	test_given_up();
	if (geteuid() == 0 && setegid(1234) == 0 && setegid(0) == 0) {
		int pair[2];

		unix_pair(pair, 0);
		tap_int(exit_of(find_as(1234, pair[1], false)), ATTACH_STRANGER, "another user is not served");
		close(pair[0]);
		close(pair[1]);
	}
	test_later();
	tap_int(sessions, 2, "sessions in all");
	tap_int(open_descriptors(), before, "no descriptor is left");
	loop_thread_stop();
	return tap_done();
}
