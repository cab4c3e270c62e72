// SPDX-License-Identifier: MIT
/* Docker's daemon starts containers, in its own namespaces; no process of theirs descends from ours. But a container may join the network of another
 * one. So there is one more, which does nothing but be in the twin (agent/hold.c): `docker run` gets `--network container:NAME`, and with it
 * the twin's network, host name, resolv.conf and hosts.
 *
 * Three processes are below the anchor: the program, which is `docker run …` of the user's; the command line of that other container, whose
 * input keeps it alive; and one who holds this input until the last container with our label is gone, so that `-d` works, and so that a
 * container whose command line was killed keeps its network. */
#include "cli/docker.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/orphan.h"
#include "cli/docker_image.h"

enum { FILE_MAX = 1 << 20 };

static char image[DOCKER_IMAGE_MAX];

int docker_prepare(const struct engine_cli *e, struct error *err)
{
	return docker_image_bring(e, image, err);
}

/* The running containers of ours are waited for, one by one. */
static void wait_for_containers(const struct engine_cli *e, const char *name)
{
	char label[DOCKER_NAME_MAX + 32], said[ENGINE_SAYS_MAX];
	const char *const ask[] = { "ps", "--quiet", "--no-trunc", "--filter", label, NULL };
	const char *const wait[] = { "wait", said, NULL };
	struct error err = { 0 };

	snprintf(label, sizeof(label), "label=mirrord=%s", name);
	do {
		if (engine_cli_ask(e, ask, said, &err) != 0)
			return;
		said[strcspn(said, "\n")] = '\0';
	} while (said[0] && engine_cli_ask(e, wait, (char[ENGINE_SAYS_MAX]){ 0 }, &err) == 0);
}

struct waiter {
	const struct engine_cli *engine;
	const char *name;
	int fds[2]; /* the other container's input, the program's pidfd */
};

static void run_waiter(void *arg)
{
	struct waiter *w = arg;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct pollfd program;

	prctl(PR_SET_NAME, "mirrord-waiter");
	signal(SIGHUP, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	fd_drop_stderr();
	if (fd_keep_only(w->fds, 2) < 0)
		_exit(1);
	program = (struct pollfd){ .fd = w->fds[1], .events = POLLIN };
	while (poll(&program, 1, -1) < 0 && errno == EINTR)
		;
	wait_for_containers(w->engine, w->name);
	_exit(0);
}

static int start_waiter(const struct engine_cli *e, const char *name, int hold, struct error *err)
{
	struct waiter w = { .engine = e, .name = name, .fds = { hold, (int)syscall(SYS_pidfd_open, getpid(), 0) } };
	int r = w.fds[1] < 0 || orphan_start(run_waiter, &w) < 0 ? error_set(err, errno, "wait for the container's end") : 0;

	fd_closep(&w.fds[1]);
	return r;
}

/* resolv.conf and hosts, as they are here. */
static int send_files(int to, struct error *err)
{
	static const char *const paths[] = { "/etc/resolv.conf", "/etc/hosts" };
	char *texts[2] = { NULL, NULL }, head[64];
	size_t len[2] = { 0, 0 };
	int r = 0;

	for (int i = 0; i < 2; i++) {
		_cleanup_fd_ int fd = open(paths[i], O_RDONLY | O_CLOEXEC);

		texts[i] = fd < 0 ? NULL : fd_read_all(fd, FILE_MAX, &len[i]);
		if (!texts[i] && errno != ENOENT)
			r = error_set(err, errno, "read %s", paths[i]);
	}
	snprintf(head, sizeof(head), "%zu %zu\n", len[0], len[1]);
	if (r == 0 && (fd_write_all(to, head, strlen(head)) < 0 || fd_write_all(to, texts[0], len[0]) < 0 || fd_write_all(to, texts[1], len[1]) < 0))
		r = error_set(err, errno, "give the container its files");
	free(texts[0]);
	free(texts[1]);
	return r;
}

static int start_container(const struct engine_cli *e, const char *name, struct engine_call *ret, struct error *err)
{
	char host[HOST_NAME_MAX + 1], pid[16], inode[24], said[ENGINE_SAYS_MAX];
	const char *const words[] = { "run", "--rm", "--interactive", "--name", name, "--hostname", host, "--network=none",
				      "--pid=host", "--userns=host", "--cap-add=SYS_ADMIN", "--cap-add=SYS_PTRACE",
				      "--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined",
				      "--security-opt=label=disable", "--log-driver=none", "--entrypoint", "/loader", image,
				      "--library-path", "/", "/agent", "hold", pid, inode, NULL };
	struct stat here;

	if (gethostname(host, sizeof(host)) < 0 || stat("/proc/self/ns/net", &here) < 0)
		return error_set(err, errno, "look at the twin");
	snprintf(pid, sizeof(pid), "%d", getpid());
	snprintf(inode, sizeof(inode), "%llu", (unsigned long long)here.st_ino);
	if (engine_cli_start(e, words, true, ret, err) < 0)
		return -1;
	if (send_files(ret->in, err) == 0 && engine_cli_hear(ret, "ready", said) == 0)
		return 0;
	if (!error_is_set(err)) {
		said[strcspn(said, "\n")] = '\0';
		error_set(err, 0, "%s run: %s", e->argv[0], said);
		error_hint(err, "the daemon has to be this machine's and root's; a rootless engine is podman: "
				"`mirrord container … -- podman run …`");
	}
	engine_cli_end(ret);
	return -1;
}

int docker_hold(const struct engine_cli *e, char ret_name[DOCKER_NAME_MAX], struct error *err)
{
	struct sigaction ignored = { .sa_handler = SIG_IGN }, before;
	struct engine_call call = { -1, -1, -1 };
	uint64_t random;
	int r;

	if (getrandom(&random, sizeof(random), 0) < 0)
		return error_set(err, errno, "name a container");
	snprintf(ret_name, DOCKER_NAME_MAX, "mirrord-%016llx", (unsigned long long)random);
	sigaction(SIGPIPE, &ignored, &before);
	r = start_container(e, ret_name, &call, err);
	sigaction(SIGPIPE, &before, NULL);
	if (r < 0)
		return -1;
	r = start_waiter(e, ret_name, call.in, err);
	engine_cli_end(&call);
	return r;
}
