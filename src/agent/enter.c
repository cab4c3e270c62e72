// SPDX-License-Identifier: MIT
/* Moving into the target's namespaces.
 *
 * No race with a process that dies while its number goes to another: everything is opened below one descriptor of
 * /proc/PID, which stays that process's. When it is gone, opening fails with ESRCH; a namespace that is open stays when
 * its processes go.
 *
 * Who may. setns(2) wants CAP_SYS_ADMIN both in the user namespace that owns the network and in our own. Root of the
 * machine has them everywhere. An ordinary user has them in no namespace at first, but is root of every user namespace
 * that they made and of those below it (user_namespaces(7)): entering the owner gives all capabilities there. For a
 * rootless container the owner may lie below the one that the user made, and the UTS namespace may belong to a third;
 * each is tried as we came, and again as the owner's root. Root enters the owner, too, if there is one other than ours:
 * from then on it has no rights over the machine.
 *
 * The network may be our own (a program without a container): then there is nothing to enter, and no right is needed.
 */
#include "agent/enter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

/* A namespace on the way. */
struct step {
	const char *name; /* below /proc/PID/ns */
	int type;	  /* CLONE_NEW… */
	int fd;		  /* -1: nothing to do */
	int error;	  /* of the last try; 0 when we are in */
};

static bool is_ours(int fd, const char *name)
{
	char path[64];
	struct stat a, b;

	snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
	return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* 0, or the errno. */
static int try_step(struct step *s)
{
	if (s->fd >= 0 && s->error)
		s->error = is_ours(s->fd, s->name) || setns(s->fd, s->type) == 0 ? 0 : errno;
	return s->error;
}

/* Enters the user namespace that owns @ns, unless it is ours or out of our reach (an ancestor's: EPERM). */
static void enter_owner(int ns)
{
	_cleanup_fd_ int owner = ioctl(ns, NS_GET_USERNS);

	if (owner >= 0 && !is_ours(owner, "user") && setns(owner, CLONE_NEWUSER) < 0)
		log_debug("enter: user namespace of the target: %s", strerror(errno));
}

static int open_process(const struct target *t, struct entry *e, struct step *net, struct step *uts, struct error *err)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d", t->pid);
	e->process = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (e->process >= 0)
		net->fd = openat(e->process, "ns/net", O_RDONLY | O_CLOEXEC);
	if (net->fd >= 0)
		uts->fd = openat(e->process, "ns/uts", O_RDONLY | O_CLOEXEC);
	if (uts->fd >= 0)
		e->root = openat(e->process, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (e->root >= 0)
		return 0;
	if (errno == ENOENT || errno == ESRCH) {
		error_set(err, 0, "target %s: process %d has ended", t->text, t->pid);
		return error_hint(err, "is the target still running?");
	}
	error_set(err, errno, "target %s: looking into process %d", t->text, t->pid);
	return target_hint_root(t->text, err);
}

static int open_name(const struct target *t, struct entry *e, struct step *net, struct error *err)
{
	net->fd = open(t->netns, O_RDONLY | O_CLOEXEC);
	if (net->fd < 0)
		return error_set(err, errno, "target %s: opening %s", t->text, t->netns);
	e->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (e->root < 0)
		return error_set(err, errno, "target %s: opening the root directory", t->text);
	snprintf(e->etc, sizeof(e->etc), "%s", t->etc);
	return 0;
}

static int enter_steps(const struct target *t, struct step *net, struct step *uts, struct error *err)
{
	try_step(uts);
	try_step(net);
	enter_owner(net->fd);
	try_step(uts);
	if (try_step(net)) {
		error_set(err, net->error, "target %s: entering its network", t->text);
		return net->error == EPERM ? target_hint_root(t->text, err) : -1;
	}
	if (uts->error)
		enter_owner(uts->fd);
	if (try_step(uts))
		log_warn("enter: host name of the target: %s", strerror(uts->error));
	return 0;
}

int agent_enter(const struct target *t, struct entry *ret, struct error *err)
{
	struct step net = { .name = "net", .type = CLONE_NEWNET, .fd = -1, .error = EINPROGRESS };
	struct step uts = { .name = "uts", .type = CLONE_NEWUTS, .fd = -1 };
	struct entry e = { .process = -1, .root = -1 };
	int r = t->pid ? open_process(t, &e, &net, &uts, err) : open_name(t, &e, &net, err);

	if (uts.fd >= 0)
		uts.error = EINPROGRESS;
	if (r == 0)
		r = enter_steps(t, &net, &uts, err);
	fd_closep(&net.fd);
	fd_closep(&uts.fd);
	if (r == 0) {
		*ret = e;
	} else {
		fd_closep(&e.process);
		fd_closep(&e.root);
	}
	return r;
}
